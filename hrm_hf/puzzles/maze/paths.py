"""Shortest paths in mazes, and the search for mazes with long ones: the code that numba compiles.

It is one file, because numba caches compiled code on disk and only notices changes in the same file.
"""

from dataclasses import dataclass

import numba
import numpy as np


# cells, numbered like the tokens of the processor; 0 is padding
WALL, FLOOR, START, GOAL, PATH = range(1, 6)

# random cells of a field to try as S: more of them find more mazes per second, but on fields with fewer and shorter
# paths; with 4, the paths are half a step shorter on average than with 1
_STARTS = 4


# --- shortest paths


@numba.njit(cache=True)
def _lay_out(cells, height, width, field):
    """Copy `(height * width,)` bools into a field of `(height + 2) * (width + 1) + 1`.

    The field has a border of False on all sides (the one right of a row is the one left of the next row), so that the
    neighbors of a cell at `place` are at `place` -+ 1 and -+ (width + 1) without any checks for borders.
    """
    field[:] = False
    for row in range(height):
        first = (row + 1) * (width + 1) + 1
        field[first : first + width] = cells[row * width : (row + 1) * width]


@numba.njit(cache=True)
def _spread(field, stride, start, distances, queue):
    """Breadth-first search over the true places of a field.

    Fills `distances` (-1 for unreachable places) and `queue`, the places in order of distance; returns the length of
    the queue.
    """
    distances[:] = -1
    distances[start] = 0
    queue[0] = start
    first, end = 0, 1
    while first < end:
        place = queue[first]
        first += 1
        for neighbor in (place - stride, place - 1, place + 1, place + stride):
            if field[neighbor] and distances[neighbor] < 0:
                distances[neighbor] = distances[place] + 1
                queue[end] = neighbor
                end += 1
    return end


@numba.njit(cache=True)
def _choices(from_start, from_goal, queue, reached, goal, ways):
    """Number of possible places of shortest paths after each number of steps, into `ways[: steps + 1]`.

    `from_start`, `queue` and `reached` are from `_spread` from the start.
    """
    steps = from_start[goal]
    ways[: steps + 1] = 0
    for index in range(reached):
        place = queue[index]
        if from_start[place] + from_goal[place] == steps:
            ways[from_start[place]] += 1
    return steps


@numba.njit(cache=True)
def _measure(mazes, answers, height, width):
    number, stride = len(mazes), width + 1
    size = (height + 2) * stride + 1
    field = np.zeros(size, dtype=np.bool_)
    distances, from_goal, queue, ways = np.empty((4, size), dtype=np.int32)
    steps, drawn_steps, stray_cells = np.empty((3, number), dtype=np.int64)
    is_unique = np.zeros(number, dtype=np.bool_)
    for index in range(number):
        start, goal = np.argmax(mazes[index] == START), np.argmax(mazes[index] == GOAL)
        start = (start // width + 1) * stride + start % width + 1
        goal = (goal // width + 1) * stride + goal % width + 1
        _lay_out(mazes[index] != WALL, height, width, field)
        _spread(field, stride, goal, from_goal, queue)
        reached = _spread(field, stride, start, distances, queue)
        steps[index] = distances[goal]
        if steps[index] >= 0:
            _choices(distances, from_goal, queue, reached, goal, ways)
            is_unique[index] = ways[: steps[index] + 1].max() == 1

        drawn = (answers[index] == PATH) | (answers[index] == START) | (answers[index] == GOAL)
        _lay_out(drawn, height, width, field)
        _spread(field, stride, start, distances, queue)
        drawn_steps[index] = distances[goal]
        stray_cells[index] = drawn.sum() - (drawn_steps[index] + 1)
    return steps, is_unique, drawn_steps, stray_cells


@dataclass
class Paths:
    """Facts about the paths of mazes and the paths drawn by their answers, each `(mazes,)`.

    Args:
        steps: of a shortest path from S to G; -1 if there is no path.
        is_unique: whether there is just one shortest path.
        drawn_steps: the minimum along drawn cells; -1 if these do not lead from S to G.
        stray_cells: drawn cells that are not on that path.
    """

    steps: np.ndarray
    is_unique: np.ndarray
    drawn_steps: np.ndarray
    stray_cells: np.ndarray


def measure(mazes: np.ndarray, answers: np.ndarray, height: int, width: int) -> Paths:
    """Measure the paths of mazes with one S and one G each, and of answers with S and G in the same places.

    Args:
        mazes, answers: `(mazes, height * width)`.
        height, width: rows and columns.
    """
    mazes, answers = (np.ascontiguousarray(boards, dtype=np.uint8) for boards in (mazes, answers))
    return Paths(*_measure(mazes, answers, height, width))


# --- search


@numba.njit(cache=True, nogil=True)
def search_fields(fields, height, width, min_steps, seed):
    """Make mazes from those fields that have a shortest path of at least `min_steps`, and make this path unique.

    Args:
        fields: `(fields, height * width)` bool, True for floor; each needs some floor.
        height, width, min_steps: plain integers.
        seed: for the choice of start and goal and of additional walls.

    Returns:
        Mazes and answers `(mazes, height * width)` uint8, and the steps of the longest shortest path seen.
    """
    np.random.seed(seed)
    stride = width + 1
    size = (height + 2) * stride + 1
    field = np.zeros(size, dtype=np.bool_)
    distances, from_goal, queue, ways, piece, tied = np.empty((6, size), dtype=np.int32)
    mazes, answers = np.empty((2, len(fields), height * width), dtype=np.uint8)
    found, longest = 0, 0
    for cells in fields:
        start = np.random.randint(height * width)
        while not cells[start]:
            start = np.random.randint(height * width)
        _lay_out(cells, height, width, field)
        start = (start // width + 1) * stride + start % width + 1
        reached = _spread(field, stride, start, distances, queue)
        longest = max(longest, distances[queue[reached - 1]])
        # no two cells of a piece are farther apart than twice the distance of the farthest cell from this one
        if 2 * distances[queue[reached - 1]] < min_steps:
            continue

        piece[:reached] = queue[:reached]
        # the farthest cell from the farthest cell is nearly at the maximum distance of two cells of the piece
        _spread(field, stride, queue[reached - 1], distances, queue)
        longest = max(longest, distances[queue[reached - 1]])
        if distances[queue[reached - 1]] < min_steps:
            continue
        for _ in range(_STARTS):
            start = piece[np.random.randint(reached)]
            _spread(field, stride, start, distances, queue)
            longest = max(longest, distances[queue[reached - 1]])
            if distances[queue[reached - 1]] >= min_steps:
                break
        else:
            continue
        far = reached - 1
        while distances[queue[far - 1]] >= min_steps:
            far -= 1
        goal = queue[np.random.randint(far, reached)]
        _close_ties(field, stride, start, goal, distances, from_goal, queue, ways, tied)

        for row in range(height):
            for column in range(width):
                place = (row + 1) * stride + column + 1
                cell = WALL if not field[place] else START if place == start else GOAL if place == goal else FLOOR
                mazes[found, row * width + column] = cell
                # both distances of unreachable places are -1
                on_path = distances[place] + from_goal[place] == distances[goal]
                answers[found, row * width + column] = PATH if on_path and cell == FLOOR else cell
        found += 1
    return mazes[:found], answers[:found], longest


@numba.njit(cache=True)
def _close_ties(field, stride, start, goal, from_start, from_goal, queue, ways, tied):
    """Turn floor into wall until one shortest path is left; then `from_start` and `from_goal` are for that field.

    A place on shortest paths can be closed as long as there is another one after the same number of steps: the path
    through the other one stays, and no wall makes a path shorter.
    """
    while True:
        _spread(field, stride, goal, from_goal, queue)
        reached = _spread(field, stride, start, from_start, queue)
        steps = _choices(from_start, from_goal, queue, reached, goal, ways)
        ties = 0
        for index in range(reached):
            place = queue[index]
            if from_start[place] + from_goal[place] == steps and ways[from_start[place]] > 1:
                tied[ties] = place
                ties += 1
        if ties == 0:
            return
        field[tied[np.random.randint(ties)]] = False


# --- mazes of any field


@numba.njit(cache=True)
def draw_ends(field_cells, height, width, chances):
    """The maze of a field, with S on a random floor cell and a G that is reachable from there.

    The steps to G are uniform from 1 to those of the farthest cell from S.

    Args:
        field_cells: `(height * width,)` bool, True for floor.
        height, width: plain integers.
        chances: three numbers from 0 to below 1: choice of S, of the steps, and of the cell at that distance.

    Returns:
        The maze `(height * width,)` uint8, and its steps; 0 if no floor cell is next to S.
    """
    stride = width + 1
    size = (height + 2) * stride + 1
    field = np.zeros(size, dtype=np.bool_)
    distances, queue = np.empty((2, size), dtype=np.int32)
    maze = np.where(field_cells, FLOOR, WALL).astype(np.uint8)
    floor = np.flatnonzero(field_cells)
    if len(floor) == 0:
        return maze, 0
    start = floor[int(chances[0] * len(floor))]
    _lay_out(field_cells, height, width, field)
    reached = _spread(field, stride, (start // width + 1) * stride + start % width + 1, distances, queue)
    farthest = distances[queue[reached - 1]]
    if farthest == 0:
        return maze, 0
    steps = 1 + int(chances[1] * farthest)
    first = 0
    while distances[queue[first]] < steps:
        first += 1
    end = first
    while end < reached and distances[queue[end]] == steps:
        end += 1
    goal = queue[first + int(chances[2] * (end - first))]
    maze[start] = START
    maze[(goal // stride - 1) * width + goal % stride - 1] = GOAL
    return maze, steps


@numba.njit(cache=True, nogil=True)
def _first_paths(mazes, height, width):
    stride = width + 1
    size = (height + 2) * stride + 1
    field = np.zeros(size, dtype=np.bool_)
    distances, queue = np.empty((2, size), dtype=np.int32)
    answers = mazes.copy()
    for index in range(len(mazes)):
        start, goal = np.argmax(mazes[index] == START), np.argmax(mazes[index] == GOAL)
        place = (start // width + 1) * stride + start % width + 1
        _lay_out(mazes[index] != WALL, height, width, field)
        _spread(field, stride, (goal // width + 1) * stride + goal % width + 1, distances, queue)
        while distances[place] > 1:
            for neighbor in (place - stride, place - 1, place + 1, place + stride):
                if distances[neighbor] == distances[place] - 1:
                    place = neighbor
                    break
            answers[index, (place // stride - 1) * width + place % stride - 1] = PATH
    return answers


def first_paths(mazes: np.ndarray, height: int, width: int) -> np.ndarray:
    """The answers to mazes that may have several shortest paths, `(mazes, height * width)` uint8.

    The path is the first one: from S, each step goes up if a shortest path does, else left, else right, else down. So
    the answer is a function of the maze, but not invariant to symmetries: a rotated maze needs a new answer.

    Args:
        mazes: with one S and one G each, and a path between them, `(mazes, height * width)`.
        height, width: rows and columns.
    """
    return _first_paths(np.ascontiguousarray(mazes, dtype=np.uint8), height, width)
