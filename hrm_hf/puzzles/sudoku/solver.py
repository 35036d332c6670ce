"""A Sudoku solver for many puzzles: depth-first search with naked and hidden singles, compiled by numba.

The rating of a puzzle is the amount of guessing by this solver: see `solve`.
"""

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from tqdm import tqdm

from hrm_hf.puzzles.sudoku.rules import units_of


_CHUNK = 500  # puzzles; about a second for the hardest ones


@numba.njit(cache=True)
def _settle_naked(masks, units, members, queue, pending):
    """Remove the digits of the cells in `queue` from their peers, and so on with peers that have one digit left.

    Returns whether every cell keeps a digit.
    """
    while pending:
        pending -= 1
        cell = queue[pending]
        bit = masks[cell]
        masks[cell] = 0  # it keeps its digit, which is restored below
        for kind in range(3):
            line = members[kind, units[kind, cell]]
            for peer in line:
                mask = masks[peer]
                if mask & bit:
                    left = mask ^ bit
                    masks[peer] = left
                    if left & (left - 1) == 0:
                        if left == 0:
                            return False
                        queue[pending] = peer
                        pending += 1
        masks[cell] = bit
    return True


@numba.njit(cache=True)
def _settle(masks, units, members, queue, pending):
    """Fill in naked and hidden singles until none are left; `queue` initially has cells with one digit.

    The order of singles does not matter: each stays a single while others are filled in, and contradictions also stay.

    Returns whether the board has no contradictions: each cell has a digit and each digit a place in each unit.
    """
    if not _settle_naked(masks, units, members, queue, pending):
        return False
    size = members.shape[2]
    full, changed = (1 << size) - 1, True
    while changed:
        changed = False
        for kind in range(3):
            for unit in range(size):
                seen, seen_twice, filled = 0, 0, 0
                for cell in members[kind, unit]:
                    mask = masks[cell]
                    seen_twice |= seen & mask
                    seen |= mask
                    if mask & (mask - 1) == 0:
                        filled |= mask
                if seen != full:
                    return False
                hidden = full & ~seen_twice & ~filled
                if hidden == 0:
                    continue
                for place in range(size):
                    cell = members[kind, unit, place]
                    single = masks[cell] & hidden
                    if single & (single - 1):
                        return False
                    if single and single != masks[cell]:
                        masks[cell], queue[0] = single, cell
                        if not _settle_naked(masks, units, members, queue, 1):
                            return False
                        changed = True
    return True


@numba.njit(cache=True)
def _bits(mask):
    count = 0
    while mask:
        mask &= mask - 1
        count += 1
    return count


@numba.njit(cache=True)
def _choices(masks, members, shuffled, cells, bits):
    """Fill in the choices at the most constrained place of a board without singles: digits of the cell with the
    fewest, or, if these are fewer, cells of a digit in a unit.

    Returns their number, 0 if no cell is blank.
    """
    size = members.shape[2]
    best, best_cell, best_kind, best_unit, best_bit = 99, -1, -1, -1, 0
    for cell in range(size * size):
        mask = masks[cell]
        if mask & (mask - 1):
            count = _bits(mask)
            if count < best:
                best, best_cell = count, cell
                if count == 2:  # there are no singles
                    break
    if best == 99:
        return 0
    if best > 2:
        for kind in range(3):
            for unit in range(size):
                for digit in range(size):
                    count = 0
                    for place in range(size):
                        count += masks[members[kind, unit, place]] >> digit & 1
                    # a single place is a filled cell
                    if 1 < count < best:
                        best, best_kind, best_unit, best_bit = count, kind, unit, 1 << digit
    found = 0
    if best_kind < 0:
        for digit in range(size):
            if masks[best_cell] >> digit & 1:
                cells[found], bits[found] = best_cell, 1 << digit
                found += 1
    else:
        # cells of a unit ascend
        for place in range(size):
            cell = members[best_kind, best_unit, place]
            if masks[cell] & best_bit:
                cells[found], bits[found] = cell, best_bit
                found += 1
    if shuffled:
        for last in range(found - 1, 0, -1):
            other = np.random.randint(last + 1)
            cells[last], cells[other] = cells[other], cells[last]
            bits[last], bits[other] = bits[other], bits[last]
    return found


@numba.njit(cache=True)
def find_solutions(puzzle, units, size, limit, shuffled, found, guesses, barred_cell=-1, barred_digit=0):
    """Solutions of one puzzle up to `limit`, 0 for one that contradicts itself; for use in numba code.

    With a `barred_cell`, only those without `barred_digit` there. The first ones go into the rows of `found`.
    `guesses[0]` grows by one for each choice after the first that is tried at a branching point. With `shuffled`,
    choices are tried in random order. It has its own stack, because numba cannot load a recursive function from its
    cache.
    """
    num_cells = size * size
    members = np.empty((3, size, size), dtype=np.int64)  # cells of each unit, ascending
    filled = np.zeros((3, size), dtype=np.int64)
    # by level: possible digits of each cell, as bits
    masks = np.empty((num_cells + 1, num_cells), dtype=np.int64)
    queue, pending = np.empty(num_cells, dtype=np.int64), 0
    for cell in range(num_cells):
        for kind in range(3):
            unit = units[kind, cell]
            members[kind, unit, filled[kind, unit]] = cell
            filled[kind, unit] += 1
        masks[0, cell] = (1 << size) - 1
        if puzzle[cell]:
            masks[0, cell] = 1 << (puzzle[cell] - 1)
            queue[pending] = cell
            pending += 1
    if barred_cell >= 0:
        masks[0, barred_cell] &= ~(1 << (barred_digit - 1))
    if not _settle(masks[0], units, members, queue, pending):
        return 0

    cells = np.empty((num_cells + 1, size), dtype=np.int64)
    bits = np.empty((num_cells + 1, size), dtype=np.int64)
    counts = np.empty(num_cells + 1, dtype=np.int64)
    tried = np.empty(num_cells + 1, dtype=np.int64)
    solutions, depth, new_level = 0, 0, True
    while depth >= 0:
        if new_level:
            counts[depth] = _choices(masks[depth], members, shuffled, cells[depth], bits[depth])
            tried[depth] = 0
            if counts[depth] == 0:
                if solutions < len(found):
                    for cell in range(num_cells):
                        found[solutions, cell] = _bits(masks[depth, cell] - 1) + 1
                solutions += 1
                if solutions == limit:
                    break
        if tried[depth] == counts[depth]:
            depth, new_level = depth - 1, False
            continue
        if tried[depth] > 0:
            guesses[0] += 1
        cell, bit = cells[depth, tried[depth]], bits[depth, tried[depth]]
        tried[depth] += 1
        masks[depth + 1] = masks[depth]
        masks[depth + 1, cell], queue[0] = bit, cell
        new_level = _settle(masks[depth + 1], units, members, queue, 1)
        if new_level:
            depth += 1
    return solutions


@numba.njit(cache=True)
def count_solutions(puzzle, units, size, limit, shuffled, solution, guesses):
    """Solutions of one puzzle up to `limit`, 0 for one that contradicts itself; for use in numba code.

    The first solution goes into `solution`; the rest is as in `find_solutions`.
    """
    return find_solutions(puzzle, units, size, limit, shuffled, solution.reshape(1, size * size), guesses)


@numba.njit(cache=True)
def is_needed(puzzle, units, size, cell):
    """Whether a puzzle with one solution has others without its clue in `cell`; for use in numba code.

    It looks for a solution with another digit there, which is less work than finding the known one and another one.
    """
    digit, none, guesses = puzzle[cell], np.empty((0, size * size), dtype=np.int64), np.zeros(1, dtype=np.int64)
    puzzle[cell] = 0
    others = find_solutions(puzzle, units, size, 1, False, none, guesses, cell, digit)
    puzzle[cell] = digit
    return others > 0


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
        limit: stop counting solutions here; 2 is enough to find out whether the solution is unique.
        num_threads: chunks to solve at a time.
        progress: show a progress bar.

    Returns:
        A solution of each puzzle `(puzzles, cells)` uint8 (zeros if there is none), the number of solutions up to
        `limit` `(puzzles,)`, and the rating `(puzzles,)`: how often the search tried a second or later choice at a
        branching point until the solution was known to be unique (0: singles suffice).
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
