"""A Sudoku generator: puzzles of any supported size with exactly one solution, no two of them alike."""

from contextlib import closing

import numba
import numpy as np
from tqdm import tqdm

from hrm_hf.puzzles.sudoku.rules import FEWEST_CLUES, units_of
from hrm_hf.puzzles.sudoku.solver import count_solutions, is_needed, solve
from hrm_hf.puzzles.sudoku.symmetry import fingerprint
from hrm_hf.utils.parallel import in_order


# not cached on disk: numba would not notice a change of the solver that is compiled into it
@numba.njit(nogil=True)
def _generate(num, units, size, clues, seed):
    """`num` random solved boards and puzzles of them; `clues` 0 means as few as removing one by one allows."""
    np.random.seed(seed)
    cells = size * size
    questions = np.zeros((num, cells), dtype=np.int64)
    answers = np.zeros((num, cells), dtype=np.int64)
    reached = np.zeros(num, dtype=np.bool_)
    guesses = np.zeros(1, dtype=np.int64)
    for index in range(num):
        count_solutions(np.zeros(cells, dtype=np.int64), units, size, 1, True, answers[index], guesses)
        puzzle = answers[index].copy()
        left = cells
        for cell in np.random.permutation(cells):
            if left == clues:
                break
            if not is_needed(puzzle, units, size, cell):
                puzzle[cell] = 0
                left -= 1
        questions[index] = puzzle
        reached[index] = clues in (0, left)
    return questions, answers, reached


def generate(
    num: int,
    size: int = 9,
    clues: int | None = None,
    min_rating: int = 0,
    max_rating: int | None = None,
    seed: int = 0,
    progress: bool = True,
    num_threads: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random puzzles with exactly one solution, no two of them equal up to the symmetries of Sudoku.

    A random solved board loses cells in random order as long as its solution stays unique: down to `clues`, or until
    no cell can be removed.

    Args:
        num: how many.
        size: 4, 6, 9 or 16.
        clues: given cells of every puzzle; by default as few as removing one by one reaches (24 or so for size 9).
        min_rating, max_rating: keep puzzles whose rating (see `solve`) is within these bounds.
        seed: of everything random; equal arguments give equal puzzles.
        progress: show a progress bar.
        num_threads: chunks of puzzles that are made at a time; the result is the same for any number.

    Returns:
        Questions and answers `(num, cells)` uint8 and ratings `(num,)` int64.

    Raises:
        ValueError: for an impossible wish, also when too few puzzles of that kind turn up.
    """
    units = units_of(size)
    if num < 1:
        raise ValueError(f"num={num} is not allowed; ask for at least one puzzle.")
    if clues is not None and not FEWEST_CLUES[size] <= clues < size * size:
        raise ValueError(
            f"clues={clues} is not allowed for size {size}; it must be from {FEWEST_CLUES[size]}, the fewest known to "
            f"determine a solution, to {size * size - 1}."
        )
    if max_rating is not None and max_rating < min_rating:
        raise ValueError(f"min_rating={min_rating} is above max_rating={max_rating}; no puzzle can be both.")

    kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    seen: set[int] = set()
    chunk, fruitless = max(64, min(1000, num)), 0

    def make_chunk(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        chunk_seed = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
        questions, answers, reached = _generate(chunk, units, size, clues or 0, chunk_seed)
        questions, answers = questions[reached].astype(np.uint8), answers[reached].astype(np.uint8)
        _, _, ratings = solve(questions, size)
        wanted = (ratings >= min_rating) & (True if max_rating is None else ratings <= max_rating)
        return questions[wanted], answers[wanted], ratings[wanted]

    with (
        tqdm(total=num, desc=f"generate {size}x{size}", unit="puzzle", disable=not progress) as bar,
        closing(in_order(make_chunk, num_threads)) as chunks,
    ):
        while len(seen) < num:
            questions, answers, ratings = next(chunks)
            new = []
            for index, mark in enumerate(fingerprint(questions, size).tolist()):
                if mark not in seen and len(seen) < num:
                    seen.add(mark)
                    new.append(index)
            kept.append((questions[new], answers[new], ratings[new]))
            bar.update(len(new))
            fruitless = 0 if new else fruitless + 1
            if fruitless == 50:
                raise ValueError(
                    f"Only {len(seen)} puzzles of size {size} with clues={clues} and a rating from {min_rating} to "
                    f"{max_rating} turned up, not {num}: the last {50 * chunk} tries gave none that is new up to "
                    "symmetry; ask for fewer puzzles, more clues or a wider range of ratings."
                )
    questions, answers, ratings = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    return questions, answers, ratings
