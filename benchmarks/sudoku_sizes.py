"""The same family at other sizes: generate, train and test a model on 4x4 and 16x16 Sudoku (6x6 is `make demo`).

    python -m benchmarks.sudoku_sizes --size 4         # two cores
    python -m benchmarks.sudoku_sizes --size 16        # one H100

It uses the recipes of the demo and of the shipped 9x9 model, with the options below. No test puzzle equals a training
puzzle up to symmetry.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import torch
import transformers
import typer

from benchmarks.records import ROOT, processor_name, single_pass, write_records


# options of the data set, recipe, and changed options
SIZES: dict[int, tuple[dict, str, dict]] = {
    4: (
        {"clues": 6, "num-train": 250, "num-validation": 20, "num-test": 100},
        "sudoku_demo",
        {"max_steps": 400, "eval_steps": 200, "max_eval_rows": 20},
    ),
    16: (
        {"clues": 150, "num-train": 10_000, "num-validation": 256, "num-test": 1000},
        "sudoku_hard",
        # as many cells per batch as 384 9x9 boards
        {"batch_size": 128, "max_minutes": 2.0, "eval_steps": 2000, "max_eval_rows": 256, "eval_batch_size": 256},
    ),
}
SEGMENTS = 16


def run(*command: str | Path):
    """Run a command of this repository with this Python."""
    subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, check=True)


def measure(size: int, folder: Path) -> dict:
    """Generate, train and test; the record of a size."""
    data, recipe, options = SIZES[size]
    dataset, output = folder / f"sudoku-{size}x{size}", folder / f"run-{size}x{size}"
    choices = [part for name, value in data.items() for part in (f"--{name}", value)]
    run("dataset_scripts/build_sudoku.py", dataset, "--size", size, *choices, "--overwrite")
    options = {
        "dataset": dataset,
        "output_dir": output,
        "overwrite_output_dir": True,
        "report_to": "none",
    } | options
    choices = [part for name, value in options.items() for part in (f"--{name}", value)]
    run("train_accelerate.py", f"recipes/{recipe}.yaml", *choices)
    test_file = output / "test.json"
    run("-m", "hrm_hf.cli", "evaluate", output / "model", dataset, "--max-segments", SEGMENTS, "--output", test_file)
    test, result = json.loads(test_file.read_text()), json.loads((output / "result.json").read_text())
    return {
        "benchmark": "sudoku_sizes",
        "variant": f"sudoku_{size}x{size}",
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else processor_name(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "clues": data["clues"],
        "seed": 0,
        **single_pass(result, test),
    }


def main(
    size: Annotated[list[int] | None, typer.Option(help="Sizes; all by default.")] = None,
    folder: Annotated[Path, typer.Option(help="Folder for data and runs.")] = Path("runs/sudoku_sizes"),
    commit: Annotated[str | None, typer.Option(help="Commit of the code, if this is a copy without git.")] = None,
):
    """Measure each size and write its record, benchmarks/results/sudoku_SIZE.json."""
    for each in size or list(SIZES):
        record = measure(each, folder.resolve())
        print(json.dumps(record, indent=2))
        print(f"written to {write_records(record['variant'], [record], commit=commit)}")


if __name__ == "__main__":
    typer.run(main)
