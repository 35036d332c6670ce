"""How long runs need to train to reach given accuracies.

python -m benchmarks.minutes_to runs/sudoku_hard --accuracy 0.55 --accuracy 0.874
python -m benchmarks.minutes_to runs/seed0 runs/seed1 benchmarks/results/sudoku_hard_default.log.jsonl --accuracy 0.55

A run is given by its folder, or by a log kept by benchmarks.training_run next to its record. Minutes are those of the
first evaluation with at least this accuracy, without compilation and without evaluations. The output also has the
minutes of the evaluation before, since the accuracy was reached somewhere between the two, and the total with
everything from the first step on: compilation, evaluations, checkpoints. Older logs, without compile_minutes, do not
separate compilation: their minutes include it, and the record says so. Records of other runs in the file are kept.
"""

import json
from pathlib import Path
from typing import Annotated

import typer
import yaml

from benchmarks.records import RESULTS, processor_name, read_log, read_records, write_records


def minutes_to(evaluations: list[dict], accuracy: float, score: str, interpolate: bool = False) -> dict:
    """When a run reached an accuracy.

    Args:
        evaluations: lines of its log, in order.
        accuracy: fraction, 0 to 1.
        score: name of the score to compare with it, without `eval_`.
        interpolate: also return the minutes at which a straight line between the two evaluations crosses it.

    Returns:
        `step`, `reached` and the minutes of the first evaluation with at least this accuracy, all `None` if there is
        none; `before` for the one before it, or for the last if there is none; `None` if it is the first.

    Raises:
        ValueError: if the evaluations do not have this score.
    """
    name = f"eval_{score}"
    if any(name not in line for line in evaluations):
        known = sorted(key.removeprefix("eval_") for key in evaluations[0] if key.startswith("eval_"))
        raise ValueError(f"The evaluations have no {score}; they have {', '.join(known)}.")
    first = next((number for number, line in enumerate(evaluations) if line[name] >= accuracy), len(evaluations))
    reached = evaluations[first] if first < len(evaluations) else None
    before = evaluations[first - 1] if first > 0 else None
    times = ("minutes", "compile_minutes", "evaluation_minutes", "total_minutes")
    found = {"accuracy": accuracy, "score": score, "step": None, "reached": None, **dict.fromkeys(times)}
    if reached is not None:
        found |= {"step": reached["step"], "reached": reached[name], "minutes": training_minutes(reached)}
        found |= {time: reached.get(time) for time in times[1:]}
    if before is not None:
        before = {"step": before["step"], "reached": before[name], "minutes": training_minutes(before)}
    found["before"] = before
    if interpolate:
        found["interpolated_minutes"] = None
        if reached is not None and before is not None:
            share = (accuracy - before["reached"]) / (found["reached"] - before["reached"])
            found["interpolated_minutes"] = before["minutes"] + share * (found["minutes"] - before["minutes"])
    return found


def training_minutes(line: dict) -> float:
    """Minutes of training at a line of a log, without compilation if the log separates it."""
    return line["minutes"] - line.get("compile_minutes", 0.0)


def describe(run: Path) -> tuple[Path, dict]:
    """The log of a run, and the fields of a record that describe the run.

    Raises:
        ValueError: if it is neither the folder of a run that has ended nor a kept log with its record.
    """
    if run.is_file() and run.name.endswith(".log.jsonl") and run.parent.resolve() == RESULTS:
        record = read_records(run.name.removesuffix(".log.jsonl"))[0]
        names = ("device", "torch", "transformers", "commit", "date", "seed", "parameters")
        return run, {"variant": run.name.removesuffix(".log.jsonl"), "split": "validation"} | {
            name: record[name] for name in names
        }
    missing = [name for name in ("log.jsonl", "recipe.yaml", "result.json") if not (run / name).is_file()]
    if missing:
        raise ValueError(
            f"{run} has no {' and no '.join(missing)}; give the folder of a run that has ended, or a log in {RESULTS}."
        )
    result = json.loads((run / "result.json").read_text())
    return run / "log.jsonl", {
        "variant": run.resolve().name,
        "split": result["eval_split"],
        "device": processor_name() if result["device"] == "cpu" else result["device"],
        **{name: result[name] for name in ("torch", "transformers", "parameters")},
        "seed": yaml.safe_load((run / "recipe.yaml").read_text())["seed"],
    }


def records_of(run: Path, accuracies: list[float], score: str, interpolate: bool = False) -> list[dict]:
    """Records of a run, one per accuracy.

    Raises:
        ValueError: if there is no such run, or its log has no evaluation with this score.
    """
    log, about = describe(run)
    _, evaluations = read_log(log)
    if not evaluations:
        raise ValueError(f"{log} has no evaluation; give a run with eval_steps below its steps.")
    tells_compilation_apart = all("compile_minutes" in line for line in evaluations)
    return [
        {
            "benchmark": "minutes_to",
            **about,
            "n": evaluations[0]["eval_n"],
            "minutes_exclude": ["compilation", "evaluation"] if tells_compilation_apart else ["evaluation"],
            **minutes_to(evaluations, accuracy, score, interpolate),
        }
        for accuracy in accuracies
    ]


def sentence(record: dict) -> str:
    """A record in words."""
    goal = f"{record['variant']}: {100 * record['accuracy']:g} % of {record['n']} ({record['score']})"
    before = record["before"]
    if record["step"] is None:
        return f"{goal} not reached; {100 * before['reached']:.1f} % at the end, after {before['minutes']:.2f} minutes"
    words = f"{goal} after {record['minutes']:.2f} minutes of training (step {record['step']}), "
    if before is None:
        words += "in the first evaluation"
    else:
        words += f"not yet after {before['minutes']:.2f} ({100 * before['reached']:.1f} %)"
    words += f"; without {' and without '.join(record['minutes_exclude'])}"
    if record["total_minutes"] is not None:
        words += (
            f", total {record['total_minutes']:.2f} minutes, of which compilation "
            f"{record['compile_minutes']:.2f} and evaluation {record['evaluation_minutes']:.2f}"
        )
    if record.get("interpolated_minutes") is not None:
        words += f"; on a straight line between the two evaluations after {record['interpolated_minutes']:.2f} minutes"
    return words


def main(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or kept logs.")],
    accuracy: Annotated[list[float], typer.Option(help="Fraction of evaluation puzzles, 0 to 1; repeatable.")],
    score: Annotated[str, typer.Option(help="Score to compare with it, as in the log.")] = "exact_accuracy",
    interpolate: Annotated[bool, typer.Option(help="Also interpolate between two evaluations.")] = False,
    record: Annotated[bool, typer.Option(help="Write benchmarks/results/minutes_to.json.")] = True,
    commit: Annotated[str | None, typer.Option(help="Commit of the code that ran; by default this one.")] = None,
):
    """Print the minutes, and record them."""
    for share in accuracy:
        if not 0 < share <= 1:
            raise typer.BadParameter(f"--accuracy {share:g} is not allowed; it must be above 0 and at most 1.")
    try:
        records = [line for run in runs for line in records_of(run, accuracy, score, interpolate)]
    except (ValueError, FileNotFoundError) as error:
        raise typer.BadParameter(str(error)) from error
    for line in records:
        print(sentence(line))
    if record:
        names = {line["variant"] for line in records}
        before = read_records("minutes_to") if (RESULTS / "minutes_to.json").is_file() else []
        kept = [line for line in before if line["variant"] not in names]
        print(f"written to {write_records('minutes_to', [*kept, *records], commit=commit)}")


if __name__ == "__main__":
    typer.run(main)
