"""New Sudoku puzzles made from given ones by exchanging clues, none easier than its ancestor; compiled by numba.

Random puzzles are easy: removing clues from a random solved board (`sudoku_generator`) hardly ever gives one as hard
as those that people collect. Near a hard puzzle, other hard ones are not rare.
"""

from dataclasses import dataclass

import numba
import numpy as np

from hrm_hf.puzzles.sudoku.collect import collect
from hrm_hf.puzzles.sudoku.rules import units_of
from hrm_hf.puzzles.sudoku.solver import count_solutions, find_solutions, is_needed, solve


_SIZE, _CELLS = 9, 81
_STEPS = 8  # exchanges per walk
_PER_STEP = 3  # puzzles to keep per step; the walk continues from one of them
MOST_SOLUTIONS = 200  # of a board with one clue less; if it has that many, another clue is tried
_WALKS = 20  # per thread at a time
_FRUITLESS = 100  # consecutive chunks of walks without a new puzzle, before giving up


@numba.njit
def rate(puzzle, units, scratch, guesses):
    """Solutions of a puzzle up to 2; its rating goes into `guesses[0]`."""
    guesses[0] = 0
    return count_solutions(puzzle, units, _SIZE, 2, False, scratch, guesses)


@numba.njit
def exchanged(base, found, solution, least, units, questions, answers, ratings):
    """Puzzles from a board with several solutions by adding one clue; returns how many fit into `questions`.

    A digit that only one of the solutions has in a cell makes this solution unique. Each puzzle has another solution,
    never `solution`; unnecessary clues are removed in random order.
    """
    counts = np.zeros((_CELLS, _SIZE + 1), dtype=np.int64)  # solutions with a digit in a cell
    for index in range(len(found)):
        for cell in range(_CELLS):
            counts[cell, found[index, cell]] += 1
    scratch, guesses = np.empty(_CELLS, dtype=np.int64), np.zeros(1, dtype=np.int64)
    made = 0
    for index in np.random.permutation(len(found)):
        answer = found[index]
        if made == len(questions):
            break
        if np.array_equal(answer, solution):
            continue
        for cell in np.random.permutation(_CELLS):
            if counts[cell, answer[cell]] == 1:
                puzzle = base.copy()
                puzzle[cell] = answer[cell]
                rate(puzzle, units, scratch, guesses)
                if guesses[0] >= least:
                    for clue in np.random.permutation(_CELLS):
                        if puzzle[clue] and not is_needed(puzzle, units, _SIZE, clue):
                            puzzle[clue] = 0
                    rate(puzzle, units, scratch, guesses)
                    if guesses[0] >= least:
                        questions[made], answers[made], ratings[made] = puzzle, answer, guesses[0]
                        made += 1
                break
    return made


@numba.njit
def _walk(given, solution, least, units, questions, answers, ratings):
    """A random walk from a given puzzle; returns the number of puzzles it has put into `questions` `(most, 81)`."""
    found = np.empty((MOST_SOLUTIONS, _CELLS), dtype=np.int64)
    guesses = np.zeros(1, dtype=np.int64)
    puzzle, answer = given.copy(), solution.copy()
    made = 0
    for _ in range(_STEPS):
        first, end = made, made + _PER_STEP
        base = puzzle.copy()
        for cell in np.random.permutation(_CELLS):
            # only remove clues of the given puzzle, so that the walk leads away from it
            if given[cell] == 0 or puzzle[cell] != given[cell]:
                continue
            base[cell] = 0
            number = find_solutions(base, units, _SIZE, MOST_SOLUTIONS, False, found, guesses)
            if number == 1:
                continue  # an unnecessary clue: remove another one with it
            if number < MOST_SOLUTIONS:
                made += exchanged(
                    base,
                    found[:number],
                    answer,
                    least,
                    units,
                    questions[made:end],
                    answers[made:end],
                    ratings[made:end],
                )
            if made == end:
                break
            base[:] = puzzle
        if made == first:
            break
        chosen = first + np.random.randint(made - first)
        puzzle[:], answer[:] = questions[chosen], answers[chosen]
    return made


# not cached on disk: numba would not notice changes of the solver that is compiled into it
@numba.njit(nogil=True)
def _walks(puzzles, solutions, least, units, seed):
    """A walk from each puzzle: questions, answers, ratings, and the index of the puzzle that each comes from."""
    np.random.seed(seed)
    most = _STEPS * _PER_STEP
    questions = np.zeros((len(puzzles) * most, _CELLS), dtype=np.int64)
    answers = np.zeros((len(puzzles) * most, _CELLS), dtype=np.int64)
    ratings = np.zeros(len(puzzles) * most, dtype=np.int64)
    origins = np.zeros(len(puzzles) * most, dtype=np.int64)
    made = 0
    for index in range(len(puzzles)):
        number = _walk(
            puzzles[index], solutions[index], least[index], units, questions[made:], answers[made:], ratings[made:]
        )
        origins[made : made + number] = index
        made += number
    return questions[:made], answers[:made], ratings[:made], origins[:made]


@dataclass(frozen=True)
class Neighbors:
    """New puzzles: boards `(num, 81)` uint8, their ratings, and the row of the given puzzle that each comes from.

    `removed` counts those that were left out because they equal a puzzle of `apart` or have its solution.
    """

    questions: np.ndarray
    answers: np.ndarray
    ratings: np.ndarray
    ancestors: np.ndarray
    removed: int = 0


def neighbors(
    questions: np.ndarray,
    num: int,
    seed: int = 0,
    num_threads: int = 1,
    hardness: float = 1.0,
    apart: tuple[np.ndarray, np.ndarray] | None = None,
    progress: bool = True,
) -> Neighbors:
    """New puzzles with one solution each, made from given ones by exchanging clues.

    Random walks start from each given puzzle in turn, repeatedly until there are enough. A step removes a random clue
    (more, if the solution stays unique without it), finds all solutions of the remaining board, and adds a clue that
    only one of them has; this is never the previous solution. Unnecessary clues of the new puzzle are removed. It is
    kept, and the walk may continue from it, if its rating is at least `hardness` times that of the given puzzle; by
    default, if it is not easier. Without this rule most would be much easier. On the whole they are still somewhat
    easier than the given ones, because walks from easier ones succeed more often, and walks from the hardest ones may
    never succeed. A neighbor is one to eight exchanges away from its ancestor.

    No two of them are equal up to symmetry, and none of them equals a given one.

    Args:
        questions: `(puzzles, 81)`, 0 for blank, with one solution each.
        num: number of new puzzles.
        seed: for everything random; equal arguments give equal puzzles.
        num_threads: chunks of walks to make at a time; the result is the same for any number.
        hardness: minimum rating (see `solve`) of a neighbor, as a fraction of its ancestor's.
        apart: questions and answers of puzzles to avoid: no neighbor equals such a puzzle, or has such a solution,
            up to symmetry.
        progress: show a progress bar.

    Raises:
        ValueError: if a request is impossible, or too few new puzzles are found.
    """
    if num < 1:
        raise ValueError(f"num={num} is not allowed; it must be at least 1.")
    if questions.shape[1] != _CELLS or not len(questions):
        raise ValueError(
            f"Neighbors are made from puzzles of {_CELLS} cells, not from an array of shape {questions.shape}; give "
            "at least one puzzle of size 9."
        )
    units = units_of(_SIZE)
    solutions, counts, given_ratings = solve(questions, _SIZE, num_threads=num_threads)
    if (counts != 1).any():
        row = int(np.flatnonzero(counts != 1)[0])
        raise ValueError(
            f"The given puzzle in row {row} has {'no' if counts[row] == 0 else 'more than one'} solution; leave out "
            "those without exactly one."
        )
    given, solutions = questions.astype(np.int64), solutions.astype(np.int64)
    least = np.ceil(hardness * given_ratings).astype(np.int64)

    def make_chunk(number: int):
        rows = np.arange(number * _WALKS, (number + 1) * _WALKS) % len(given)
        chunk_seed = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
        *made, origins = _walks(given[rows], solutions[rows], least[rows], units, chunk_seed)
        return *made, rows[origins]

    (new_questions, new_answers, ratings, ancestors), removed = collect(
        make_chunk,
        num,
        _SIZE,
        "neighbors",
        num_threads,
        _FRUITLESS,
        lambda found: (
            f"Only {found} neighbors of {len(given)} puzzles were found, not {num}: the last {_FRUITLESS * _WALKS} "
            "walks gave none that is new up to symmetry; ask for fewer or give more puzzles."
        ),
        known=questions,
        apart=apart,
        progress=progress,
    )
    return Neighbors(new_questions.astype(np.uint8), new_answers.astype(np.uint8), ratings, ancestors, removed)
