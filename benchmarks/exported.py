"""Exported models on this computer against PyTorch: as many hard Sudoku solved, and how fast, one puzzle at a time.

    hrm-hf export hrm_hf/pretrained/sudoku-hard --format onnx --out build/sudoku-hard
    python -m benchmarks.exported build/sudoku-hard --csv test.csv.gz --puzzles 10000

A line of the CSV is `source,question,answer,rating`; without one, hard puzzles are generated. Two ways to ask: a
single pass of 16 segments, and the 64 segments on 8 copies at most of `hrm-hf solve`. Every answer is judged by the
rules. Times are of the process, all threads together; on a busy machine those by the clock say little.
"""

import argparse
import csv
import gzip
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


def measure(model, processor, puzzles: list[str], way: str) -> dict:
    """Solve one puzzle at a time: fields of a record."""
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
    solved = sum(bool(each.keeps_rules[0]) for each in chosen)
    total = sum(int(each.segments[0]) for each in chosen)
    return {
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


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="that hrm-hf export --format onnx wrote")
    parser.add_argument("--csv", type=Path, help="puzzles; generated ones by default")
    parser.add_argument("--puzzles", type=int, default=100)
    parser.add_argument("--way", action="append", choices=WAYS, help="repeat for more; by default both")
    args = parser.parse_args()
    torch.set_num_threads(1)
    puzzles = read_puzzles(args.csv, args.puzzles)
    models = {"torch float32": load_checkpoint(str(SHIPPED_SUDOKU))}
    for precision in ("float32", "int8"):
        model, processor = load_exported(args.folder, precision, num_threads=1)
        models[f"onnxruntime {precision}"] = model, processor
    import onnxruntime

    records = []
    for way in args.way or WAYS:
        for variant, (model, processor) in models.items():
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
                    **measure(model, processor, puzzles, way),
                    "load_average": round(os.getloadavg()[0], 1),
                }
            )
            print(records[-1], flush=True)
    print(write_records("exported", records))


if __name__ == "__main__":
    main()
