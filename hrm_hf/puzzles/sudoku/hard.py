"""Hard 9x9 Sudoku from only a seed: random puzzles are made harder by exchanging clues; compiled by numba.

A random puzzle takes a solver about two guesses. Some of the puzzles that differ from it by one clue take more, some
of their neighbors still more, and after five to ten such exchanges a climb is at fifty or more, or gives up.
"""

import numba
import numpy as np

from hrm_hf.puzzles.sudoku.collect import collect
from hrm_hf.puzzles.sudoku.generator import random_puzzles
from hrm_hf.puzzles.sudoku.neighbors import MOST_SOLUTIONS, exchanged, rate
from hrm_hf.puzzles.sudoku.rules import units_of
from hrm_hf.puzzles.sudoku.solver import find_solutions


_SIZE, _CELLS = 9, 81
# range of the target rating of a climb, log-uniform
_TARGETS = (15.0, 80.0)
_STEPS = 40  # exchanges of a climb
_PER_STEP = 6  # puzzles of one step; the climb continues from the hardest
_PATIENCE = 4  # consecutive steps without a harder puzzle, before a climb gives up
_PER_CLIMB = 12  # puzzles to keep per climb
_CLIMBS = 20  # per thread at a time
_FRUITLESS = 100  # consecutive chunks of climbs without a new puzzle, before giving up


@numba.njit
def _climb(start, solution, target, units, questions, answers, ratings):
    """Make a puzzle harder until its rating is `target`, and continue to walk at that level.

    Returns the number of puzzles with at least that rating that it has put into `questions` `(most, 81)`.
    """
    found = np.empty((MOST_SOLUTIONS, _CELLS), dtype=np.int64)
    scratch, guesses = np.empty(_CELLS, dtype=np.int64), np.zeros(1, dtype=np.int64)
    step_questions = np.empty((_PER_STEP, _CELLS), dtype=np.int64)
    step_answers = np.empty((_PER_STEP, _CELLS), dtype=np.int64)
    step_ratings = np.empty(_PER_STEP, dtype=np.int64)
    puzzle, answer, base, first = start.copy(), solution.copy(), start.copy(), start.copy()
    rate(puzzle, units, scratch, guesses)
    rating, has_arrived, made, stuck = guesses[0], False, 0, 0
    for _ in range(_STEPS):
        if rating >= target and not has_arrived:
            has_arrived = True
            first[:] = puzzle
        number = 0
        for cell in np.random.permutation(_CELLS):
            # at this level, only remove clues of the first puzzle there, so that the walk does not turn back
            if puzzle[cell] == 0 or (has_arrived and puzzle[cell] != first[cell]):
                continue
            base[:] = puzzle
            base[cell] = 0
            count = find_solutions(base, units, _SIZE, MOST_SOLUTIONS, False, found, guesses)
            if 1 < count < MOST_SOLUTIONS:
                number += exchanged(
                    base,
                    found[:count],
                    answer,
                    min(rating, target),
                    units,
                    step_questions[number:],
                    step_answers[number:],
                    step_ratings[number:],
                )
            if number == _PER_STEP:
                break
        if number == 0:
            break
        for index in range(number):
            if step_ratings[index] >= target and made < len(questions):
                questions[made], answers[made] = step_questions[index], step_answers[index]
                ratings[made] = step_ratings[index]
                made += 1
        chosen = np.random.randint(number) if has_arrived else np.argmax(step_ratings[:number])
        stuck = 0 if step_ratings[chosen] > rating else stuck + 1
        puzzle[:], answer[:], rating = step_questions[chosen], step_answers[chosen], step_ratings[chosen]
        if made == len(questions) or (stuck == _PATIENCE and not has_arrived):
            break
    return made


# not cached on disk: numba would not notice changes of the solver that is compiled into it
@numba.njit(nogil=True)
def _climbs(starts, solutions, targets, units, seed):
    """A climb from each puzzle: questions, answers and ratings."""
    np.random.seed(seed)
    questions = np.empty((len(starts) * _PER_CLIMB, _CELLS), dtype=np.int64)
    answers = np.empty((len(starts) * _PER_CLIMB, _CELLS), dtype=np.int64)
    ratings = np.empty(len(starts) * _PER_CLIMB, dtype=np.int64)
    made = 0
    for index in range(len(starts)):
        end = made + _PER_CLIMB
        made += _climb(
            starts[index],
            solutions[index],
            targets[index],
            units,
            questions[made:end],
            answers[made:end],
            ratings[made:end],
        )
    return questions[:made], answers[:made], ratings[:made]


def generate_hard(
    num: int,
    seed: int = 0,
    num_threads: int = 1,
    apart: tuple[np.ndarray, np.ndarray] | None = None,
    progress: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hard 9x9 puzzles with one solution each and no unnecessary clue, no two equal up to symmetry.

    Each climb starts at a random puzzle and exchanges one clue at a time (`hrm_hf.puzzles.sudoku.neighbors`): it
    continues from the hardest puzzle that a step finds. Its target is a rating drawn between 15 and 80; at that level
    up to twelve puzzles are kept.

    Args:
        num: how many.
        seed: for everything random; equal arguments give equal puzzles.
        num_threads: chunks of climbs to make at a time; the result is the same for any number.
        apart: questions and answers, `(puzzles, 81)` each, to avoid: none of the new puzzles equals one of them or
            has such a solution, up to symmetry.
        progress: show a progress bar.

    Returns:
        Questions and answers `(num, 81)` uint8 and ratings (see `solve`) `(num,)` int64.

    Raises:
        ValueError: if a request is impossible.
    """
    if num < 1:
        raise ValueError(f"num={num} is not allowed; it must be at least 1.")
    units = units_of(_SIZE)

    def make_chunk(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        own = np.random.SeedSequence((seed, number))
        start_seed, walk_seed = (int(value) for value in own.generate_state(2))
        starts, solutions, _ = random_puzzles(_CLIMBS, units, _SIZE, 0, start_seed)
        low, high = np.log(_TARGETS)
        targets = np.exp(np.random.default_rng(own).uniform(low, high, _CLIMBS)).astype(np.int64)
        questions, answers, ratings = _climbs(starts, solutions, targets, units, walk_seed)
        return questions.astype(np.uint8), answers.astype(np.uint8), ratings

    puzzles, _ = collect(
        make_chunk,
        num,
        _SIZE,
        "hard 9x9",
        num_threads,
        _FRUITLESS,
        lambda found: f"Only {found} hard puzzles were found, not {num}; ask for fewer.",
        apart=apart,
        progress=progress,
    )
    return puzzles
