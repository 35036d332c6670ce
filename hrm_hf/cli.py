"""The command `hrm-hf`: a thin layer over the library.

hrm-hf solve runs/demo/model 4...2..1....3.24
hrm-hf evaluate runs/demo/model data/sudoku-6x6 --output runs/demo/evaluation.json
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


app = typer.Typer(help="Hierarchical Reasoning Model on Hugging Face libraries.", no_args_is_help=True)

ModelFolder = Annotated[str, typer.Argument(help="Folder of a model, or its name on the Hub.")]
MaxSegments = Annotated[int | None, typer.Option(help="Most segments; by default as in training.")]
HaltThreshold = Annotated[
    float | None, typer.Option(help="Stop a puzzle at this halting probability; by default by the rule of training.")
]


def _load(model: str):
    """Model and processor of a folder; heavy imports wait until they are needed."""
    from transformers.utils import logging

    from hrm_hf.checkpoints import load_checkpoint

    logging.disable_progress_bar()
    return load_checkpoint(model)


@app.command()
def solve(
    model: ModelFolder,
    puzzles: Annotated[list[str] | None, typer.Argument(help="Puzzles as lines; - reads them from stdin.")] = None,
    max_segments: MaxSegments = None,
    halt_threshold: HaltThreshold = None,
    show_steps: Annotated[bool, typer.Option("--show-steps", help="Show the board after every segment.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a puzzle.")] = False,
):
    """Solve puzzles and check every answer by the rules. Exit code 2 if one is not solved."""
    if puzzles in (None, [], ["-"]):
        puzzles = [line.strip() for line in sys.stdin if line.strip()]
    hrm_model, processor = _load(model)
    output = hrm_model.solve(
        **processor(puzzles), max_segments=max_segments, halt_threshold=halt_threshold, return_history=show_steps
    )
    answers = processor.batch_decode(output.predictions)
    verdicts = [processor.check(puzzle, answer) for puzzle, answer in zip(puzzles, answers, strict=True)]
    for row, (puzzle, answer, verdict) in enumerate(zip(puzzles, answers, verdicts, strict=True)):
        result = {
            "puzzle": puzzle,
            "answer": answer if verdict.solved else None,
            "solved": verdict.solved,
            "reason": verdict.reason,
            "segments": output.segments[row].item(),
            "halt_probability": output.halt_probabilities[row].item(),
        }
        if show_steps:
            result["steps"] = processor.batch_decode(output.prediction_history[row, : result["segments"]])
        if as_json:
            print(json.dumps(result))
            continue
        for number, board in enumerate(result.get("steps", []), start=1):
            print(f"after segment {number}:\n{processor.pretty(board, given=puzzle)}\n")
        print(processor.pretty(answer, given=puzzle))
        print(f"{'solved' if verdict.solved else f'not solved: {verdict.reason}'} ({result['segments']} segments)\n")
    if not all(verdict.solved for verdict in verdicts):
        raise typer.Exit(2)


@app.command()
def evaluate(
    model: ModelFolder,
    dataset: Annotated[str, typer.Argument(help="Data set folder, or its name on the Hub.")],
    split: Annotated[str, typer.Option(help="Split to evaluate on.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Only the first N puzzles.")] = None,
    max_segments: MaxSegments = None,
    halt_threshold: HaltThreshold = None,
    early_stop: Annotated[bool, typer.Option(help="Let the halting head stop.")] = True,
    batch_size: Annotated[int, typer.Option(help="Puzzles solved at a time.")] = 1024,
    output: Annotated[Path | None, typer.Option(help="Also write the result to this JSON file.")] = None,
):
    """Exact and cell accuracy of a model on labelled puzzles, as JSON."""
    hrm_model, processor = _load(model)
    from accelerate import Accelerator

    from hrm_hf.data.puzzles import encode, load_rows
    from hrm_hf.evaluation.grid import evaluate_grid

    accelerator = Accelerator()
    scores = evaluate_grid(
        hrm_model.to(accelerator.device),
        encode(load_rows(dataset, split, limit), processor),
        accelerator,
        batch_size=batch_size,
        max_segments=max_segments,
        early_stop=early_stop,
        halt_threshold=halt_threshold,
        progress=True,
    )
    text = json.dumps({"model": model, "dataset": dataset, "split": split} | scores.as_dict(), indent=2)
    print(text)
    if output is not None:
        partial = output.with_name(output.name + ".partial")
        partial.write_text(text + "\n")
        partial.rename(output)


def main():
    """Entry point: user errors are one sentence on stderr and exit code 1."""
    try:
        app()
    except (ValueError, TypeError, FileNotFoundError) as error:
        print(f"hrm-hf: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
