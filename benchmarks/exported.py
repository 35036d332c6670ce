"""Exported models against PyTorch on this computer: hard Sudoku solved, and how fast, one puzzle at a time.

    hrm-hf export hrm_hf/pretrained/sudoku-hard --format onnx --out build/sudoku-hard
    python -m benchmarks.exported build/sudoku-hard --csv test.csv.gz
    python -m benchmarks.exported build/sudoku-hard --csv test.csv.gz --puzzles 10000 --record int8 \\
        --by "onnxruntime float32" --by "onnxruntime int8"

The last command takes two hours on one core for all puzzles of the test split. Its record decides whether int8 may be
the default: it counts the puzzles that only one of the two models solves.

A line of the CSV is `source,question,answer,rating`; without a CSV, hard puzzles are generated. There are two ways to
solve: a single pass of 16 segments, and 64 segments on at most 8 copies, as in `hrm-hf solve`. Every answer is checked
by the rules. Times are CPU times of all threads of the process; on a busy machine, wall times say little.
"""

import argparse
import csv
import gzip
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import transformers
from accelerate import Accelerator

from benchmarks.records import processor_name, write_records
from hrm_hf.checkpoints import SHIPPED_SUDOKU, load_checkpoint
from hrm_hf.cli import SHIPPED_SAMPLES, SHIPPED_SEGMENTS
from hrm_hf.evaluation.test_time_compute import choose, draw_samples
from hrm_hf.export.solver import load_exported
from hrm_hf.utils.statistics import binomial_interval


RUNNERS = ("torch float32", "onnxruntime float32", "onnxruntime int8")
# share of the puzzles that int8 may lose, at the lower end of the 95 % interval, to count as equally good
MOST_LOST = 0.005
WAYS = {"single": (1, 16), "copies": (SHIPPED_SAMPLES, SHIPPED_SEGMENTS)}


def read_puzzles(file: Path | None, number: int) -> list[str]:
    """Puzzles as lines, evenly spread over the file."""
    if file is None:
        from hrm_hf.puzzles.sudoku.generator import generate
        from hrm_hf.puzzles.sudoku.rules import format_boards

        return format_boards(generate(number, 9, min_rating=10, progress=False)[0])
    opened = gzip.open(file, "rt") if file.suffix == ".gz" else file.open()
    with opened:
        lines = [row["question"] for row in csv.DictReader(opened)]
    return [lines[index] for index in np.linspace(0, len(lines) - 1, min(number, len(lines))).astype(int)]


def measure(model, processor, puzzles: list[str], way: str) -> tuple[dict, np.ndarray]:
    """Solve one puzzle at a time: fields of a record, and which puzzles were solved."""
    samples, segments = WAYS[way]
    accelerator = Accelerator(cpu=True)
    boards = [dict(processor([puzzle])) for puzzle in puzzles]

    def solve(board: dict[str, torch.Tensor]):
        drawn = draw_samples(
            model.solve, board, processor, accelerator, samples, symmetries=samples > 1, max_segments=segments
        )
        return choose(drawn)

    for board in boards[:3]:
        solve(board)
    start, clock = time.process_time(), time.perf_counter()
    chosen = [solve(board) for board in boards]
    seconds, waited = time.process_time() - start, time.perf_counter() - clock
    is_solved = np.array([bool(each.keeps_rules[0]) for each in chosen])
    solved = int(is_solved.sum())
    total = sum(int(each.segments[0]) for each in chosen)
    fields = {
        "method": way,
        "samples": samples,
        "segments": segments,
        "n": len(puzzles),
        "solved": solved,
        "exact_accuracy": solved / len(puzzles),
        "ci95": binomial_interval(solved / len(puzzles), len(puzzles)),
        "mean_segments": round(total / len(puzzles), 2),
        "cpu_ms_per_segment": round(1e3 * seconds / total, 2),
        "cpu_ms_per_puzzle": round(1e3 * seconds / len(puzzles), 2),
        "clock_ms_per_puzzle": round(1e3 * waited / len(puzzles), 2),
    }
    return fields, is_solved


def paired(by_first: np.ndarray, by_other: np.ndarray) -> dict:
    """Another runtime against the first on the same puzzles: fields of a record.

    The interval is for a difference of paired shares (Wald). One half is added to each count, so that it does not
    shrink to a point if the two never differ.
    """
    lost, won, n = int((by_first & ~by_other).sum()), int((by_other & ~by_first).sum()), len(by_first)
    half = 1.96 * math.sqrt(lost + won + 1 - (won - lost) ** 2 / n) / n
    low, high = (won - lost) / n - half, (won - lost) / n + half
    return {
        "lost": lost,
        "won": won,
        "difference": round((won - lost) / n, 5),
        "difference_ci95": [round(low, 5), round(high, 5)],
        "as_good": low > -MOST_LOST,
    }


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder written by hrm-hf export --format onnx")
    parser.add_argument("--csv", type=Path, help="puzzles; generated ones by default")
    parser.add_argument("--puzzles", type=int, default=100)
    parser.add_argument("--by", action="append", choices=RUNNERS, help="runtime; repeat for several; by default all")
    parser.add_argument("--record", default="exported", help="name of the record (default: exported)")
    parser.add_argument("--way", action="append", choices=WAYS, help="repeat for several; by default both")
    args = parser.parse_args()
    torch.set_num_threads(1)
    puzzles = read_puzzles(args.csv, args.puzzles)
    models = {}
    for runner in args.by or RUNNERS:
        library, precision = runner.split()
        is_torch = library == "torch"
        models[runner] = (
            load_checkpoint(str(SHIPPED_SUDOKU)) if is_torch else load_exported(args.folder, precision, num_threads=1)
        )
    import onnxruntime

    records = []
    for way in args.way or WAYS:
        first = None
        for variant, (model, processor) in models.items():
            fields, solved = measure(model, processor, puzzles, way)
            first = solved if first is None else first
            records.append(
                {
                    "benchmark": "exported",
                    "variant": variant,
                    "device": processor_name(),
                    "torch": torch.__version__,
                    "transformers": transformers.__version__,
                    "onnxruntime": onnxruntime.__version__,
                    "threads": 1,
                    "puzzles": "generated" if args.csv is None else "sudoku-hard test",
                    **fields,
                    **({} if first is solved else paired(first, solved)),
                    "load_average": round(os.getloadavg()[0], 1),
                }
            )
            print(records[-1], flush=True)
    print(write_records(args.record, records))


if __name__ == "__main__":
    main()
