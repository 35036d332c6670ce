"""The command `hrm-hf`: a thin layer over the library.

hrm-hf solve 8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..
hrm-hf solve "$(cat examples/maze.txt)"
hrm-hf solve --model runs/demo/model 613.2..4.36.4.125..2.143354..21.2..4
hrm-hf evaluate runs/demo/model data/sudoku-6x6 --output runs/demo/evaluation.json
hrm-hf evaluate-arc runs/arc/model data/arc-1 --submission submission.json --pictures pictures
hrm-hf data maze data/maze-30x30
hrm-hf data grid mine.csv --out data/mine
hrm-hf train sudoku_demo --output_dir runs/demo
hrm-hf explore data/maze-30x30 mazes.png --row 0 --row 1
hrm-hf generate "The king said"
hrm-hf evaluate-text runs/text/model book.txt
hrm-hf convert sapientinc/HRM-checkpoint-sudoku-extreme --out models/sudoku-extreme
hrm-hf export models/sudoku-extreme --out checkpoints/sudoku
hrm-hf export hrm_hf/pretrained/sudoku-hard --format onnx --out onnx/sudoku-hard
hrm-hf card runs/demo
hrm-hf push runs/demo/model me/hrm-sudoku-6x6 --dry-run
hrm-hf app --models runs --data data
hrm-hf space --out space
hrm-hf env
"""

import json
import os
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hrm_hf import __version__
from hrm_hf.outer_layer import run_command


if TYPE_CHECKING:
    from hrm_hf.puzzles.found import PuzzleText
    from processing_hrm import HRMGridProcessor


app = typer.Typer(help="Hierarchical Reasoning Model on Hugging Face libraries.", no_args_is_help=True)


def _print_version(wanted: bool):
    if wanted:
        print(f"hrm-hf {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
):
    """Hierarchical Reasoning Model on Hugging Face libraries."""


ModelFolder = Annotated[str, typer.Argument(help="Model folder, or name of a model on the Hub.")]
MaxSegments = Annotated[int | None, typer.Option(help="Maximum number of segments; by default as in training.")]
HaltThreshold = Annotated[
    float | None, typer.Option(help="Stop at this halting probability; by default the rule of training decides.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it exists.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Samples = Annotated[
    int,
    typer.Option(
        help="Sudoku and mazes: maximum number of symmetric copies of a puzzle to try until an answer keeps the rules."
    ),
]
Plugin = Annotated[
    Path | None,
    typer.Option(help="Python file that registers a kind of puzzle with hrm_hf.puzzles.registry.register."),
]
# for `solve` with the shipped model: the best row of its table in docs/results.md
SHIPPED_SAMPLES, SHIPPED_SEGMENTS = 8, 64
PICTURE_ENDINGS = (".png", ".svg", ".pdf")


def _at_least_one(context: typer.Context, parameter: typer.CallbackParam, value: int | None) -> int | None:
    """Refuse numbers below 1."""
    if value is not None and value < 1:
        raise ValueError(f"{parameter.opts[0]} {value} is not allowed; it must be at least 1.")
    return value


EarlyStopOfTokens = Annotated[bool, typer.Option(help="Let the halting head decide when to stop at each token.")]


def _load_plugin(file: Path | None):
    """Register the kinds of a plugin, before opening anything that may use them."""
    if file is not None:
        from hrm_hf.puzzles.registry import load_plugin

        load_plugin(file)


def _load(model: str, kind: str = "checkpoint"):
    """Model of a folder and its processor or tokenizer, with heavy imports only when needed."""
    from transformers.utils import logging

    from hrm_hf import checkpoints

    logging.disable_progress_bar()
    return getattr(checkpoints, f"load_{kind}")(model)


def _load_grid(model: str, precision: str | None):
    """A grid model and its processor, from a model folder, the Hub, or the folder of an exported model."""
    from hrm_hf.export.solver import is_exported, load_exported

    if is_exported(model):
        return load_exported(Path(model), precision or "float32")
    if precision == "int8":
        from hrm_hf.export.cached import load_int8

        return load_int8(model)
    loaded, processor = _load(model)
    return (loaded if precision is None else loaded.float()), processor


def _depth(model, max_segments: int | None, early_stop: bool, halt_threshold: float | None) -> dict:
    """Thinking depth as arguments of the model; only those that were given, since other models do not have them."""
    depth = {
        "max_segments": max_segments,
        "early_stop": early_stop or None,
        "halt_threshold": halt_threshold,
    }
    depth = {name: value for name, value in depth.items() if value is not None}
    if depth and model.config.model_type != "hrm":
        raise ValueError(
            f"--{next(iter(depth)).replace('_', '-')} is for HRM models, but this one is {model.config.model_type!r}; "
            "leave it out."
        )
    return depth


def _print_and_write(result: dict, output: Path | None):
    """Print a result as JSON, and write it to `output` if given."""
    text = json.dumps(result, indent=2)
    print(text, flush=True)
    if output is not None:
        from hrm_hf.utils.files import whole_file

        with whole_file(output) as partial:
            partial.write_text(text + "\n")


@app.command()
def solve(
    puzzles: Annotated[
        list[str] | None,
        typer.Argument(
            help="Sudoku as a line or drawn, with . 0 _ - or * for a blank cell; mazes as a line or drawn, with # "
            "(wall), space, S (start) and G (goal); files of such puzzles; - or nothing reads stdin. Lines that start "
            "with # are comments. For a model of your own puzzle: inputs, with / or a line break between rows."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Model folder, or name of a model on the Hub; by default a shipped model, for hard 9x9 Sudoku or for "
            "mazes of up to 30x30. A folder written by `hrm-hf export --format onnx` runs with onnxruntime."
        ),
    ] = None,
    precision: Annotated[
        Literal["float32", "int8"] | None,
        typer.Option(
            help="float32 by default. int8 is faster on a CPU; its graph comes from the exported model, or is made on "
            "the first call, which takes a minute."
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            help="Maximum number of symmetric copies of a puzzle to try until an answer keeps the rules; by default "
            f"{SHIPPED_SAMPLES}, or 1 with --model or --show-steps."
        ),
    ] = None,
    max_segments: Annotated[
        int | None,
        typer.Option(
            help=f"Maximum number of segments per answer; by default {SHIPPED_SEGMENTS}, or as in training with "
            "--model."
        ),
    ] = None,
    halt_threshold: HaltThreshold = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="Time limit for all puzzles together; puzzles without an answer by then are not solved."),
    ] = None,
    notation: Annotated[
        Literal["1-G", "0-F", "A-P"] | None,
        typer.Option(help="Digits of 16x16 Sudoku; by default inferred from the symbols of each puzzle."),
    ] = None,
    plugin: Plugin = None,
    show_steps: Annotated[bool, typer.Option("--show-steps", help="Show the board after every segment.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per puzzle.")] = False,
):
    """Solve puzzles and check every answer against the rules, if any. Exit code 2 if one is not solved.

    Example: hrm-hf solve 8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..
    """
    if show_steps and samples is not None and samples > 1:
        raise ValueError(f"--show-steps is for one answer per puzzle, not for --samples {samples}; leave one out.")
    _load_plugin(plugin)
    if model is None:
        read = _puzzles_of(puzzles, notation)
        hrm_model, processor = _load_grid(_shipped_for(read), precision)
        samples = SHIPPED_SAMPLES if samples is None and not show_steps else samples
        max_segments = SHIPPED_SEGMENTS if max_segments is None else max_segments
    else:
        hrm_model, processor = _load_grid(model, precision)
        read = _puzzles_of(puzzles, notation, processor)
    from hrm_hf.evaluation.checked_solving import effort_text, solve_in_turn
    from hrm_hf.utils.time_limit import TimeLimit

    all_solved = True
    answers = solve_in_turn(
        hrm_model,
        processor,
        read,
        num_samples=1 if samples is None else samples,
        max_segments=max_segments,
        halt_threshold=halt_threshold,
        keep_steps=show_steps,
        limit=TimeLimit(seconds),
        progress=True,
    )
    for result, pretty in answers:
        all_solved &= result.solved is not False
        if as_json:
            print(json.dumps(result.as_dict()), flush=True)
            continue
        for number, board in enumerate(result.steps or [], start=1):
            print(f"after segment {number}:\n{pretty(board, given=result.puzzle)}\n")
        # without a solution only the clues, so that a wrong board is not mistaken for one
        print(pretty(result.answer or result.puzzle, given=result.puzzle))
        outcome = "solved" if result.solved else f"{result.outcome}: {result.reason}"
        if result.solved is None:
            outcome = f"answer with probability {result.halt_probability:.1%} of being right, as the model says"
        print(f"{outcome} ({effort_text(result.segments, result.copies)})\n", flush=True)
    if not all_solved:
        raise typer.Exit(2)


def _shipped_for(puzzles: list["PuzzleText"]) -> str:
    """The folder of the shipped model for these puzzles."""
    from hrm_hf.puzzles import registry

    numbers = Counter(puzzle.task for puzzle in puzzles)
    if len(numbers) > 1:
        found = " and ".join(f"{number} {registry.get(name).plural}" for name, number in sorted(numbers.items()))
        raise ValueError(f"There are {found}; give puzzles of only one kind per call.")
    return str(registry.get(next(iter(numbers))).shipped_model([puzzle.board for puzzle in puzzles]))


def _puzzles_of(
    arguments: list[str] | None, notation: str | None, processor: "HRMGridProcessor | None" = None
) -> list["PuzzleText"]:
    """The puzzles from the command line, the files that it names, or stdin; prints what was left out.

    Without the processor of a model, the kind is inferred from the symbols.
    """
    from hrm_hf.puzzles.registry import kind_of
    from hrm_hf.puzzles.text import decode_text, read_puzzles

    kind = None if processor is None else kind_of(processor)
    is_own = kind is not None and kind.reads_texts

    texts = []
    for argument in arguments or ["-"]:
        if argument == "-":
            is_typed = not arguments and sys.stdin.isatty()
            binary = getattr(sys.stdin, "buffer", None)
            text = "" if is_typed else sys.stdin.read() if binary is None else decode_text(binary.read(), "stdin")
            if not text.strip():
                raise ValueError("There is no puzzle to solve; give one as an argument, or puzzles on stdin.")
            texts.append(("stdin", text))
        elif os.path.isfile(argument):
            texts.append((argument, decode_text(Path(argument).read_bytes(), argument)))
        # not a character of any puzzle
        elif os.path.isdir(argument) or ("/" in argument and not is_own):
            raise ValueError(
                f"{argument} is not a puzzle; if it is a model, use the option: hrm-hf solve PUZZLE --model {argument}"
            )
        else:
            texts.append(("", argument))
    if is_own:
        return [puzzle for name, text in texts for puzzle in kind.read_text(text, name, processor)]
    puzzles = []
    for name, text in texts:
        read = read_puzzles(text, name, notation)
        puzzles += read.puzzles
        if read.left_out:
            more = "" if len(read.left_out) <= 3 else f" and {len(read.left_out) - 3} more"
            print(f"{name or 'the text'}: left out {', '.join(read.left_out[:3])}{more}", file=sys.stderr)
    return puzzles


@app.command()
def evaluate(
    model: ModelFolder,
    dataset: Annotated[str, typer.Argument(help="Data set folder, or its name on the Hub.")],
    split: Annotated[str, typer.Option(help="Split to evaluate on.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Only the first N puzzles.", callback=_at_least_one)] = None,
    max_segments: MaxSegments = None,
    halt_threshold: HaltThreshold = None,
    early_stop: Annotated[bool, typer.Option(help="Let the halting head decide when to stop.")] = True,
    batch_size: Annotated[int, typer.Option(help="Puzzles to solve at a time.", callback=_at_least_one)] = 1024,
    samples: Samples = 1,
    noise: Annotated[
        float, typer.Option(help="With --samples: standard deviation of noise added to the states, as in PTRM.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed for the samples.")] = 0,
    rating_bins: Annotated[
        int, typer.Option(help="Number of equally large bins for the scores by rating.", callback=_at_least_one)
    ] = 4,
    curve: Annotated[
        Path | None,
        typer.Option(help="Also measure accuracy for 1 to --max-segments segments, and draw the curve to this file."),
    ] = None,
    predictions: Annotated[Path | None, typer.Option(help="Also write every prediction to this Parquet file.")] = None,
    plugin: Plugin = None,
    output: Annotated[Path | None, typer.Option(help="Also write the result to this JSON file.")] = None,
):
    """Measure exact and cell accuracy of a model on labeled puzzles, also by source and rating; prints JSON.

    With several processes: accelerate launch -m hrm_hf.cli evaluate MODEL DATASET
    """
    from hrm_hf.utils.files import check_output_file

    check_output_file(curve, PICTURE_ENDINGS)
    check_output_file(predictions)
    check_output_file(output)
    _load_plugin(plugin)
    hrm_model, processor = _load(model)
    from accelerate import Accelerator

    from hrm_hf.evaluation import breakdown
    from hrm_hf.evaluation.grid import applied_threshold, keep_rules, may_differ, score, solve_puzzles, solver
    from hrm_hf.evaluation.test_time_compute import compute_curve, draw_samples, first_answers
    from hrm_hf.puzzles.sets import open_puzzles
    from processing_hrm import IGNORE_INDEX

    puzzles = open_puzzles(dataset, split).for_model(processor)
    accelerator = Accelerator()
    hrm_model.to(accelerator.device)
    max_segments = hrm_model.config.halt_max_steps if max_segments is None else max_segments
    examples, known = puzzles.examples(limit), puzzles.known_of_examples(limit)
    if (examples["labels"] == IGNORE_INDEX).all(1).any():
        raise ValueError(f"Test inputs of {dataset} have no known output and cannot be scored; use evaluate-arc.")
    options = {"max_segments": max_segments, "early_stop": early_stop, "halt_threshold": halt_threshold}
    in_slots, drawn = accelerator.device.type == "cuda", None
    if samples == 1:
        solved = solve_puzzles(
            hrm_model,
            examples,
            accelerator,
            batch_size=batch_size,
            keep_predictions=predictions is not None or may_differ(processor),
            progress=True,
            in_slots=in_slots,
            **options,
        )
    else:
        in_slots = in_slots and noise == 0  # slots cannot add noise
        start = time.perf_counter()
        # the first sample is the original puzzle, so nothing is solved twice
        drawn = draw_samples(
            solver(hrm_model, batch_size, in_slots),
            examples,
            processor,
            accelerator,
            samples,
            noise_std=noise,
            seed=seed,
            batch_size=len(examples["input_ids"]) if in_slots else batch_size,
            progress=True,
            **options,
        )
        solved = first_answers(drawn, examples["labels"], time.perf_counter() - start)
    result = {"model": model, "dataset": dataset, "split": split}
    # the cycles of a config can be changed after training, so ask the model
    result["layers_per_segment"] = hrm_model.config.calls_per_segment
    applied = applied_threshold(hrm_model.config, halt_threshold)
    by_rules = keep_rules(solved, examples, processor)
    result |= score(solved, max_segments, early_stop, applied, by_rules).as_dict()
    if "source" in known:
        result["by_source"] = breakdown.as_dicts(breakdown.by_group(solved, known["source"]))
    if "rating" in known:
        result["by_rating"] = breakdown.as_dicts(breakdown.by_rating(solved, known["rating"], rating_bins))
    points = None
    if curve is not None:
        points = breakdown.segment_curve(
            hrm_model,
            examples,
            accelerator,
            max_segments=max_segments,
            halt_threshold=halt_threshold,
            # the history of all segments is kept
            batch_size=max(1, batch_size // max_segments),
            progress=True,
        )
        result["by_segments"] = breakdown.as_dicts(points)
    if drawn is not None:
        result |= {"noise": noise, "seed": seed}
        result["by_samples"] = breakdown.as_dicts(compute_curve(drawn, examples["labels"]))
    if not accelerator.is_main_process:
        return
    # first, because it took the time
    _print_and_write(result, output)
    if points is not None:
        breakdown.draw_segment_curve(points, f"{len(solved):,} puzzles of {dataset}").savefig(curve, dpi=150)
    if predictions is not None:
        breakdown.write_predictions(predictions, solved, processor, examples)


@app.command()
def evaluate_arc(
    model: ModelFolder,
    dataset: Annotated[str, typer.Argument(help="ARC data set folder, or its name on the Hub.")],
    num_augmentations: Annotated[
        int | None,
        typer.Option(
            help="Number of augmentations that vote besides the task itself; by default all, or 79 on canvases."
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Score only tasks of this source, for instance arc-agi-1; by default all.")
    ] = None,
    max_segments: MaxSegments = None,
    early_stop: Annotated[bool, typer.Option(help="Let the halting head decide when to stop.")] = True,
    batch_size: Annotated[int, typer.Option(help="Predictions to make at a time.", callback=_at_least_one)] = 512,
    submission: Annotated[
        Path | None, typer.Option(help="Also write the JSON for the competition, two attempts per test input.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Also draw every task with its first two attempts to this folder.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Also write the result to this JSON file.")] = None,
):
    """Score ARC like the original: all augmentations vote; pass@K by both rules for counting tasks; prints JSON."""
    from hrm_hf.utils.files import check_output_file

    check_output_file(submission)
    check_output_file(output)
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    hrm_model, processor = _load(model)
    from accelerate import Accelerator

    from hrm_hf.puzzles.arc import evaluation as arc

    accelerator = Accelerator()
    puzzles = arc.open_tests(dataset, processor, source)
    tests = (pair for task in arc.puzzles_tasks(puzzles) for pair in task.pairs("test"))
    if submission is None and not any(pair.output.size for pair in tests):
        raise ValueError(f"No test input of {dataset} has a known output to score; write a --submission instead.")
    arc.check_number_of_identifiers(dataset, processor, hrm_model.config.num_puzzle_identifiers)
    max_segments = max_segments or hrm_model.config.halt_max_steps
    answers = arc.vote(
        hrm_model.to(accelerator.device).solve,
        puzzles,
        processor,
        accelerator,
        batch_size=batch_size,
        max_segments=max_segments,
        early_stop=early_stop,
        num_augmentations=num_augmentations,
        progress=True,
    )
    if not accelerator.is_main_process:
        return
    result = {"model": model, "dataset": dataset, "max_segments": max_segments, "early_stop": early_stop}
    _print_and_write(result | arc.report(answers, arc.puzzles_tasks(puzzles)), output)
    if submission is not None:
        arc.write_submission(submission, answers)
    if pictures is not None:
        arc.write_pictures(pictures, arc.puzzles_tasks(puzzles), answers)


@app.command()
def solve_arc(
    task: Annotated[Path, typer.Argument(help="JSON file with one ARC task, or with several in Kaggle's format.")],
    name: Annotated[str | None, typer.Option(help="Name of the task, if the file has several.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Folder of an ARC model on canvases, or its name on the Hub; by default the shipped one."),
    ] = None,
    minutes: Annotated[float, typer.Option(help="Minutes of training on the demonstrations.")] = 1.0,
    votes: Annotated[int, typer.Option(help="Number of copies of a test input that vote.")] = 80,
    estimate: Annotated[
        bool, typer.Option(help="First hold back one demonstration to see whether the model gets it right.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Seed for the training examples.")] = 0,
    as_json: AsJson = False,
):
    """Solve an ARC task that the model has never seen: fit it to the demonstrations, then let copies vote.

    Example: hrm-hf solve-arc task.json --minutes 2
    """
    from hrm_hf.puzzles.arc.tasks import read_task

    found = read_task(task, name)
    from hrm_hf.checkpoints import SHIPPED_ARC

    arc_model, processor = _load(str(SHIPPED_ARC) if model is None else model)
    import torch
    from tqdm import tqdm

    from hrm_hf.training.arc_fit import solve_task

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        print(
            f"On a CPU this takes {minutes:g} minutes of training and more for the votes; a GPU makes about fifty "
            "times as many steps in that time, so consider more --minutes or fewer --votes.",
            file=sys.stderr,
        )
    with tqdm(total=100, unit="%", leave=False, bar_format="{desc} {bar} {percentage:3.0f} %") as bar:

        def report(doing: str, share: float):
            bar.set_description_str(doing)
            bar.update(round(100 * share) - bar.n)

        result = solve_task(
            arc_model.to(device),
            processor,
            found,
            minutes=minutes,
            votes=votes,
            batch_tokens=32768 if device == "cuda" else 1024,
            estimate=estimate,
            seed=seed,
            report=report,
        )
    print(_task_answer(found, result, as_json))


def _task_answer(task, result, as_json: bool) -> str:
    """What `solve-arc` prints."""
    import numpy as np

    answers = []
    for answer, pair in zip(result.answers, task.test, strict=True):
        attempts = [
            {
                "grid": each.answer.tolist(),
                "votes": each.votes,
                # the file may have the true output
                **({"right": bool(np.array_equal(each.answer, pair.output))} if pair.output.size else {}),
            }
            for each in answer.attempts
        ]
        answers.append({"attempts": attempts, "votes": answer.num_votes})
    if as_json:
        facts = {"task": task.name, "held_back_solved": result.held_back, "steps": result.steps}
        return json.dumps(facts | {"seconds": round(result.seconds, 1), "answers": answers})
    lines = []
    for number, answer in enumerate(answers, start=1):
        for place, attempt in enumerate(answer["attempts"], start=1):
            verdict = {True: ", right", False: ", wrong", None: ""}[attempt.get("right")]
            lines.append(f"test {number}, attempt {place}: {attempt['votes']} of {answer['votes']} votes{verdict}")
            lines += [" ".join(map(str, row)) for row in attempt["grid"]]
    estimates = {
        True: "the held-back demonstration came out right, so the answer is probably right",
        False: "the held-back demonstration came out wrong, so the answer is probably wrong",
        None: "no demonstration was held back",
    }
    lines.append(f"{result.steps} steps, {result.seconds:.0f} s; {estimates[result.held_back]}")
    return "\n".join(lines)


# for commands with their own parsers, which are slow to import
_OTHER_PARSER = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(context_settings=_OTHER_PARSER, add_help_option=False)
def train(context: typer.Context):
    """Train with a recipe: `hrm-hf train RECIPE [--option value ...]`; `hrm-hf train --help` lists the options.

    A recipe is a YAML file, or the name of one that comes with the package. For several GPUs, or other settings of
    Accelerate, use `accelerate launch train_accelerate.py`.
    """
    from hrm_hf.training.command import run

    if code := run(context.args or ["--help"], "hrm-hf train"):
        raise typer.Exit(code)


@app.command(context_settings=_OTHER_PARSER, add_help_option=False)
def data(context: typer.Context):
    """Build, convert and push data sets: `hrm-hf data --help`."""
    from hrm_hf.data.commands import app as data_app

    data_app(context.args or ["--help"], prog_name="hrm-hf data")


@app.command()
def explore(
    dataset: Annotated[str, typer.Argument(help="Data set folder, or its name on the Hub.")],
    picture: Annotated[Path, typer.Argument(help="File to write: .png, .svg or .pdf.")],
    split: Annotated[str, typer.Option(help="Split to draw from.")] = "train",
    row: Annotated[list[int] | None, typer.Option(help="Row to draw, from 0; can be repeated.")] = None,
    member: Annotated[int, typer.Option(help="ARC: augmentation of the task; 0 is the original task.")] = 0,
    model: Annotated[str | None, typer.Option(help="Also draw the predictions of this model.")] = None,
    max_segments: MaxSegments = None,
):
    """Draw rows of a data set: input, label and, with a model, its prediction."""
    from hrm_hf.data.explorer import explore as draw_rows
    from hrm_hf.utils.files import check_output_file

    check_output_file(picture, PICTURE_ENDINGS)
    if model is None and max_segments is not None:
        raise ValueError(f"--max-segments {max_segments} is for predictions; give a --model too, or leave it out.")
    predict = None
    if model is not None:
        hrm_model, _ = _load(model)

        def predict(input_ids, puzzle_identifiers):
            return hrm_model.solve(input_ids, puzzle_identifiers, max_segments=max_segments).predictions

    draw_rows(dataset, split, row or [0], member, predict).savefig(picture, dpi=150)
    print(picture)


@app.command()
def generate(
    prompts: Annotated[
        list[str] | None, typer.Argument(help="Texts to continue; - or nothing reads one from stdin.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model folder, or name of a model on the Hub; by default the small shipped model."),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Maximum number of tokens to add.")] = 100,
    temperature: Annotated[float, typer.Option(help="Sampling temperature; 0 takes the most likely token.")] = 0.8,
    top_p: Annotated[
        float, typer.Option(help="Sample from the most likely tokens up to this total probability.")
    ] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed for sampling.")] = 0,
    max_segments: MaxSegments = None,
    early_stop: EarlyStopOfTokens = False,
    halt_threshold: HaltThreshold = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per prompt, with the depth of each token.")
    ] = False,
):
    """Continue texts with a causal language model.

    Example: hrm-hf generate "The king said"
    """
    if prompts in (None, [], ["-"]):
        prompts = [sys.stdin.read()]
    if temperature < 0:
        raise ValueError(f"--temperature {temperature} is not allowed; it must be at least 0.")
    if model is None:
        from hrm_hf.checkpoints import SHIPPED_TEXT

        model = str(SHIPPED_TEXT)
    language_model, tokenizer = _load(model, "causal_lm")
    import torch
    from transformers import TextStreamer

    from hrm_hf.text.scores import begin_token

    depth = _depth(language_model, max_segments, early_stop, halt_threshold)
    begin = begin_token(tokenizer)
    sampling = {"do_sample": False}
    if temperature > 0:
        sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
    for prompt in prompts:
        tokens = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        if not tokens:
            raise ValueError("The prompt is empty; give some text to continue.")
        inputs = torch.tensor([[begin, *tokens]])
        longest = getattr(language_model.config, "max_position_embeddings", None)
        if longest is not None and inputs.shape[1] + max_new_tokens > longest:
            raise ValueError(
                f"The prompt has {inputs.shape[1]} tokens; with --max-new-tokens {max_new_tokens} this exceeds the "
                f"model's maximum of {longest}; make one of the two shorter."
            )
        torch.manual_seed(seed)
        if not as_json:
            print(prompt, end="", flush=True)
        text = language_model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=max_new_tokens,
            pad_token_id=tokenizer.eos_token_id,
            streamer=None if as_json else TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True),
            **sampling,
            **depth,
        )
        if as_json:
            new = text[0, inputs.shape[1] :]
            result = {"prompt": prompt, "continuation": tokenizer.decode(new, skip_special_tokens=True)}
            if language_model.config.model_type == "hrm":
                with torch.no_grad():
                    segments = language_model(text, **depth).segments[0]
                # a position predicts the token after it
                result["tokens"] = tokenizer.convert_ids_to_tokens(new.tolist())
                result["segments"] = segments[inputs.shape[1] - 1 : -1].tolist()
            print(json.dumps(result))


@app.command()
def evaluate_text(
    model: ModelFolder,
    texts: Annotated[list[str], typer.Argument(help="Text files, globs, folders or data sets.")],
    document_separator: Annotated[
        str | None,
        typer.Option(help=r"String between documents in a file, such as '\n\n\n'; by default a file is one document."),
    ] = None,
    text_column: Annotated[str, typer.Option(help="Data sets and JSON: column with the text.")] = "text",
    template: Annotated[
        str | None,
        typer.Option(
            help=r"Data sets and JSON: how to make the text from columns, such as 'Q: {question}\nA: {answer}'."
        ),
    ] = None,
    ending: Annotated[
        list[str] | None, typer.Option(help="Ending of more text files in folders, such as .md. Can be repeated.")
    ] = None,
    split: Annotated[str, typer.Option(help="Data sets: split to use.")] = "test",
    window: Annotated[int | None, typer.Option(help="Tokens per window; by default as in training.")] = None,
    stride: Annotated[
        int | None, typer.Option(help="Tokens by which the window moves; by default half a window.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Windows to score at a time.", callback=_at_least_one)] = 8,
    max_segments: MaxSegments = None,
    early_stop: EarlyStopOfTokens = False,
    halt_threshold: HaltThreshold = None,
    output: Annotated[Path | None, typer.Option(help="Also write the result to this JSON file.")] = None,
):
    """Measure loss, perplexity and bits per byte of any causal language model on any text; prints JSON."""
    from hrm_hf.text.sources import find_sources, parse_separator, unescaped
    from hrm_hf.utils.files import check_output_file

    check_output_file(output)
    separator = None if document_separator is None else parse_separator(document_separator)
    template = None if template is None else unescaped(template, "template")
    sources = find_sources(texts, text_column=text_column, split=split, template=template, endings=ending or ())
    language_model, tokenizer = _load(model, "causal_lm")
    from accelerate import Accelerator

    from hrm_hf.text.scores import evaluate_documents

    scores = evaluate_documents(
        language_model.to(Accelerator().device),
        tokenizer,
        (text for source in sources for text in source.documents(separator, lambda num_bytes: None)),
        window=window,
        stride=stride,
        batch_size=batch_size,
        progress=True,
        **_depth(language_model, max_segments, early_stop, halt_threshold),
    )
    _print_and_write({"model": model, "texts": texts} | scores.as_dict(), output)


@app.command()
def convert(
    checkpoint: Annotated[
        str, typer.Argument(help="Checkpoint of the original code of HRM or TRM: file, folder or Hub repository.")
    ],
    out: Annotated[Path, typer.Option(help="Model folder to write.")],
    task: Annotated[
        str | None,
        typer.Option(help="Kind of puzzle, for instance maze; not needed for the repositories of the authors."),
    ] = None,
    num_heads: Annotated[
        int | None, typer.Option(help="Number of attention heads, if not in all_config.yaml.")
    ] = None,
    h_cycles: Annotated[int | None, typer.Option(help="H_cycles, if not in all_config.yaml.")] = None,
    l_cycles: Annotated[int | None, typer.Option(help="L_cycles, if not in all_config.yaml.")] = None,
    halt_max_steps: Annotated[
        int | None, typer.Option(help="Maximum number of segments, if not in all_config.yaml.")
    ] = None,
    pos_encodings: Annotated[
        Literal["rope", "none"] | None, typer.Option(help="TRM: position encodings, if not in all_config.yaml.")
    ] = None,
    puzzle_emb_len: Annotated[
        int | None,
        typer.Option(
            help="TRM: number of positions before the tokens, if not in all_config.yaml; 16 in published checkpoints."
        ),
    ] = None,
    identifiers: Annotated[
        Path | None,
        typer.Option(
            help="ARC: folder of the data set it was trained on, if the checkpoint has no identifiers.json: a folder "
            "of the original code with that file, or one from `data arc` or `data import-original`."
        ),
    ] = None,
    drop_puzzle_embeddings: Annotated[
        bool,
        typer.Option(
            "--drop-puzzle-embeddings",
            help="ARC: leave out the puzzle embeddings (most of the file), to train the model on other ARC tasks.",
        ),
    ] = False,
    puzzle_embeddings_dtype: Annotated[
        Literal["float32", "float16"],
        typer.Option(help="Data type of the puzzle embeddings in the file; float16 rounds them to half the size."),
    ] = "float32",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the Hub repository.")] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
):
    """Convert a checkpoint of the original code of HRM or TRM into a model folder, and compare the two bit for bit.

    Example: hrm-hf convert sapientinc/HRM-checkpoint-ARC-2 --identifiers data/arc-2 --out models/arc-2
    """
    from transformers.utils import logging

    from hrm_hf.original.checkpoint import Settings
    from hrm_hf.original.convert import convert as convert_checkpoint

    logging.disable_progress_bar()
    settings = Settings(num_heads, h_cycles, l_cycles, halt_max_steps, pos_encodings, puzzle_emb_len)
    done = convert_checkpoint(
        *(checkpoint, out, task, settings, identifiers, revision, overwrite),
        drop_puzzle_embeddings=drop_puzzle_embeddings,
        puzzle_embeddings_dtype=puzzle_embeddings_dtype,
    )
    if as_json:
        print(json.dumps(asdict(done), indent=2))
        return
    print(f"{done.checkpoint}: {done.family} for {done.task}, {done.parameters:,} parameters")
    if done.dropped_identifiers:
        print(f"{done.dropped_identifiers:,} puzzle embeddings left out; the blank one is kept")
    if done.rounding_error is not None:
        print(f"puzzle embeddings rounded to {puzzle_embeddings_dtype}, by at most {done.rounding_error:.2g}")
    if done.identifiers > 1 and done.named_identifiers == 0:
        print(
            f"none of its {done.identifiers:,} puzzle identifiers has a name, so the processor does not accept names; "
            "give --identifiers to add them"
        )
    print(f"{done.equal_tensors} tensors and logits of {done.equal_logits} equal bit for bit")
    print(f"written to {done.output}")


@app.command()
def export(
    model: ModelFolder,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    format: Annotated[
        Literal["original", "onnx"],
        typer.Option(help="A checkpoint of the original code, or ONNX graphs for clients without PyTorch."),
    ] = "original",
    int8: Annotated[bool, typer.Option(help="With onnx: also write the graph with int8 weights.")] = True,
    puzzles: Annotated[
        int, typer.Option(help="With onnx: number of generated puzzles or random prompts for the check.")
    ] = 64,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
):
    """Export a model for other code: as a checkpoint of the original code of HRM or TRM (step_0, all_config.yaml,
    dataset.json), or as ONNX graphs with manifest.json.

    Example: hrm-hf export models/sudoku-extreme --out checkpoints/sudoku
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    if format == "onnx":
        from hrm_hf.export.grid import export_onnx
        from hrm_hf.export.text import export_text_onnx, is_language_model

        is_text = is_language_model(model)
        done = (export_text_onnx if is_text else export_onnx)(model, out, overwrite, int8, puzzles)
    else:
        from hrm_hf.original.convert import export as export_checkpoint

        done = export_checkpoint(model, out, overwrite)
    if as_json:
        print(json.dumps(asdict(done), indent=2))
        return
    if format == "onnx" and is_text:
        for precision, size in done.files.items():
            equal = f"{done.equal_texts[precision]} of {done.prompts} prompts continued as by the model"
            print(f"{precision}: {size:,} bytes, {equal}, loss {done.loss[precision]:.4f} ({done.loss['torch']:.4f})")
        print(f"largest difference of a float32 logit: {done.largest_difference:.1e}")
    elif format == "onnx":
        for precision, size in done.files.items():
            solved = "" if done.solved is None else f", {done.solved[precision]} solved"
            equal = f"{done.equal_boards[precision]} of {done.puzzles} puzzles answered as by the model"
            print(f"{precision}: {size:,} bytes, {equal}{solved}")
        print(
            f"float32 in a segment: {done.within_tolerance:.2%} of the values within 1e-4 of the model's, largest "
            f"difference {done.largest_difference:.1e}"
        )
    else:
        print(f"{done.equal_tensors} tensors written, logits of {done.equal_logits} equal bit for bit")
    print(f"written to {done.output}")


@app.command()
def card(
    run: Annotated[Path, typer.Argument(help="Folder of a finished training run.")],
    repo: Annotated[str | None, typer.Option(help="Name of the model on the Hub, for the code that loads it.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the data set on the Hub, if it is there.")] = None,
    license: Annotated[str, typer.Option(help="License of the model.")] = "apache-2.0",
    notes: Annotated[Path | None, typer.Option(help="Markdown file to insert below the results.")] = None,
    as_json: AsJson = False,
):
    """Write the model card of a run (README.md and curve.png) to its model folder.

    Example: hrm-hf card runs/demo --repo me/hrm-sudoku-6x6
    """
    from hrm_hf.model_card import write_card

    files = [str(path) for path in write_card(run, repo, dataset, license, notes)]
    print(json.dumps({"files": files}) if as_json else "\n".join(files))


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="Model folder, or folder of the static page.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Name on the Hub.")],
    private: Annotated[
        bool, typer.Option("--private", help="Make the model private; by default the owner's setting applies.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch to push to; created if it does not exist.")] = None,
    commit_message: Annotated[str | None, typer.Option(help="Commit message.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be uploaded, without contacting the Hub.")
    ] = False,
    as_json: AsJson = False,
):
    """Push a model folder to the Hub: weights, code, processor, card and plots, in one commit; or a static Space.

    Example: hrm-hf push runs/demo/model me/hrm-sudoku-6x6 --private --dry-run
    """
    from hrm_hf import hub
    from hrm_hf.hub_errors import check_repo_name

    check_repo_name(repo, "model")
    plan = hub.plan_push(folder)
    url = None if dry_run else hub.push(plan, repo, private, revision, commit_message)
    if as_json:
        result = {"repo": repo, "revision": revision or "main", "private": private, "url": url}
        print(json.dumps(result | {"files": plan.files, "left_here": plan.left_here}, indent=2))
        return
    target = f"{repo}, branch {revision or 'main'}{', private' if private else ''}"
    print(f"would go to {target}:" if dry_run else f"pushed to {target}:")
    for name, size in [*plan.files.items(), ("in all", sum(plan.files.values()))]:
        print(f"  {size:>13,} bytes  {name}")
    if plan.left_here:
        print(f"left here: {', '.join(plan.left_here)}")
    if url is not None:
        print(url)


@app.command("app")
def serve_app(
    models: Annotated[Path, typer.Option(help="Folder with model folders to offer.")] = Path("runs"),
    runs: Annotated[Path, typer.Option(help="Folder of training runs to watch.")] = Path("runs"),
    data: Annotated[Path, typer.Option(help="Folder of data sets to explore.")] = Path("data"),
    hub_model: Annotated[
        list[str] | None, typer.Option(help="Model on the Hub to offer as well; can be repeated.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
):
    """Play with puzzles and text, watch runs and look at data, in a browser."""
    try:
        from hrm_hf.app.main import launch
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise ValueError("The app needs Gradio; install it with pip install 'hrm-hf[app]'.") from error
    from hrm_hf.app.context import AppSettings

    launch(AppSettings(models, runs, data, tuple(hub_model or ())), host, port)


@app.command()
def space(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    overwrite: Overwrite = False,
    as_json: AsJson = False,
):
    """Write the folder of a Hugging Face Space with the app, ready to upload or to run here.

    Example: hrm-hf space --out space
    """
    from hrm_hf.space import build_space

    files = [str(path) for path in build_space(out, overwrite)]
    print(json.dumps({"files": files}) if as_json else "\n".join(files))


@app.command()
def env(as_json: AsJson = False):
    """Print versions and devices for a bug report, and which versions are not tested."""
    from hrm_hf.utils.environment import describe_environment, environment_lines

    found = describe_environment()
    print(json.dumps(found, indent=2) if as_json else "\n".join(environment_lines(found)))


def main():
    """Entry point: user errors are one sentence on stderr and exit code 1."""
    sys.exit(run_command("hrm-hf", app))


if __name__ == "__main__":
    main()
