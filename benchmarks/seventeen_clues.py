"""Sudoku with 17 clues, the minimum, for benchmarks.sudoku_kinds: benchmarks/seventeen_clues.txt.

    python -m benchmarks.seventeen_clues            # two minutes on two cores; equal seeds find equal puzzles

Such puzzles cannot be generated in reasonable time; most known ones were found near others. So were those in this
list: it starts with the first 19 of Gordon Royle's collection (Minimum Sudoku, University of Western Australia,
https://school.maths.uwa.edu.au/~gordon/sudokumin.php), removes one or two clues of a puzzle and adds as many. A puzzle
that has one solution by exact search and equals no other up to symmetry is kept, and the search goes on from it.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numba
import numpy as np
from tqdm import tqdm

from hrm_hf.puzzles.sudoku.rules import format_boards, units_of
from hrm_hf.puzzles.sudoku.solver import count_solutions, solve
from hrm_hf.puzzles.sudoku.symmetry import fingerprint
from hrm_hf.utils.files import whole_file


FILE = Path(__file__).with_suffix(".txt")
ROYLE = (
    "000000010400000000020000000000050407008000300001090000300400200050100000000806000",
    "000000010400000000020000000000050604008000300001090000300400200050100000000807000",
    "000000012000035000000600070700000300000400800100000000000120000080000040050000600",
    "000000012003600000000007000410020000000500300700000600280000040000300500000000000",
    "000000012008030000000000040120500000000004700060000000507000300000620000000100000",
    "000000012040050000000009000070600400000100000000000050000087500601000300200000000",
    "000000012050400000000000030700600400001000000000080000920000800000510700000003000",
    "000000012300000060000040000900000500000001070020000000000350400001400800060000000",
    "000000012400090000000000050070200000600000400000108000018000000000030700502000000",
    "000000012500008000000700000600120000700000450000030000030000800000500700020000000",
    "000000012700060000000000050080200000600000400000109000019000000000030800502000000",
    "000000012800040000000000060090200000700000400000501000015000000000030900602000000",
    "000000012980000000000600000100700080402000000000300600070000300050040000000010000",
    "000000013000030080070000000000206000030000900000010000600500204000400700100000000",
    "000000013000200000000000080000760200008000400010000000200000750600340000000008000",
    "000000013000500070000802000000400900107000000000000200890000050040000600000010000",
    "000000013000700060000508000000400800106000000000000200740000050020000400000010000",
    "000000013000700060000509000000400900106000000000000200740000050080000400000010000",
    "000000013000800070000502000000400900107000000000000200890000050040000600000010000",
)
SIZE, CELLS = 9, 81
UNITS = units_of(SIZE)
# solutions of a puzzle without two of its clues that are drawn before pairs of clues are tried: a pair that two of
# these have in common leaves two solutions
SAMPLED_SOLUTIONS = 3000


def read_puzzles() -> np.ndarray:
    """The puzzles of the list, `(puzzles, 81)` uint8, 0 for a blank cell."""
    return boards_of(FILE.read_text().split())


def boards_of(lines: list[str] | tuple[str, ...]) -> np.ndarray:
    """Boards `(puzzles, 81)` uint8 from lines with `0` or `.` for a blank cell."""
    return np.array([[0 if cell == "." else int(cell) for cell in line] for line in lines], dtype=np.uint8)


# not cached on disk: numba would not notice changes of the solver compiled into it
@numba.njit(nogil=True)
def _random_solutions(puzzle, units, number, seed):
    """Solutions of a puzzle by searches in random order, `(number, 81)`; some may be equal."""
    np.random.seed(seed)
    found = np.zeros((number, len(puzzle)), dtype=np.int64)
    guesses = np.zeros(1, dtype=np.int64)
    for index in range(number):
        count_solutions(puzzle, units, 9, 1, True, found[index], guesses)
    return found


def clues_that_fit(puzzle: np.ndarray) -> list[tuple[int, int]]:
    """Clues (cell, digit) that can be added to a puzzle `(81,)` without repeating a digit in a row, column or box."""
    free = []
    for cell in np.flatnonzero(puzzle == 0):
        taken = set(puzzle[(UNITS == UNITS[:, cell, None]).any(0)].tolist())
        free += [(int(cell), digit) for digit in range(1, SIZE + 1) if digit not in taken]
    return free


def with_clues(puzzle: np.ndarray, additions: list[tuple[tuple[int, int], ...]]) -> np.ndarray:
    """The puzzle with each addition of clues that gives one solution, `(found, 81)` uint8."""
    if not additions:
        return np.zeros((0, CELLS), dtype=np.uint8)
    boards = np.tile(puzzle, (len(additions), 1))
    for board, clues in zip(boards, additions, strict=True):
        for cell, digit in clues:
            board[cell] = digit
    return boards[solve(boards, SIZE)[1] == 1]


def swap_one(puzzle: np.ndarray) -> np.ndarray:
    """All puzzles with one solution that differ from this one `(81,)` in one clue, `(found, 81)`, including itself."""
    found = []
    for cell in np.flatnonzero(puzzle):
        rest = puzzle.copy()
        rest[cell] = 0
        found.append(with_clues(rest, [(clue,) for clue in clues_that_fit(rest)]))
    return np.concatenate(found)


def swap_two(puzzle: np.ndarray, cells: tuple[int, int], seed: int) -> np.ndarray:
    """All puzzles with one solution that replace the two clues in `cells`, `(found, 81)`, including this one."""
    rest = puzzle.copy()
    rest[list(cells)] = 0
    free = clues_that_fit(rest)
    solutions = np.unique(_random_solutions(rest.astype(np.int64), UNITS, SAMPLED_SOLUTIONS, seed), axis=0)
    has = np.stack([solutions[:, cell] == digit for cell, digit in free]).astype(np.float32)
    in_common = has @ has.T
    pairs = [
        (free[first], free[second])
        for first, second in np.argwhere(np.triu(in_common <= 1, 1)).tolist()
        if free[first][0] != free[second][0]
    ]
    return with_clues(rest, pairs)


def search(pairs: int, seed: int) -> np.ndarray:
    """Search around the known puzzles.

    Args:
        pairs: number of times that two clues are removed.
        seed: for the choice of clues and the drawn solutions.

    Returns:
        Puzzles of 17 clues with one solution each, no two equal up to symmetry, `(found, 81)`, the known ones first.
    """
    known = boards_of(ROYLE)
    known = known[(solve(known, SIZE)[1] == 1) & ((known > 0).sum(1) == 17)]
    found: dict[int, np.ndarray] = {}
    rng = np.random.default_rng(seed)
    waiting: list[tuple[np.ndarray, tuple[int, int]]] = []

    def keep(boards: np.ndarray) -> None:
        """Keep new ones, and all that single swaps reach from them."""
        while len(boards):
            new = [
                (mark, board)
                for mark, board in zip(fingerprint(boards, SIZE).tolist(), boards, strict=True)
                if mark not in found
            ]
            found.update(new)
            for _, board in new:
                waiting.extend((board, cells) for cells in combinations(np.flatnonzero(board).tolist(), 2))
            boards = np.concatenate([swap_one(board) for _, board in new]) if new else boards[:0]

    keep(known)
    # rounds of fixed size, so that the result does not depend on how many run in parallel
    step = 20
    with ThreadPoolExecutor(2) as pool, tqdm(total=pairs, unit="pair") as bar:
        for start in range(0, pairs, step):
            drawn = [waiting.pop(int(rng.integers(len(waiting)))) for _ in range(min(step, len(waiting)))]
            seeds = range(start, start + len(drawn))
            neighbors = pool.map(lambda job, number: swap_two(*job, seed=seed + number), drawn, seeds)
            keep(np.concatenate(list(neighbors)))
            bar.update(len(drawn))
            bar.set_postfix(found=len(found))
    return np.stack(list(found.values()))


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200, help="number of times that two clues are removed")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found = search(args.pairs, args.seed)
    with whole_file(FILE) as partial:
        partial.write_text("\n".join(format_boards(found)) + "\n")
    print(f"{len(found)} puzzles of 17 clues, {len(ROYLE)} of them already known; written to {FILE}")


if __name__ == "__main__":
    main()
