"""A Sudoku solver for many puzzles: depth-first search with naked and hidden singles, compiled by numba.

The rating of a puzzle is how much guessing it takes this solver: see `solve`.
"""

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from tqdm import tqdm

from hrm_hf.data.sudoku_rules import units_of


_CHUNK = 500  # puzzles; of the hardest a second or so


@numba.njit(cache=True)
def _most_constrained(board, candidates_row, candidates_column, candidates_box, units, size):
    """Blank cell or place of a digit in a unit with the fewest choices.

    Returns its number of choices, the cell (or -1) and, for a place, digit and unit kind and number.
    """
    best, best_cell, best_digit, best_kind, best_unit = 99, -1, -1, -1, -1
    cells = size * size
    for cell in range(cells):
        if board[cell] == 0:
            mask = candidates_row[units[0, cell]] & candidates_column[units[1, cell]] & candidates_box[units[2, cell]]
            count = 0
            while mask:
                mask &= mask - 1
                count += 1
            if count < best:
                best, best_cell = count, cell
                if count <= 1:
                    return best, best_cell, best_digit, best_kind, best_unit
    # no naked single: look for digits with few places in a unit (hidden singles)
    places = np.zeros((3, size, size), dtype=np.int64)
    for cell in range(cells):
        if board[cell] == 0:
            mask = candidates_row[units[0, cell]] & candidates_column[units[1, cell]] & candidates_box[units[2, cell]]
            for digit in range(size):
                if mask >> digit & 1:
                    for kind in range(3):
                        places[kind, units[kind, cell], digit] += 1
    for kind in range(3):
        for unit in range(size):
            missing = (
                candidates_row[unit] if kind == 0 else candidates_column[unit] if kind == 1 else candidates_box[unit]
            )
            for digit in range(size):
                if missing >> digit & 1 and places[kind, unit, digit] < best:
                    best, best_cell = places[kind, unit, digit], -1
                    best_digit, best_kind, best_unit = digit, kind, unit
    return best, best_cell, best_digit, best_kind, best_unit


@numba.njit(cache=True)
def _choices(board, rows, columns, boxes, units, size, shuffled, cells, digits):
    """Fill in the choices at the most constrained place: digits of a cell, or cells of a digit.

    Returns their number, or -1 if no cell is blank.
    """
    count, cell, digit, kind, unit = _most_constrained(board, rows, columns, boxes, units, size)
    if count == 99:
        return -1
    found = 0
    if cell >= 0:
        mask = rows[units[0, cell]] & columns[units[1, cell]] & boxes[units[2, cell]]
        for choice in range(size):
            if mask >> choice & 1:
                cells[found], digits[found] = cell, choice
                found += 1
    elif count > 0:
        for place in range(size * size):
            if board[place] == 0 and units[kind, place] == unit:
                mask = rows[units[0, place]] & columns[units[1, place]] & boxes[units[2, place]]
                if mask >> digit & 1:
                    cells[found], digits[found] = place, digit
                    found += 1
    if shuffled:
        for last in range(count - 1, 0, -1):
            other = np.random.randint(last + 1)
            cells[last], cells[other] = cells[other], cells[last]
            digits[last], digits[other] = digits[other], digits[last]
    return count


@numba.njit(cache=True)
def _search(board, rows, columns, boxes, units, size, limit, shuffled, solution, guesses):
    """Count solutions up to `limit` by depth-first search; the first one goes into `solution`.

    `guesses[0]` grows by one for each choice beyond the first that is tried at a branching point. The stack is our
    own, because numba cannot load a recursive function from its cache.
    """
    levels = size * size + 1
    cells = np.empty((levels, size), dtype=np.int64)
    digits = np.empty((levels, size), dtype=np.int64)
    counts = np.empty(levels, dtype=np.int64)
    tried = np.empty(levels, dtype=np.int64)
    solutions, depth, new_level = 0, 0, True
    while depth >= 0:
        if new_level:
            count = _choices(board, rows, columns, boxes, units, size, shuffled, cells[depth], digits[depth])
            if count == -1:
                solutions += 1
                if solutions == 1:
                    solution[:] = board
                if solutions == limit:
                    break
            counts[depth], tried[depth] = max(count, 0), 0
        else:
            place, digit = cells[depth, tried[depth] - 1], digits[depth, tried[depth] - 1]
            board[place] = 0
            _toggle(place, digit, rows, columns, boxes, units)
        if tried[depth] == counts[depth]:
            depth, new_level = depth - 1, False
            continue
        if tried[depth] > 0:
            guesses[0] += 1
        place, digit = cells[depth, tried[depth]], digits[depth, tried[depth]]
        board[place] = digit + 1
        _toggle(place, digit, rows, columns, boxes, units)
        tried[depth] += 1
        depth, new_level = depth + 1, True
    return solutions


@numba.njit(cache=True)
def _toggle(place, digit, rows, columns, boxes, units):
    """Take a digit from what the units of a cell still miss, or give it back."""
    bit = 1 << digit
    rows[units[0, place]] ^= bit
    columns[units[1, place]] ^= bit
    boxes[units[2, place]] ^= bit


@numba.njit(cache=True)
def count_solutions(puzzle, units, size, limit, shuffled, solution, guesses):
    """Solutions of one puzzle up to `limit`, 0 for one that contradicts itself; for use in numba code.

    The first solution goes into `solution`, `guesses[0]` grows by the guesses. With `shuffled`, choices are tried in
    random order.
    """
    full = (1 << size) - 1
    rows = np.full(size, full, dtype=np.int64)
    columns = np.full(size, full, dtype=np.int64)
    boxes = np.full(size, full, dtype=np.int64)
    for cell in range(size * size):
        if puzzle[cell]:
            bit = 1 << (puzzle[cell] - 1)
            row, column, box = units[0, cell], units[1, cell], units[2, cell]
            if not (rows[row] & columns[column] & boxes[box] & bit):
                return 0
            _toggle(cell, puzzle[cell] - 1, rows, columns, boxes, units)
    return _search(puzzle.copy(), rows, columns, boxes, units, size, limit, shuffled, solution, guesses)


@numba.njit(cache=True, nogil=True)
def _solve_all(puzzles, units, size, limit):
    solutions = np.zeros(puzzles.shape, dtype=np.int64)
    counts = np.zeros(len(puzzles), dtype=np.int64)
    ratings = np.zeros(len(puzzles), dtype=np.int64)
    for index in range(len(puzzles)):
        guesses = np.zeros(1, dtype=np.int64)
        counts[index] = count_solutions(puzzles[index], units, size, limit, False, solutions[index], guesses)
        ratings[index] = guesses[0]
    return solutions, counts, ratings


def solve(
    puzzles: np.ndarray, size: int, limit: int = 2, num_threads: int = 1, progress: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve puzzles by depth-first search with naked and hidden singles.

    Args:
        puzzles: `(puzzles, cells)`, 0 for blank.
        size: number of digits.
        limit: stop counting solutions here; 2 tells a unique solution from several.
        num_threads: chunks that are solved at a time.
        progress: show a progress bar.

    Returns:
        A solution of each puzzle `(puzzles, cells)` uint8 (zeros where there is none), the number of solutions up to
        `limit` `(puzzles,)`, and the rating `(puzzles,)`: how often the search took a second or later choice at a
        branching point until it had shown that the solution is unique (0: singles suffice).
    """
    units = units_of(size)
    starts = range(0, max(1, len(puzzles)), _CHUNK)

    def solve_chunk(start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        chunk = np.ascontiguousarray(puzzles[start : start + _CHUNK], dtype=np.int64)
        solutions, counts, ratings = _solve_all(chunk, units, size, limit)
        return solutions.astype(np.uint8), counts, ratings

    with ThreadPoolExecutor(num_threads) as pool:
        chunks = tqdm(
            pool.map(solve_chunk, starts), "solve", len(starts), unit="chunk", leave=False, disable=not progress
        )
        solutions, counts, ratings = zip(*chunks, strict=True)
    return np.concatenate(solutions), np.concatenate(counts), np.concatenate(ratings)
