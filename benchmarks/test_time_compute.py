"""Accuracy against compute at test time, for the model of `make demo`.

    make demo && python -m benchmarks.test_time_compute

It solves symmetric copies of each puzzle until an answer keeps the rules of Sudoku, or all samples are drawn.
"""

import argparse

import torch
import transformers
from accelerate import Accelerator

from benchmarks.records import ROOT, processor_name, write_records
from hrm_hf.checkpoints import load_checkpoint
from hrm_hf.evaluation.test_time_compute import compute_curve, draw_samples
from hrm_hf.puzzles.sets import open_puzzles


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "runs" / "demo" / "model"))
    parser.add_argument("--dataset", default=str(ROOT / "data" / "sudoku-6x6"))
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--max-segments", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    model, processor = load_checkpoint(args.model)
    puzzles = open_puzzles(args.dataset, "test").examples()
    samples = draw_samples(
        model.solve,
        puzzles,
        processor,
        Accelerator(cpu=True),
        args.samples,
        seed=args.seed,
        max_segments=args.max_segments,
        progress=True,
    )
    common = {
        "benchmark": "test_time_compute",
        "variant": "sudoku_6x6",
        "device": processor_name(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "split": "test",
        "n": len(puzzles["labels"]),
        "segments": args.max_segments,
        "method": "symmetric copies until the rules are kept",
        "seed": args.seed,
        "checkpoint": "last",
    }
    points = compute_curve(samples, puzzles["labels"])
    print(write_records("test_time_compute", [common | point.as_dict() for point in points]))
    for point in points:
        print(f"{point.max_samples:>3} samples: {point.exact_accuracy:.1%} exact, {point.mean_segments:.2f} segments")


if __name__ == "__main__":
    main()
