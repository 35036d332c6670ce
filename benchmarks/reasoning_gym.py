"""Train a small model on each of several tasks of Reasoning Gym, on one core, and record exact accuracy on new items.

    uv run dataset_scripts/reasoning_gym_grids.py data/reasoning-gym
    python -m benchmarks.reasoning_gym data/reasoning-gym

One run per task: `hrm-hf data grid`, recipes/grid.yaml unchanged, `hrm-hf evaluate` on the test split. Tasks that are
already in the records are skipped unless `--task` names them.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import torch
import transformers

from benchmarks.records import RESULTS, ROOT, processor_name, read_records, single_pass, write_records
from hrm_hf.puzzles.grid.build import build_grid
from hrm_hf.puzzles.sets import open_puzzles
from modeling_hrm import IGNORE_INDEX


NAME = "reasoning_gym"
TASKS = [
    "spell_backward",
    "chain_sum",
    "mini_sudoku",
    "kakurasu",
    "spiral_matrix",
    "rotate_matrix",
    "binary_matrix",
    "game_of_life",
    "futoshiki",
    "n_queens",
]


def measure(task: str, table: Path, seed: int) -> dict:
    """Build, train and evaluate; the record of a task.

    Args:
        task: its name.
        table: file of the rows.
        seed: of the run.
    """
    data, run = ROOT / "data" / f"reasoning-gym-{task}", ROOT / "runs" / "reasoning_gym" / task
    # a rare symbol may be missing from all training rows
    build_grid(str(table), output_dir=data, on_error="skip", overwrite=True)
    one_core = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "train_accelerate.py", "recipes/grid.yaml", "--dataset", str(data)]
    command += ["--output_dir", str(run), "--overwrite_output_dir", "true"]
    command += ["--seed", str(seed), "--cpu_threads", "1", "--report_to", "none"]
    start = _cpu_minutes()
    subprocess.run(command, cwd=ROOT, check=True, env=one_core | {"ACCELERATE_USE_CPU": "true"})
    minutes = _cpu_minutes() - start
    command = [sys.executable, "-m", "hrm_hf.cli", "evaluate", str(run / "model"), str(data), "--max-segments", "16"]
    subprocess.run([*command, "--output", str(run / "test.json")], cwd=ROOT, check=True, env=one_core)
    test, result = (json.loads((run / name).read_text()) for name in ("test.json", "result.json"))
    puzzles = open_puzzles(str(data), "test")
    examples = puzzles.examples()
    is_right = (examples["labels"] == IGNORE_INDEX) | (examples["labels"] == examples["input_ids"])
    return {
        "benchmark": NAME,
        "variant": task,
        "device": f"1 core of {processor_name().partition(' of ')[2]}",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "board": f"{puzzles.processor.height}x{puzzles.processor.width}",
        "symbols": len(puzzles.processor.symbols),
        "asked_cells": int((examples["labels"][0] != IGNORE_INDEX).sum()),
        # accuracy of returning the question
        "question_is_answer": is_right.all(1).double().mean().item(),
        "steps": result["steps"],
        # of the whole training process; wall time also depends on other load
        "cpu_minutes": minutes,
        "load_average": round(os.getloadavg()[1], 1),
        "seed": seed,
        **single_pass(result, test),
    }


def _cpu_minutes() -> float:
    """CPU minutes of finished child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (usage.ru_utime + usage.ru_stime) / 60


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with the files of dataset_scripts/reasoning_gym_grids.py")
    parser.add_argument(
        "--task", action="append", choices=TASKS, help="measure again; by default all without a record"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the runs")
    args = parser.parse_args()
    records = read_records(NAME) if (RESULTS / f"{NAME}.json").is_file() else []
    known = {record["variant"]: record for record in records}
    for task in args.task or [task for task in TASKS if task not in known]:
        known[task] = measure(task, args.folder / f"{task}.jsonl", args.seed)
        # after each, so that a run that is stopped keeps its results
        print(write_records(NAME, [known[name] for name in TASKS if name in known]))


if __name__ == "__main__":
    main()
