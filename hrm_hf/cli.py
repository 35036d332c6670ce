"""The command `hrm-hf`: a thin layer over the library.

hrm-hf solve runs/demo/model 4...2..1....3.24
hrm-hf evaluate runs/demo/model data/sudoku-6x6 --output runs/demo/evaluation.json
hrm-hf explore data/maze-30x30 mazes.png --row 0 --row 1
hrm-hf generate runs/text/model "The king said"
hrm-hf evaluate-text runs/text/model book.txt
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
EarlyStopOfTokens = Annotated[bool, typer.Option(help="Let the halting head stop the thinking at each token.")]


def _load(model: str, kind: str = "checkpoint"):
    """Model of a folder and its processor or tokenizer; heavy imports wait until they are needed."""
    from transformers.utils import logging

    from hrm_hf import checkpoints

    logging.disable_progress_bar()
    return getattr(checkpoints, f"load_{kind}")(model)


def _depth(model, max_segments: int | None, early_stop: bool, halt_threshold: float | None) -> dict:
    """Thinking depth as arguments of the model: none that was not asked for, since only ours has them."""
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


def _write_json(output: Path | None, text: str):
    """Write a result beside its place, then rename it."""
    if output is not None:
        partial = output.with_name(output.name + ".partial")
        partial.write_text(text + "\n")
        partial.rename(output)


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
    rating_bins: Annotated[int, typer.Option(help="Bins of equally many puzzles for the scores by rating.")] = 4,
    curve: Annotated[
        Path | None,
        typer.Option(help="Also measure accuracy against segments, 1 to --max-segments, and draw it into this file."),
    ] = None,
    predictions: Annotated[Path | None, typer.Option(help="Also write every prediction to this Parquet file.")] = None,
    output: Annotated[Path | None, typer.Option(help="Also write the result to this JSON file.")] = None,
):
    """Exact and cell accuracy of a model on labelled puzzles, by source and rating too, as JSON.

    Several processes: accelerate launch -m hrm_hf.cli evaluate MODEL DATASET
    """
    hrm_model, processor = _load(model)
    from accelerate import Accelerator

    from hrm_hf.data.puzzle_sets import open_puzzles
    from hrm_hf.evaluation import breakdown
    from hrm_hf.evaluation.grid import score, solve_puzzles

    puzzles = open_puzzles(dataset, split)
    kinds = [(part.task, part.height, part.width) for part in (processor, puzzles.processor)]
    if kinds[0] != kinds[1]:
        ours, theirs = ("{} of {}x{}".format(*kind) for kind in kinds)
        raise ValueError(f"The model is for {ours}, but {dataset} holds {theirs}; give a data set of the same kind.")
    accelerator = Accelerator()
    hrm_model.to(accelerator.device)
    max_segments = hrm_model.config.halt_max_steps if max_segments is None else max_segments
    examples, known = puzzles.examples(limit), puzzles.known_of_examples(limit)
    solved = solve_puzzles(
        hrm_model,
        examples,
        accelerator,
        batch_size=batch_size,
        max_segments=max_segments,
        early_stop=early_stop,
        halt_threshold=halt_threshold,
        keep_predictions=predictions is not None,
        progress=True,
    )
    result = {"model": model, "dataset": dataset, "split": split}
    result |= score(solved, max_segments, early_stop, halt_threshold).as_dict()
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
    if not accelerator.is_main_process:
        return
    if points is not None:
        breakdown.draw_segment_curve(points, f"{len(solved):,} puzzles of {dataset}").savefig(curve, dpi=150)
    if predictions is not None:
        breakdown.write_predictions(predictions, solved, processor, examples)
    text = json.dumps(result, indent=2)
    print(text)
    _write_json(output, text)


@app.command()
def explore(
    dataset: Annotated[str, typer.Argument(help="Data set folder, or its name on the Hub.")],
    picture: Annotated[Path, typer.Argument(help="File to write: .png, .svg or .pdf.")],
    split: Annotated[str, typer.Option(help="Split to look at.")] = "train",
    row: Annotated[list[int] | None, typer.Option(help="Row to draw, from 0; repeat it for more.")] = None,
    member: Annotated[int, typer.Option(help="ARC: augmentation of the task; 0 is the task as it is.")] = 0,
    model: Annotated[str | None, typer.Option(help="Also draw what this model predicts.")] = None,
    max_segments: MaxSegments = None,
):
    """Draw rows of a data set: input, label and, with a model, its prediction."""
    from hrm_hf.data.explorer import explore as draw_rows

    if picture.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"The picture {picture} has no form that is known by its name; end it in .png, .svg or .pdf.")
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
    model: ModelFolder,
    prompts: Annotated[list[str] | None, typer.Argument(help="Texts to continue; - reads one from stdin.")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Tokens to add at most.")] = 100,
    temperature: Annotated[float, typer.Option(help="Of sampling; 0 takes the likeliest token.")] = 0.8,
    top_p: Annotated[float, typer.Option(help="Sample from the likeliest tokens of this total probability.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Of sampling.")] = 0,
    max_segments: MaxSegments = None,
    early_stop: EarlyStopOfTokens = False,
    halt_threshold: HaltThreshold = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a prompt, with the depth of tokens.")
    ] = False,
):
    """Continue texts with a causal language model."""
    if prompts in (None, [], ["-"]):
        prompts = [sys.stdin.read()]
    if temperature < 0:
        raise ValueError(f"--temperature {temperature} is not allowed; it must be at least 0.")
    language_model, tokenizer = _load(model, "causal_lm")
    import torch
    from transformers import TextStreamer

    depth = _depth(language_model, max_segments, early_stop, halt_threshold)
    begin = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
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
                f"The prompt has {inputs.shape[1]} tokens, which with --max-new-tokens {max_new_tokens} is over the "
                f"{longest} that the model was made for; shorten one of the two."
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
                # what comes out after a position is the token that follows it
                result["tokens"] = tokenizer.convert_ids_to_tokens(new.tolist())
                result["segments"] = segments[inputs.shape[1] - 1 : -1].tolist()
            print(json.dumps(result))


@app.command()
def evaluate_text(
    model: ModelFolder,
    texts: Annotated[list[str], typer.Argument(help="Text files, globs, folders or data sets.")],
    document_separator: Annotated[
        str | None, typer.Option(help=r"Between documents of a file, as in '\n\n\n'; by default a file is one.")
    ] = None,
    text_column: Annotated[str, typer.Option(help="Data sets and JSON lines: column with the text.")] = "text",
    split: Annotated[str, typer.Option(help="Data sets: the split.")] = "test",
    window: Annotated[int | None, typer.Option(help="Tokens seen at a time; by default as trained.")] = None,
    stride: Annotated[int | None, typer.Option(help="Tokens a window moves on; by default half a window.")] = None,
    batch_size: Annotated[int, typer.Option(help="Windows scored at a time.")] = 8,
    max_segments: MaxSegments = None,
    early_stop: EarlyStopOfTokens = False,
    halt_threshold: HaltThreshold = None,
    output: Annotated[Path | None, typer.Option(help="Also write the result to this JSON file.")] = None,
):
    """Loss, perplexity and bits per byte of any causal language model on any text, as JSON."""
    from hrm_hf.data.text_sources import find_sources, parse_separator

    separator = None if document_separator is None else parse_separator(document_separator)
    sources = find_sources(texts, text_column=text_column, split=split)
    language_model, tokenizer = _load(model, "causal_lm")
    from accelerate import Accelerator

    from hrm_hf.evaluation.text import evaluate_documents

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
    text = json.dumps({"model": model, "texts": texts} | scores.as_dict(), indent=2)
    print(text)
    _write_json(output, text)


def main():
    """Entry point: user errors are one sentence on stderr and exit code 1."""
    try:
        app()
    except (ValueError, TypeError, FileNotFoundError) as error:
        print(f"hrm-hf: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
