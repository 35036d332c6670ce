"""Record a training run on puzzles: its test result and its learning curve.

python -m benchmarks.training_run runs/sudoku_hard --variant default --evaluation runs/sudoku_hard/test_16.json
python -m benchmarks.training_run runs/maze_hard --benchmark maze_hard --variant small --evaluation test.json
python -m benchmarks.training_run runs/arc_1 --benchmark arc_1 --variant small

The run can come from another machine with a GPU; give --commit then. An evaluation is what `hrm-hf evaluate --output`
wrote. Without one the record is that of the last evaluation while training, on the split that the recipe names; of a
run that was cut off only the log and its curve are kept.
"""

import argparse
import json
from pathlib import Path

import yaml

from benchmarks.records import RESULTS, processor_name, read_log, write_records
from configuration_hrm import HRMConfig
from hrm_hf.utils.files import whole_file


BENCHMARKS = ("sudoku_hard", "maze_hard", "maze_30x30", "maze_10x10", "maze_16x16", "arc_1")


def write_log(training: list[dict], evaluations: list[dict], target: Path):
    """Write a log: all evaluations, and every tenth line of training."""
    # at the same step training comes first, as in the log
    kept = sorted([*training[9::10], *evaluations], key=lambda line: line["step"])
    with whole_file(target) as partial:
        partial.write_text("".join(json.dumps(line) + "\n" for line in kept))


def draw_curve(training: list[dict], evaluations: list[dict], split: str, picture: Path):
    """Loss, and accuracy on a split, over the minutes of training."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.plot([line["minutes"] for line in training], [line["lm_loss"] for line in training], color="#0f62b5")
    left.set(xlabel="minutes of training", ylabel="loss of the cells, training puzzles", ylim=(0, None))
    minutes = [line["minutes"] for line in evaluations]
    for name, color, label in (
        ("cell_accuracy", "#6b7280", "cells correct"),
        ("exact_accuracy", "#0f62b5", "puzzles exactly solved"),
        ("hrm_pass@2", "#b45309", "tasks solved by two attempts after a vote"),
    ):
        if f"eval_{name}" not in evaluations[0]:
            continue
        values = [100 * line[f"eval_{name}"] for line in evaluations]
        right.plot(minutes, values, marker="o", color=color, label=label)
    right.set(xlabel="minutes of training", ylabel=f"% of the {split} split", xlim=(0, None), ylim=(0, 100))
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.savefig(picture, dpi=130)


def layers_per_segment(recipe: dict) -> int:
    """Layers that a segment of the model that a run saves takes one after the other: what makes shapes comparable."""
    shape = {name: recipe[name] for name in ("H_cycles", "L_cycles", "H_layers", "L_layers")}
    # recipes of runs before there were these options lack them
    shape |= {name: recipe[name] for name in ("prelude_layers", "coda_layers") if name in recipe}
    if recipe.get("eval_H_cycles") is not None:
        shape["H_cycles"] = recipe["eval_H_cycles"]
    return HRMConfig(**shape).calls_per_segment


def lines_of(test: dict) -> list[dict]:
    """What a result on a test split says: of single passes, or of each number of symmetric copies."""
    split = {
        "split": test["split"],
        "n": test["n"],
        "segments": test["max_segments"],
        "halt_threshold": test["halt_threshold"],
    }
    if "layers_per_segment" in test:  # of a config that was changed after training, too
        split["layers_per_segment"] = test["layers_per_segment"]
    lines = []
    for line in test.get("by_samples", [test | {"max_samples": 1}]):
        copies = line["max_samples"]
        lines.append(
            split
            | {
                "mean_segments": line["mean_segments"],
                # the first copy whose answer keeps the rules is taken; labels are not looked at
                "method": "single" if copies == 1 else "rule_check",
                "samples": copies,
                "exact_accuracy": round(line["exact_accuracy"], 6),
                "cell_accuracy": round(line["cell_accuracy"], 6),
                "ci95": line["exact_ci95"],
                # ARC: shares of tasks after a vote, and how many augmentations voted
                **{name: value for name, value in line.items() if "pass@" in name or name == "augmentations"},
            }
        )
    return lines


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--benchmark", choices=BENCHMARKS, default=BENCHMARKS[0], help="what it was trained on")
    parser.add_argument("--variant", required=True, help="name of the record")
    parser.add_argument(
        "--evaluation", type=Path, action="append", default=[], help="result of the last model on the test split"
    )
    parser.add_argument(
        "--best-evaluation", type=Path, action="append", default=[], help="result of best_model on the test split"
    )
    parser.add_argument("--commit", help="commit of the code that ran; this repository's by default")
    parser.add_argument("--date", help="day of the run, as 2026-11-24; today by default")
    args = parser.parse_args()

    path = RESULTS / f"{args.benchmark}_{args.variant}.json"
    recipe = yaml.safe_load((args.run / "recipe.yaml").read_text())
    training, evaluations = read_log(args.run / "log.jsonl")
    write_log(training, evaluations, path.with_suffix(".log.jsonl"))
    draw_curve(training, evaluations, recipe["eval_split"], path.with_suffix(".png"))
    if not (args.run / "result.json").is_file():
        return
    result = json.loads((args.run / "result.json").read_text())
    on_gpu = result["device"] != "cpu"
    best = max(evaluations, key=lambda line: line["eval_exact_accuracy"])
    common = {
        "benchmark": args.benchmark,
        "variant": args.variant,
        "device": result["device"] if on_gpu else processor_name(),
        "torch": result["torch"],
        "transformers": result["transformers"],
        "train_puzzles": result["train_puzzles"],
        "gpu_minutes" if on_gpu else "train_minutes": round(result["train_minutes"], 2),
        "parameters": result["parameters"],
        "seed": recipe["seed"],
        "layers_per_segment": layers_per_segment(recipe),
        "best_validation_exact_accuracy": best["eval_exact_accuracy"],
        "best_validation_minutes": round(best["minutes"], 2),
        "validation_n": best["eval_n"],
    }
    tests = [
        (checkpoint, json.loads(file.read_text()))
        for checkpoint, files in (("last", args.evaluation), ("best", args.best_evaluation))
        for file in files
    ]
    records = [
        common | {"checkpoint": checkpoint} | line
        for checkpoint, test in tests or [("last", result | {"split": result["eval_split"]})]
        for line in lines_of(test)
    ]
    write_records(path.stem, records, args.commit, args.date)
    print(path.read_text())


if __name__ == "__main__":
    main()
