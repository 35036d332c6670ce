"""Record a training run on ARC: its scores by votes, and its learning curve.

python -m benchmarks.arc runs/arc_1 --variant canvases --evaluation runs/arc_1/test.json

The run can come from another machine with a GPU; then give --commit. An evaluation is a file from
`hrm-hf evaluate-arc --output`; there may be several. Each makes one record per rule for scoring ARC tasks. A run that
was stopped early has no evaluation and only gets a curve.
"""

import argparse
import json
from pathlib import Path

import yaml

from benchmarks.records import RESULTS, processor_name, write_records
from benchmarks.training_run import layers_per_segment, write_log
from hrm_hf.utils.files import whole_file


# how an ARC task with several test inputs is scored, and the prefix of its scores
RULES = {"all test inputs": "hrm", "share of test inputs": "trm"}


def draw_curve(training: list[dict], evaluations: list[dict], picture: Path):
    """Training loss and exactly right pairs, and the scores of the evaluation tasks, over the minutes of training."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    minutes = [line["minutes"] for line in training]
    left.plot(minutes, [line["lm_loss"] for line in training], color="#0f62b5")
    left.set(xlabel="minutes of training", ylabel="loss of the cells, training pairs", ylim=(0, 0.5))
    right.plot(
        minutes,
        [100 * line["exact_accuracy"] for line in training],
        color="#9dbfe3",
        lw=1,
        label="training pairs exactly right",
    )
    minutes = [line["minutes"] for line in evaluations]
    for name, color, label in (
        ("arc-agi-1 trm_pass@2", "#b45309", "ARC-AGI-1 evaluation tasks, two attempts after a vote"),
        ("single", "#6b7280", "all test inputs, one answer without a vote"),
    ):
        right.plot(minutes, [100 * line[f"eval_{name}"] for line in evaluations], "o-", ms=4, color=color, label=label)
    right.set(xlabel="minutes of training", ylabel="solved, %", xlim=(0, None), ylim=(0, None))
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.savefig(picture, dpi=130)


def records_of(run: dict, recipe: dict, evaluation: dict, variant: str) -> list[dict]:
    """One record per rule.

    Args:
        run: result.json of the run.
        recipe: recipe.yaml of the run.
        evaluation: output of `hrm-hf evaluate-arc`.
        variant: name of the records.
    """
    on_gpu = run["device"] != "cpu"
    common = {
        "benchmark": "arc",
        "variant": variant,
        "device": run["device"] if on_gpu else processor_name(),
        "torch": run["torch"],
        "transformers": run["transformers"],
        "training_tasks": run["train_tasks"],
        "gpu_minutes" if on_gpu else "train_minutes": round(run["train_minutes"], 2),
        "parameters": run["parameters"],
        "seed": recipe["seed"],
        "layers_per_segment": layers_per_segment(recipe),
        "checkpoint": "last",
        "tasks": evaluation["n_tasks"],
        "test_inputs": evaluation["n_test_inputs"],
        "segments": evaluation["max_segments"],
        "votes": evaluation["votes"],
        "single": round(evaluation["single"], 4),
    }
    lines = []
    for rule, prefix in RULES.items():
        line = {"rule": rule} | {f"pass_at_{k}": round(evaluation[f"{prefix}_pass@{k}"], 4) for k in (1, 2)}
        if evaluation.get("without_leaks_n_tasks"):
            line["tasks_without_leaks"] = evaluation["without_leaks_n_tasks"]
            line["pass_at_2_without_leaks"] = round(evaluation[f"without_leaks_{prefix}_pass@2"], 4)
        lines.append(common | line)
    return lines


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--variant", required=True, help="name of the records")
    parser.add_argument("--evaluation", type=Path, action="append", default=[], help="result of evaluate-arc")
    parser.add_argument("--commit", help="commit of the code that ran; this repository's by default")
    parser.add_argument("--date", help="date of the run, such as 2026-11-29; today by default")
    args = parser.parse_args()

    path = RESULTS / f"arc_{args.variant}.json"
    recipe = yaml.safe_load((args.run / "recipe.yaml").read_text())
    lines = [json.loads(line) for line in (args.run / "log.jsonl").read_text().splitlines()]
    training = [line for line in lines if "loss" in line]
    evaluations = [line for line in lines if "eval_n_tasks" in line]
    write_log(training, evaluations, path.with_suffix(".log.jsonl"))
    with whole_file(path.with_suffix(".png")) as partial:
        draw_curve(training, evaluations, partial)
    if not (args.run / "result.json").is_file():
        return
    result = json.loads((args.run / "result.json").read_text())
    records = [
        record
        for file in args.evaluation
        for record in records_of(result, recipe, json.loads(file.read_text()), args.variant)
    ]
    write_records(path.stem, records, args.commit, args.date)
    print(path.read_text())


if __name__ == "__main__":
    main()
