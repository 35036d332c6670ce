"""The effect of each part of the recipe for hard Sudoku: one is removed at a time, and all train for the same time.

python -m benchmarks.ablations                                    # all variants, one after another, on one GPU
python -m benchmarks.ablations --variant full --variant no_pool --minutes 3
python -m benchmarks.ablations --measured a.json --measured b.json # record what --output wrote, on other machines say

A variant is recipes/sudoku_hard.yaml with some options changed, or the published recipe on the same puzzles. A few
warm-up steps come first, so that the time does not include compilation. The exact accuracy is measured on the
validation split after the last step, with 16 segments, in a single pass.
"""

import json
from pathlib import Path
from typing import Annotated

import torch
import transformers
import typer

from benchmarks.records import ROOT, processor_name, write_records
from hrm_hf.training.arguments import parse_recipe
from hrm_hf.training.loop import prepare, train


SMALL, PUBLISHED, TRM = "sudoku_hard", "sudoku_original", "trm_sudoku"
# how the recipe trains, for another network
AS_SMALL = {
    "batch_size": 384,
    "batches_in_work": 16,
    "staggered_start": True,
    "halting_pooling": "mean",
    "token_loss": "softmax",
    "optimizer": "muon",
    "learning_rate": 7e-4,
    "warmup_steps": 300,
    "lr_decay_share": 1.0,
    "min_lr_ratio": 0.01,
    "weight_decay": 0.1,
    "puzzle_emb_ndim": 0,
}
WARMUP_STEPS = 20
# the recipe, and the changed options
VARIANTS: dict[str, tuple[str, dict]] = {
    "full": (SMALL, {}),
    "no_pool": (SMALL, {"batches_in_work": 1, "staggered_start": False}),
    "rope": (SMALL, {"position_embedding_type": "rope"}),
    "adam_atan2": (SMALL, {"optimizer": "adam_atan2"}),
    "published": (PUBLISHED, {"eval_max_segments": 16}),
    "trm": (TRM, {}),
    "trm_trained_as_full": (TRM, AS_SMALL),
    "trm_trained_as_full_grid": (TRM, AS_SMALL | {"position_embedding_type": "grid"}),
    "q_learning": (SMALL, {"halting": "q_learning"}),
    "two_networks": (SMALL, {"share_modules": False}),
    "gradient_of_last_step": (SMALL, {"gradient_depth": "last_step"}),
    "halting_from_first_cell": (SMALL, {"halting_pooling": "first"}),
    "solved_as_trained": (SMALL, {"eval_H_cycles": 2}),
    "four_h_cycles_in_training": (SMALL, {"H_cycles": 4}),
    "one_h_cycle_in_training": (SMALL, {"H_cycles": 1}),
    "halting_later_in_training": (SMALL, {"halt_threshold": 0.9}),
    "double_rate": (SMALL, {"learning_rate": 1e-3}),
}


def measure(variant: str, dataset: Path, minutes: float, output_dir: Path, extra: list[str]) -> dict:
    """Train a variant and return its record."""
    name, changes = VARIANTS[variant]
    folder = output_dir / variant
    options = {
        "dataset": dataset,
        "output_dir": folder,
        "overwrite_output_dir": True,
        "eval_split": "validation",
        "max_eval_rows": 1024,
        "max_steps": 250_000,
        "max_minutes": minutes,
        "schedule_by_minutes": True,
        "eval_steps": 250_000,
        "checkpoint_minutes": 1000,
        "report_to": "none",
        "cuda_graph": True,
        "fused_kernels": True,
        "num_workers": 8,
    } | changes
    argv = [str(ROOT / "recipes" / f"{name}.yaml")]
    argv += [part for option, value in options.items() for part in (f"--{option}", str(value))]
    torch.compiler.reset()
    train(prepare(*parse_recipe([*argv, *extra, "--max_steps", str(WARMUP_STEPS), "--eval_steps", "100"])))
    train(prepare(*parse_recipe([*argv, *extra])))
    result = json.loads((folder / "result.json").read_text())
    return {
        "benchmark": "ablations",
        "variant": variant,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else processor_name(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "changes": changes,
        "recipe": name,
        "parameters": result["parameters"],
        "minutes": round(result["train_minutes"], 3),
        "steps": result["steps"],
        "validation_n": result["n"],
        "segments": 16,
        "exact_accuracy": result["exact_accuracy"],
        "ci95": result["exact_ci95"],
        "cell_accuracy": result["cell_accuracy"],
        "seed": 0,
        "checkpoint": "last",
    }


def main(
    variant: Annotated[list[str] | None, typer.Option(help="Variants to train; all by default.")] = None,
    dataset: Annotated[Path, typer.Option(help="Data set of recipes/sudoku_hard.yaml.")] = Path(
        "data/sudoku-hard-50k"
    ),
    minutes: Annotated[float, typer.Option(help="Minutes of training per variant.")] = 3.0,
    output_dir: Annotated[Path, typer.Option(help="Run folders.")] = Path("runs/ablations"),
    option: Annotated[list[str] | None, typer.Option(help="Training options for all variants, as name=value.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead of benchmarks/results.")] = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option(help="Also use the records in these files from --output; without --variant, train none."),
    ] = None,
    commit: Annotated[str | None, typer.Option(help="Commit of the code, if this is a copy without git.")] = None,
):
    """Train and write a record of each variant."""
    records = [record for file in measured or [] for record in json.loads(file.read_text())]
    for name in variant or ([] if measured else list(VARIANTS)):
        if name not in VARIANTS:
            raise typer.BadParameter(f"There is no variant {name!r}; there are {', '.join(VARIANTS)}.")
        records.append(measure(name, dataset, minutes, output_dir, [f"--{text}" for text in option or []]))
        print(json.dumps(records[-1]), flush=True)
    if output is None:
        print(f"written to {write_records('ablations', records, commit=commit)}")
    else:
        output.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
