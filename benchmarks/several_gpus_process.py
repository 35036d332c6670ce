"""A process of benchmarks.several_gpus: takes the steps of several runs, one run after the other.

`accelerate launch ... -m benchmarks.several_gpus_process PLAN`, where PLAN is a JSON file with `runs` (each with
`recipe`, `options` of the command line, `warmup_steps`, `output_dir` and `multiple_of`), `arc` (the data set folder)
and `results`, a file to which a line of JSON is added after each run.

The runs are those of train_accelerate.py, with its loop, but evaluate and save nothing. Sudoku boards are made up;
only ARC has real data, because the sizes of its boards matter.
"""

import gc
import json
import os
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from hrm_hf.puzzles.draws import Draws
from hrm_hf.puzzles.rows import PuzzleDraws
from hrm_hf.training.arc_task import ArcCanvasTask
from hrm_hf.training.arguments import DataArguments, ModelArguments, TrainArguments, parse_recipe
from hrm_hf.training.grid_task import GridTask
from hrm_hf.training.loop import peak_memory_gb, prepare, run_loop
from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


class _NotEvaluated(GridTask):
    """A task without evaluations, whose log also has sums of sequences and cells."""

    best = ("exact_accuracy", True)

    def means(self, totals: dict[str, float], seconds: float) -> dict[str, float]:
        cells = totals.get("cells", totals["sequences"] * self.processing.seq_len)
        return super().means(totals, seconds) | {"sequences": totals["sequences"], "cells": cells}

    def evaluate(self, model: HRMForGridTask, accelerator: Accelerator, args: TrainArguments) -> dict:
        return {"exact_accuracy": 0.0}

    def headline(self, scores: dict) -> str:
        return "not evaluated"


class MadeUpSudoku(_NotEvaluated):
    """1000 random boards of the form of a 9x9 Sudoku."""

    def __init__(self, model_args: ModelArguments, seed: int):
        self.model_args, self.seed = model_args, seed
        self.processing = HRMGridProcessor.for_sudoku(9)
        self.num_train_items, self.eval_split = 1000, "none"

    def draws(self, args: TrainArguments, num_steps: int, parts: int) -> Draws:
        generator = torch.Generator().manual_seed(self.seed)
        shape = (self.num_train_items, self.processing.seq_len)
        boards = {
            name: torch.randint(1, self.processing.vocab_size, shape, generator=generator)
            for name in ("input_ids", "labels")
        }
        boards["puzzle_identifiers"] = torch.zeros(self.num_train_items, dtype=torch.long)
        return PuzzleDraws(boards, num_steps * args.batch_size, self.seed)


class ArcNotEvaluated(_NotEvaluated, ArcCanvasTask):
    """ARC on canvases; batch sizes are a multiple of `multiple_of` on any number of processes."""

    def __init__(self, model_args: ModelArguments, data_args: DataArguments, seed: int, multiple_of: int):
        ArcCanvasTask.__init__(self, model_args, data_args, seed)
        self.multiple_of = multiple_of

    def draws(self, args: TrainArguments, num_steps: int, parts: int) -> Draws:
        return super().draws(args, num_steps, max(parts, self.multiple_of))


def take_steps(plan: dict, wanted: dict) -> dict:
    """Train, and return what the log says about the steps after the warm-up."""
    # Accelerate keeps the mixed precision of the run before
    AcceleratorState._reset_state()
    torch.compiler.reset()
    model_args, data_args, train_args = parse_recipe([wanted["recipe"], *wanted["options"]])
    # recipes end by the clock
    train_args.max_minutes = None
    if data_args.arc_canvases:
        data_args.dataset = plan["arc"]
        task = ArcNotEvaluated(model_args, data_args, train_args.seed, wanted["multiple_of"])
    else:
        task = MadeUpSudoku(model_args, train_args.seed)
    run = prepare(model_args, data_args, train_args, task)
    run.folder.save_model = lambda *args: None
    try:
        run_loop(run)
    finally:
        run.folder.close()
    result = {
        "processes": run.accelerator.num_processes,
        "parameters": sum(param.numel() for param in run.model.parameters()),
        "memory_gb": round(peak_memory_gb(run.accelerator.device), 2),
    }
    path = run.folder.path / "log.jsonl"
    run.network = run.model
    run.accelerator.free_memory()
    run.accelerator.wait_for_everyone()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [line for line in lines if "loss" in line]
    if wanted["warmup_steps"] == 0:
        return result | {"losses": [line["loss"] for line in lines]}
    before = next(line for line in lines if line["step"] == wanted["warmup_steps"])
    timed = [line for line in lines if line["step"] > before["step"]]
    minutes, compiling = (timed[-1][name] - before[name] for name in ("minutes", "compile_minutes"))
    seconds, steps = 60 * (minutes - compiling), timed[-1]["step"] - before["step"]
    return result | {
        "steps": steps,
        "ms_per_step": round(1e3 * seconds / steps, 2),
        "samples_per_s": round(sum(line["sequences"] for line in timed) / seconds, 1),
        "cells_per_s": round(sum(line["cells"] for line in timed) / seconds),
        # not zero if a step after the warm-up still compiled something
        "compile_seconds_while_timed": round(60 * compiling, 2),
        "compile_seconds_before": round(60 * before["compile_minutes"], 1),
        "skipped_steps": sum(line["skipped_steps"] for line in timed),
    }


def main(path: Path):
    """Take the steps of all runs of a plan."""
    plan = json.loads(path.read_text())
    for wanted in plan["runs"]:
        result = take_steps(plan, wanted)
        if os.environ.get("RANK", "0") == "0":
            with open(plan["results"], "a") as file:
                file.write(json.dumps(result) + "\n")
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
