"""A Sudoku generator: puzzles of any supported size with exactly one solution, no two of them alike."""

import numba
import numpy as np

from hrm_hf.puzzles.sudoku.collect import collect
from hrm_hf.puzzles.sudoku.rules import FEWEST_CLUES, units_of
from hrm_hf.puzzles.sudoku.solver import count_solutions, is_needed, solve


_FRUITLESS = 50  # consecutive chunks without a new puzzle, before giving up


# not cached on disk: numba would not notice changes of the solver that is compiled into it
@numba.njit(nogil=True)
def random_puzzles(num, units, size, clues, seed):
    """`num` random solved boards and their puzzles; `clues` 0 is the minimum reached by removing them one by one."""
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
        clues: given cells of every puzzle; by default the minimum reached by removing them one by one (about 24 for
            size 9).
        min_rating, max_rating: keep puzzles whose rating (see `solve`) is within these bounds.
        seed: for everything random; equal arguments give equal puzzles.
        progress: show a progress bar.
        num_threads: chunks of puzzles to make at a time; the result is the same for any number.

    Returns:
        Questions and answers `(num, cells)` uint8 and ratings `(num,)` int64.

    Raises:
        ValueError: if a request is impossible, or too few such puzzles are found.
    """
    units = units_of(size)
    if num < 1:
        raise ValueError(f"num={num} is not allowed; it must be at least 1.")
    if clues is not None and not FEWEST_CLUES[size] <= clues < size * size:
        raise ValueError(
            f"clues={clues} is not allowed for size {size}; it must be from {FEWEST_CLUES[size]}, the fewest known to "
            f"determine a solution, to {size * size - 1}."
        )
    if max_rating is not None and max_rating < min_rating:
        raise ValueError(f"min_rating={min_rating} is above max_rating={max_rating}; no puzzle can be both.")

    chunk = max(64, min(1000, num))

    def make_chunk(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        chunk_seed = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
        questions, answers, reached = random_puzzles(chunk, units, size, clues or 0, chunk_seed)
        questions, answers = questions[reached].astype(np.uint8), answers[reached].astype(np.uint8)
        _, _, ratings = solve(questions, size)
        wanted = (ratings >= min_rating) & (True if max_rating is None else ratings <= max_rating)
        return questions[wanted], answers[wanted], ratings[wanted]

    puzzles, _ = collect(
        make_chunk,
        num,
        size,
        f"generate {size}x{size}",
        num_threads,
        _FRUITLESS,
        lambda found: (
            f"Only {found} puzzles of size {size} with clues={clues} and a rating from {min_rating} to {max_rating} "
            f"were found, not {num}: the last {_FRUITLESS * chunk} tries gave none that is new up to symmetry; ask "
            "for fewer puzzles, more clues or a wider range of ratings."
        ),
        progress=progress,
    )
    return puzzles
