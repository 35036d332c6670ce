"""Mazes of several kinds and sizes, which may have several shortest paths.

walls      random walls, 30 to 50 % of the cells, and one shortest path, as in `hrm_hf.puzzles.maze.generator`; its
           minimum steps are drawn from 2 to a number that is hard for the size
scattered  random walls, 10 to 45 % of the cells
perfect    a spanning tree: corridors one cell wide, and one path between any two cells, winding or branched
rooms      rectangular rooms with doors, some more than necessary to connect the rooms
open       no walls, or up to 10 % of the cells
lines      a few lines of wall, straight or diagonal, as drawn by hand

Except in `walls`, S is a random floor cell and the steps to G are uniform from 1 to those of the farthest cell. Of
several shortest paths the answer has the first (`hrm_hf.puzzles.maze.paths.first_paths`). A smaller maze is placed
anywhere on a larger board, with walls around it.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from hrm_hf.puzzles.maze.generator import WALL_SHARES, hard_steps
from hrm_hf.puzzles.maze.paths import PATH, draw_ends, first_paths, search_fields
from hrm_hf.puzzles.maze.symmetry import fingerprint
from hrm_hf.utils.parallel import in_order


KINDS_OF_MAZE = ("walls", "scattered", "perfect", "rooms", "open", "lines")

# smaller sides have no room for corridors between walls
_LEAST_SIDE = 3
_CHUNK = 64  # mazes that a thread generates at a time
# consecutive fields of random walls without a path that is long enough, before other steps are drawn
_FIELDS, _CALLS = 256, 40
# consecutive mazes that are not new, before a request counts as impossible
_PATIENCE = 500


@dataclass(frozen=True)
class MixedMazes:
    """Mazes of several kinds on boards of one size.

    Attributes:
        mazes, answers: `(mazes, height * width)` uint8, as in `hrm_hf.puzzles.maze.rules`.
        steps: of the shortest paths, `(mazes,)` int64.
        kinds: kind of each, `(mazes,)` strings.
    """

    mazes: np.ndarray
    answers: np.ndarray
    steps: np.ndarray
    kinds: np.ndarray


def generate_mixed(
    num: int,
    kinds: Sequence[str],
    height: int = 30,
    width: int = 30,
    smallest_side: int | None = None,
    board: tuple[int, int] | None = None,
    seed: int = 0,
    progress: bool = True,
    num_threads: int = 1,
) -> MixedMazes:
    """Random mazes of the given kinds in turn, no two of them equal up to symmetry, place, or S and G exchanged.

    Args:
        num: how many.
        kinds: kinds, each once.
        height, width: rows and columns of the largest mazes, at least 3.
        smallest_side: minimum rows and columns; half of the mazes have uniformly random ones from this on, the others
            have the maximum size, and by default all do.
        board: rows and columns of the boards with the mazes; by default those of the largest mazes.
        seed: for everything random; equal arguments give equal mazes, a larger `num` more of the same.
        progress: show a progress bar.
        num_threads: chunks to generate at a time; the result is the same for any number.

    Raises:
        ValueError: if a request is impossible, or too few mazes of a kind are found.
    """
    board_height, board_width = board or (height, width)
    _check(num, kinds, height, width, smallest_side, board_height, board_width, seed)

    def make(rng: np.random.Generator, kind: str) -> tuple[np.ndarray, np.ndarray]:
        while True:
            rows, columns = height, width
            # half of them have the maximum size, because most mazes in practice fill the board
            if smallest_side is not None and rng.random() < 0.5:
                rows, columns = rng.integers(smallest_side, height + 1), rng.integers(smallest_side, width + 1)
            top, left = rng.integers(board_height - rows + 1), rng.integers(board_width - columns + 1)
            if made := _make(rng, kind, int(rows), int(columns), int(top), int(left), board_height, board_width):
                return made

    def make_chunk(number: int) -> list[tuple[np.random.Generator, np.ndarray, np.ndarray, int]]:
        made = []
        for index in range(number * _CHUNK, min(num, (number + 1) * _CHUNK)):
            rng = np.random.default_rng((seed, index))
            made.append((rng, *make(rng, kinds[index % len(kinds)])))
        marks = mark([maze for _, maze, _ in made]) if made else []
        return [(*parts, int(its_mark)) for parts, its_mark in zip(made, marks, strict=True)]

    def mark(mazes: list[np.ndarray]) -> np.ndarray:
        return fingerprint(np.stack(mazes), board_height, board_width, anywhere=True)

    mazes, answers, seen = [], [], set()
    with (
        tqdm(total=num, desc="generate mazes", unit="maze", disable=not progress) as bar,
        closing(in_order(make_chunk, num_threads)) as chunks,
    ):
        while len(mazes) < num:
            for rng, maze, answer, its_mark in next(chunks):
                kind = kinds[len(mazes) % len(kinds)]
                tries = 0
                while its_mark in seen:
                    tries += 1
                    if tries > _PATIENCE:
                        raise ValueError(
                            f"Only {len(mazes)} mazes were found, not {num}: {_PATIENCE} of the kind {kind} in a "
                            "row were not new up to symmetry; ask for fewer or larger ones."
                        )
                    maze, answer = make(rng, kind)
                    its_mark = int(mark([maze])[0])
                seen.add(its_mark)
                mazes.append(maze)
                answers.append(answer)
            bar.update(len(mazes) - bar.n)
    turns = np.array(kinds, dtype=object)[np.arange(num) % len(kinds)]
    return MixedMazes(np.stack(mazes), np.stack(answers), (np.stack(answers) == PATH).sum(1) + 1, turns)


def _check(num, kinds, height, width, smallest_side, board_height, board_width, seed):
    """Raise a `ValueError` if a request is impossible."""
    if num < 1:
        raise ValueError(f"num={num} is not allowed; it must be at least 1.")
    if seed < 0:
        raise ValueError(f"seed={seed} is not allowed; it must be at least 0.")
    if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= set(KINDS_OF_MAZE):
        raise ValueError(
            f"kind={' '.join(kinds) or 'none'} is not allowed; give some of {', '.join(KINDS_OF_MAZE)}, each once."
        )
    for name, side, largest in (("height", height, board_height), ("width", width, board_width)):
        if side < _LEAST_SIDE:
            raise ValueError(f"{name}={side} is not allowed; with a kind it must be at least {_LEAST_SIDE}.")
        if side > largest:
            raise ValueError(f"{name}={side} does not fit on a board of {board_height}x{board_width}; give less.")
    if smallest_side is not None and not _LEAST_SIDE <= smallest_side <= min(height, width):
        raise ValueError(
            f"smallest_side={smallest_side} is not allowed for mazes of up to {height}x{width}; it must be from "
            f"{_LEAST_SIDE} to {min(height, width)}."
        )


def _make(
    rng: np.random.Generator,
    kind: str,
    rows: int,
    columns: int,
    top: int,
    left: int,
    board_height: int,
    board_width: int,
) -> tuple[np.ndarray, np.ndarray] | None:
    """A maze of a kind and size at a place on the board, and its answer; `None` if the attempt failed."""
    inside = slice(top, top + rows), slice(left, left + columns)
    if kind == "walls":
        steps = int(rng.integers(2, hard_steps(rows, columns) + 1))
        for _ in range(_CALLS):
            fields = np.zeros((_FIELDS, board_height, board_width), dtype=bool)
            shares = rng.uniform(*WALL_SHARES, size=(_FIELDS, 1, 1))
            fields[:, *inside] = rng.random((_FIELDS, rows, columns), dtype=np.float32) >= shares
            fields = fields.reshape(_FIELDS, -1)
            mazes, answers, _ = search_fields(
                fields[fields.any(1)], board_height, board_width, steps, int(rng.integers(2**32, dtype=np.uint32))
            )
            if len(mazes):
                return mazes[0], answers[0]
        return None
    field = np.zeros((board_height, board_width), dtype=bool)
    field[inside] = _FIELD_MAKERS[kind](rng, rows, columns)
    maze, steps = draw_ends(field.reshape(-1), board_height, board_width, rng.random(3))
    return (maze, first_paths(maze[None], board_height, board_width)[0]) if steps else None


# --- fields: `(rows, columns)` bool, True for floor


def _scattered(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return rng.random((rows, columns)) >= rng.uniform(0.1, 0.45)


def _open(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    # a third has no walls at all
    return rng.random((rows, columns)) >= max(0.0, rng.uniform(-0.05, 0.1))


def _perfect(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    field = np.zeros((rows, columns), dtype=bool)
    # with or without a border of walls
    top, left = rng.integers(2, size=2)
    shape = len(range(top, rows, 2)), len(range(left, columns, 2))
    field[top::2, left::2] = True
    for (row, column), (next_row, next_column) in _spanning_tree(rng, *shape):
        field[top + row + next_row, left + column + next_column] = True
    return field


def _rooms(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    field = np.zeros((rows, columns), dtype=bool)
    spans = [_room_spans(rng, side) for side in (rows, columns)]
    for top, bottom in spans[0]:
        for left, right in spans[1]:
            field[top:bottom, left:right] = True
    shape = len(spans[0]), len(spans[1])
    doors = set(_spanning_tree(rng, *shape))
    more = rng.uniform(0, 0.5)
    for row in range(shape[0]):
        for column in range(shape[1]):
            for other in ((row + 1, column), (row, column + 1)):
                is_inside = other[0] < shape[0] and other[1] < shape[1]
                if is_inside and rng.random() < more and (other, (row, column)) not in doors:
                    doors.add(((row, column), other))
    # the order of a set is not the same in every process
    for (row, column), (next_row, next_column) in sorted(doors):
        if row == next_row:
            wall = spans[1][min(column, next_column)][1]
            field[rng.integers(*spans[0][row]), wall] = True
        else:
            wall = spans[0][min(row, next_row)][1]
            field[wall, rng.integers(*spans[1][column])] = True
    return field


def _room_spans(rng: np.random.Generator, side: int) -> list[tuple[int, int]]:
    """First cell and the cell after the last one of rooms along a side, with a wall of one cell between them."""
    spans, first, largest = [], 0, int(rng.integers(2, max(3, side // 2) + 1))
    while first < side:
        # no one-cell room at the end
        size = int(rng.integers(2, largest + 1))
        end = side if side - first - size < 3 else first + size
        spans.append((first, end))
        first = end + 1
    return spans


def _lines(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    field = np.ones((rows, columns), dtype=bool)
    for _ in range(rng.integers(1, 3 + (rows + columns) // 8)):
        row, column = rng.integers(rows), rng.integers(columns)
        # with one to three parts
        for _ in range(rng.integers(1, 4)):
            down, right = _DIRECTIONS[rng.integers(len(_DIRECTIONS))]
            for _ in range(rng.integers(1, max(rows, columns) * 2 // 3 + 1)):
                if 0 <= row < rows and 0 <= column < columns:
                    field[row, column] = False
                row, column = row + down, column + right
    return field


# straight lines twice as often as diagonal ones
_DIRECTIONS = [(0, 1), (0, -1), (1, 0), (-1, 0)] * 2 + [(1, 1), (1, -1), (-1, 1), (-1, -1)]

_FIELD_MAKERS: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "scattered": _scattered,
    "perfect": _perfect,
    "rooms": _rooms,
    "open": _open,
    "lines": _lines,
}

Node = tuple[int, int]


def _spanning_tree(rng: np.random.Generator, rows: int, columns: int) -> list[tuple[Node, Node]]:
    """The edges of a random spanning tree of a grid of nodes, from each node of the tree to the new one.

    It grows from the newest node with a probability drawn for the tree, or else from a random one: the first makes
    long winding corridors, the second short branches.
    """
    newest = rng.random()
    start = int(rng.integers(rows)), int(rng.integers(columns))
    growing, known, edges = [start], {start}, []
    # drawn together, because one number at a time is slow: each node is added and removed once
    chances = iter(rng.random(6 * rows * columns).tolist())
    while growing:
        place = len(growing) - 1 if next(chances) < newest else int(next(chances) * len(growing))
        row, column = node = growing[place]
        free = [
            other
            for other in ((row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column))
            if 0 <= other[0] < rows and 0 <= other[1] < columns and other not in known
        ]
        if not free:
            growing[place] = growing[-1]
            growing.pop()
            continue
        other = free[int(next(chances) * len(free))]
        known.add(other)
        growing.append(other)
        edges.append((node, other))
    return edges
