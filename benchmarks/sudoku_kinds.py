"""The shipped Sudoku model on easy puzzles and on puzzles with 17 clues, on this computer.

    python -m benchmarks.sudoku_kinds           # some minutes on both cores of a laptop

Easy ones are generated: many clues, and no guessing for the exact solver (rating 0). Those with 17 clues are the list
of benchmarks.seventeen_clues and random symmetric copies of it up to the number. A copy is another puzzle for the
model, but says little new about puzzles with 17 clues, so there are also figures by distinct puzzle. Lines: a single
pass of 16 segments, and the copies and segments of `hrm-hf solve`. Every answer is checked by the rules. The first
line is the time for one hard puzzle at a time, as seen by a user of `hrm-hf solve`.
"""

import argparse
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
import transformers
from accelerate import Accelerator

from benchmarks.records import processor_name, write_records
from benchmarks.seventeen_clues import boards_of, read_puzzles
from hrm_hf.checkpoints import SHIPPED_SUDOKU, load_checkpoint
from hrm_hf.cli import SHIPPED_SAMPLES, SHIPPED_SEGMENTS
from hrm_hf.evaluation.checked_solving import solve_checked
from hrm_hf.evaluation.test_time_compute import choose, draw_samples
from hrm_hf.puzzles.sudoku.generator import generate
from hrm_hf.puzzles.sudoku.rules import conflicts, format_boards
from hrm_hf.puzzles.sudoku.solver import solve as solve_exactly
from hrm_hf.puzzles.sudoku.symmetry import random_symmetries
from hrm_hf.utils.statistics import binomial_interval


SIZE = 9
EASY_CLUES = 36
SEGMENTS = 16  # of the single pass, as in training
# puzzles per batch of a process: small batches stay in the caches of a CPU
BATCH_SIZE = 128
# number of generated puzzles that are timed, and their minimum rating
NUM_TIMED, HARD_RATING = 25, 10


def easy_puzzles(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Generated puzzles `(number, 81)` uint8, and for each the index of its distinct puzzle."""
    return generate(number, SIZE, EASY_CLUES, max_rating=0, seed=seed)[0], np.arange(number)


def seventeen_clue_puzzles(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The list, then symmetric copies of it in turn, in the form of `easy_puzzles`."""
    known = read_puzzles()
    groups = np.arange(number) % len(known)
    copies = random_symmetries(torch.arange(number), seed, SIZE).apply(torch.from_numpy(known[groups]).long())
    boards = copies.numpy().astype(np.uint8)
    boards[: len(known)] = known[:number]
    return boards, groups


def solve_share(boards: np.ndarray, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """Answers to boards `(puzzles, 81)`, on one core in a separate process.

    Returns:
        For `single` and `copies` the `answers` `(puzzles, 81)`, and the `segments` and `copies` of each. The single
        pass is the start of the first copy's, so it costs nothing.
    """
    # more would hang in a process forked from one that has used threads
    torch.set_num_threads(1)
    model, processor = load_checkpoint(str(SHIPPED_SUDOKU))
    outputs = []

    def solve(*arguments, **keywords):
        outputs.append(model.solve(*arguments, **keywords, return_history=True))
        return outputs[-1]

    samples = draw_samples(
        solve,
        {
            "input_ids": torch.from_numpy(boards).long() + 1,  # token 1 is the blank cell
            "puzzle_identifiers": torch.zeros(len(boards), dtype=torch.int64),
        },
        processor,
        Accelerator(cpu=True),
        SHIPPED_SAMPLES,
        batch_size=BATCH_SIZE,
        max_segments=SHIPPED_SEGMENTS,
        seed=seed,
    )
    chosen = choose(samples)
    # the first batches are the original puzzles, in order
    firsts = outputs[: -(-len(boards) // BATCH_SIZE)]
    segments = samples.segments[:, 0].clamp(max=SEGMENTS)
    early = torch.cat([output.prediction_history[:, :SEGMENTS][:, -1] for output in firsts])
    return {
        "single": {
            "answers": (early - 1).numpy(),
            "segments": segments.numpy(),
            "copies": np.ones(len(boards), dtype=np.int64),
        },
        "copies": {
            "answers": (chosen.predictions - 1).numpy(),
            "segments": chosen.segments.numpy(),
            "copies": chosen.num_samples.numpy(),
        },
    }


def keep_rules(boards: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Which answers keep every clue, have no blank cell and no digit twice in a row, column or box: `(puzzles,)` bool.

    Written independently, so that it shares no error with the package's check for stopping.
    """
    keeps_clues = ((boards == 0) | (boards == answers)).all(1)
    complete = ((answers >= 1) & (answers <= SIZE)).all(1)
    return keeps_clues & complete & ~conflicts(np.where(complete[:, None], answers, 0).astype(np.uint8), SIZE)


def measure(boards: np.ndarray, groups: np.ndarray, processes: int, seed: int) -> list[dict]:
    """Solve puzzles `(puzzles, 81)` with and without copies, and count; the fields of two records.

    Raises:
        ValueError: if a puzzle does not have exactly one solution.
    """
    solutions, counts, ratings = solve_exactly(boards, SIZE)
    if (counts != 1).any():
        raise ValueError(f"{(counts != 1).sum()} of the puzzles do not have exactly one solution; leave them out.")
    start = time.perf_counter()
    # every other puzzle, so that the shares are similar
    shares = [np.arange(first, len(boards), processes) for first in range(processes)]
    with ProcessPoolExecutor(processes) as pool:
        jobs = [pool.submit(solve_share, boards[share], seed + number) for number, share in enumerate(shares)]
        parts = [job.result() for job in jobs]
    seconds = time.perf_counter() - start
    order = np.argsort(np.concatenate(shares))
    common = {
        "n": len(boards),
        "clues": int((boards[0] > 0).sum()),
        "mean_rating": round(float(ratings.mean()), 2),
        "max_rating": int(ratings.max()),
        "seconds_of_both_lines": round(seconds, 1),
    }
    return [
        common
        | {"method": method, "segments": max_segments, "samples": num_samples}
        | scores(
            {key: np.concatenate([part[method][key] for part in parts])[order] for key in parts[0][method]},
            boards,
            solutions,
            groups,
        )
        for method, num_samples, max_segments in (
            ("single", 1, SEGMENTS),
            ("copies", SHIPPED_SAMPLES, SHIPPED_SEGMENTS),
        )
    ]


def scores(found: dict[str, np.ndarray], boards: np.ndarray, solutions: np.ndarray, groups: np.ndarray) -> dict:
    """Counts over all puzzles and over distinct ones, from the result of `solve_share` for a method."""
    answers = found["answers"]
    kept, exact = keep_rules(boards, answers), (answers == solutions).all(1)
    accuracy = float(exact.mean())
    by_puzzle = [exact[groups == group] for group in np.unique(groups)]
    as_listed = sum(bool(part[0]) for part in by_puzzle)
    return {
        "mean_segments": round(float(found["segments"].mean()), 2),
        "mean_copies": round(float(found["copies"].mean()), 3),
        "exact_accuracy": round(accuracy, 5),
        "ci95_as_if_copies_were_independent": binomial_interval(accuracy, len(boards)),
        "cell_accuracy": round(float((answers == solutions).mean()), 6),
        "unsolved": int((~kept).sum()),
        # 0, since each puzzle has one solution: an answer that keeps the rules is that one
        "wrong_boards_that_keep_the_rules": int((kept & ~exact).sum()),
        "distinct": len(by_puzzle),
        "distinct_solved_as_listed": as_listed,
        "distinct_solved_in_every_copy": sum(bool(part.all()) for part in by_puzzle),
        "distinct_accuracy": round(as_listed / len(by_puzzle), 5),
        "distinct_ci95": binomial_interval(as_listed / len(by_puzzle), len(by_puzzle)),
    }


def time_hard_puzzles(processes: int, seed: int) -> dict:
    """Seconds that a user of `hrm-hf solve` waits for one hard puzzle once the model is loaded; fields of a record."""
    torch.set_num_threads(processes)
    load = os.getloadavg()[0]
    model, processor = load_checkpoint(str(SHIPPED_SUDOKU))
    made = format_boards(generate(NUM_TIMED, SIZE, min_rating=HARD_RATING, seed=seed)[0])
    puzzles = [*HARDEST, *made]
    options = {"num_samples": SHIPPED_SAMPLES, "max_segments": SHIPPED_SEGMENTS}
    solve_checked(model, processor, puzzles[0], **options)
    seconds, results = [], []
    for puzzle in puzzles:
        start = time.perf_counter()
        results += solve_checked(model, processor, puzzle, **options)
        seconds.append(time.perf_counter() - start)
    _, _, ratings = solve_exactly(boards_of(puzzles), SIZE)
    return {
        "n": len(puzzles),
        "threads": processes,
        # load of this computer beforehand, because others use it too
        "load_average": round(load, 2),
        "mean_rating": round(float(ratings.mean()), 2),
        "max_rating": int(ratings.max()),
        "segments": SHIPPED_SEGMENTS,
        "samples": SHIPPED_SAMPLES,
        "mean_segments": round(statistics.fmean(result.segments for result in results), 2),
        "solved": sum(result.solved for result in results),
        "within_2_seconds": sum(value <= 2 for value in seconds),
        "seconds_mean": round(statistics.fmean(seconds), 3),
        "seconds_median": round(statistics.median(seconds), 3),
        "seconds_most": round(max(seconds), 3),
        "seconds_of_each": [round(value, 3) for value in seconds],
    }


# known to be hard for people or programs: Golden Nugget and Easter Monster from the Sudoku Players' forum, two by
# Arto Inkala (2010 and 2012), and one from Peter Norvig's essay
HARDEST = (
    ".......39.....1..5..3.5.8....8.9...6.7...2...1..4.......9.8..5..2....6..4..7.....",
    "1.......2.9.4...5...6...7...5.9.3.......7.......85..4.7.....6...3...9.8...2.....1",
    "..53.....8......2..7..1.5..4....53...1..7...6..32...8..6.5....9..4....3......97..",
    "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..",
    "4.....8.5.3..........7......2.....6.....8.4......1.......6.3.7.5..2.....1.4......",
)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=1000, help="number of puzzles of each kind")
    parser.add_argument("--processes", type=int, default=2, help="one thread each")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    model, _ = load_checkpoint(str(SHIPPED_SUDOKU))
    common = {
        "benchmark": "sudoku_kinds",
        "device": processor_name(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "parameters": model.num_parameters(),
        "seed": args.seed,
    }
    records = [common | {"variant": "time of one hard puzzle"} | time_hard_puzzles(args.processes, args.seed)]
    print(records[0], flush=True)
    for variant, make in (("easy", easy_puzzles), ("17 clues", seventeen_clue_puzzles)):
        boards, groups = make(args.number, args.seed)
        for found in measure(boards, groups, args.processes, args.seed):
            records.append(common | {"variant": variant} | found)
            print(records[-1], flush=True)
    print(write_records("sudoku_kinds", records))


if __name__ == "__main__":
    main()
