"""Model cards: README.md and a picture of the training curves, rendered from the files of a run, never by hand.

The text is in the template model_cards/model_card.md; this module fills it in.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hrm_hf.puzzles import registry
from hrm_hf.utils.files import beside_package, whole_file
from hrm_hf.utils.statistics import binomial_interval


if TYPE_CHECKING:
    from matplotlib.figure import Figure  # converting a checkpoint needs no matplotlib

    from modeling_hrm import HRMForGridTask
    from processing_hrm import HRMGridProcessor

CARD, CURVE = "README.md", "curve.png"
# placeholder if the model's name on the Hub is not known
THIS_FOLDER = "path/to/this/folder"

_OPTIMIZERS = {"adam_atan2": "AdamATan2", "muon": "Muon for the matrices of blocks, AdamATan2 for the rest"}
# entries of a recipe that only concern one machine
_LOCAL_ENTRIES = ("output_dir", "overwrite_output_dir")


@dataclass(frozen=True)
class RunRecord:
    """The files of a finished run.

    Attributes:
        path: the run folder.
        recipe: options of the run.
        result: last evaluation and costs.
        log: lines of log.jsonl.
        test: output of `hrm-hf evaluate ... --output RUN/test.json`, `None` without it.
        config: of the model.
        processor: configuration of the processor, `None` for text.
    """

    path: Path
    recipe: dict[str, Any]
    result: dict[str, Any]
    log: list[dict[str, Any]]
    test: dict[str, Any] | None
    config: dict[str, Any]
    processor: dict[str, Any] | None

    @property
    def kind(self) -> str:
        """Kind of the puzzles, or `"text"`."""
        if self.processor is None:
            return "text"
        return self.processor.get("kind") or self.processor["task"]

    @property
    def votes(self) -> bool:
        """Whether its scores are shares of ARC tasks after a vote, for a model on canvases."""
        return self.processor is not None and self.processor.get("canvas_sides") is not None

    @property
    def size(self) -> str:
        """Size of a board, such as 9x9; empty for text."""
        return "" if self.processor is None else "{height}x{width}".format(**self.processor)


def read_run(folder: Path) -> RunRecord:
    """Read the files of a run folder.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file was not written by a run.
    """
    for name in ("recipe.yaml", "result.json", "log.jsonl", "model/config.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} has no {name}, so it is not a finished training run; give the output_dir of one."
            )
    try:
        recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{folder / 'recipe.yaml'} is not YAML ({' '.join(str(error).split())}).") from error
    log = [
        _parsed(line, f"line {number} of {folder / 'log.jsonl'}")
        for number, line in enumerate((folder / "log.jsonl").read_text(encoding="utf-8").splitlines(), start=1)
    ]
    test, processor = (
        _read_json(folder / name) if (folder / name).is_file() else None
        for name in ("test.json", "model/processor_config.json")
    )
    record = RunRecord(
        path=folder,
        recipe=recipe,
        result=_read_json(folder / "result.json"),
        log=log,
        test=test,
        config=_read_json(folder / "model/config.json"),
        processor=processor,
    )
    if record.votes:
        measures = ("hrm_pass@2", "trm_pass@2", "n_tasks", "single")
    elif processor:
        measures = ("exact_accuracy", "cell_accuracy", "n")
    else:
        measures = ("bits_per_byte", "perplexity", "n_tokens")
    for name, scores in (("result.json", record.result), ("test.json", test)):
        missing = [measure for measure in measures if scores is not None and measure not in scores]
        if missing:
            raise ValueError(f"{folder / name} has no {', '.join(missing)}, so it was not written by this project.")
    return record


def write_card(
    run_folder: Path,
    repo_id: str | None = None,
    dataset_id: str | None = None,
    license: str = "apache-2.0",
    notes: Path | None = None,
) -> list[Path]:
    """Write README.md and curve.png into the model folder of a run.

    Args:
        run_folder: of a finished run.
        repo_id: name of the model on the Hub, for the code that loads it.
        dataset_id: name of the data set on the Hub, if it is there.
        license: for the metadata.
        notes: a Markdown file with more measurements, inserted below the results.

    Returns:
        The two files.

    Raises:
        FileNotFoundError, ValueError: as `read_run`.
    """
    run = read_run(run_folder)
    if notes is not None and not notes.is_file():
        raise FileNotFoundError(f"There is no file {notes}; give a Markdown file, or leave the notes out.")
    card, curve = run_folder / "model" / CARD, run_folder / "model" / CURVE
    text = f"{run_card(run, repo_id, dataset_id, license, notes and notes.read_text(encoding='utf-8'))}\n"
    with whole_file(curve) as partial:
        draw_curve(run).savefig(partial, dpi=130)
    with whole_file(card) as partial:
        partial.write_text(text, encoding="utf-8")
    return [card, curve]


def run_card(
    run: RunRecord, repo_id: str | None, dataset_id: str | None, license: str, notes: str | None = None
) -> ModelCard:
    """The card of a trained model; arguments as `write_card`, but `notes` is the text itself."""
    name = repo_id or THIS_FOLDER
    # the test split if it was measured, otherwise the split that the run measured
    measured = {run.result["eval_split"]: run.result}
    dataset = dataset_id or _shown(run.recipe["dataset"])
    if run.test is not None:
        measured[run.test.get("split", "test")] = run.test
    headline_split = list(measured)[-1]
    headline = measured[headline_split]
    if run.kind == "text":
        command = f"hrm-hf evaluate-text {name} TEXT_FILES"
    elif run.votes:
        command = f"hrm-hf evaluate-arc {name} {dataset} --max-segments {headline['max_segments']} --no-early-stop"
    else:
        command = _evaluate_command(name, dataset, headline_split, headline)
    title = "HRM for text" if run.kind == "text" else registry.get(run.kind).model_title(run.size)
    metadata = _metadata(run.kind, license)
    metadata.model_name = title
    metadata.datasets = None if dataset_id is None else [dataset_id]
    metadata.eval_results = _eval_results(run, dataset_id, dataset, headline_split, headline)
    recipe = {entry: value for entry, value in run.recipe.items() if entry not in _LOCAL_ENTRIES}
    return _render(
        metadata,
        title=title,
        kind=run.kind,
        size=run.size,
        puzzles=_puzzles(run),
        parameters=_millions(run.result["parameters"]),
        identifiers=run.config["num_puzzle_identifiers"],
        origin=None,
        results=[
            _vote_row(scores) if run.votes else _result_row(run.kind, split, scores)
            for split, scores in reversed(measured.items())
        ],
        votes=run.votes,
        command=command,
        curve=CURVE,
        caption=_caption(run),
        notes=notes and notes.strip(),
        code=_code(run.kind, name, run.processor, headline.get("max_segments")),
        run=True,
        seed=run.recipe["seed"],
        facts=_training_facts(run, dataset),
        recipe=yaml.safe_dump(recipe | {"dataset": dataset}, sort_keys=False).strip(),
        sizes=None,
        trm=False,
        exceptions=[],
        lean=run.config["halting"] == "lean",
    )


def converted_card(
    model: "HRMForGridTask",
    processor: "HRMGridProcessor",
    source: str | None,
    file_name: str,
    license: str | None,
    exceptions: list[str],
) -> ModelCard:
    """The card of a model that was converted from a checkpoint of the original code.

    Args:
        model, processor: the result.
        source: repository of the checkpoint on the Hub, `None` if it was a local file.
        file_name: of the checkpoint.
        license: of the checkpoint, `None` if unknown.
        exceptions: differences from the checkpoint, one sentence each.
    """
    config, kind = model.config, registry.kind_of(processor)
    is_trm = config.share_modules
    size = f"{processor.height}x{processor.width}"
    metadata = _metadata(kind.name, license)
    metadata.base_model = source
    sizes = (
        f"hidden size {config.hidden_size}, "
        + ("" if config.token_mixer == "mlp" else f"{config.num_attention_heads} heads, ")
        + (f"{config.L_layers} " if is_trm else f"{config.H_layers} + {config.L_layers} ")
        + f"layers, {config.H_cycles} x {config.L_cycles} cycles, at most {config.halt_max_steps} segments"
    )
    return _render(
        metadata,
        title=kind.model_title(size).replace("HRM", "TRM" if is_trm else "HRM"),
        kind=kind.name,
        size=size,
        trm=is_trm,
        exceptions=exceptions,
        puzzles=kind.described(size),
        parameters=_millions(sum(parameter.numel() for parameter in model.parameters())),
        identifiers=config.num_puzzle_identifiers,
        origin=f"`{file_name}` of [{source}](https://huggingface.co/{source})"
        if source
        else f"the file `{file_name}`",
        results=None,
        votes=False,
        command=None,
        curve=None,
        caption=None,
        notes=None,
        code=_code(kind.name, THIS_FOLDER, processor.to_dict(), config.halt_max_steps),
        run=False,
        seed=None,
        facts=None,
        recipe=None,
        sizes=sizes,
        lean=False,
    )


def draw_curve(run: RunRecord) -> "Figure":
    """Loss and accuracy (text: bits per byte) over the steps of a run."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    training = [line for line in run.log if "lm_loss" in line]
    evaluations = [line for line in run.log if any(key.startswith("eval_") for key in line)]
    split = run.result["eval_split"]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps, eval_steps = [line["step"] for line in training], [line["step"] for line in evaluations]
    left.plot(steps, [line["lm_loss"] for line in training], color="#0f62b5", label="training")
    if run.kind == "text":
        left.plot(eval_steps, [line["eval_loss"] for line in evaluations], "o-", color="#c2570c", label=split)
        left.set(ylabel="loss of a token")
        left.legend(frameon=False, fontsize=8)
        right.plot(steps, [line["bits_per_byte"] for line in training], color="#0f62b5", label="training")
        bits = [line["eval_bits_per_byte"] for line in evaluations]
        right.plot(eval_steps, bits, "o-", color="#c2570c", label=split)
        right.set(ylabel="bits per byte")
    elif run.votes:
        left.set(ylabel="loss of the cells, training pairs", ylim=(0, None))
        exact = [100 * line["exact_accuracy"] for line in training]
        right.plot(steps, exact, color="#9dbfe3", lw=1, label="training pairs exactly right")
        for name, color, label in (
            ("trm_pass@2", "#b45309", f"{split} tasks, two attempts after a vote"),
            ("single", "#6b7280", f"{split} inputs, one answer without a vote"),
        ):
            values = [100 * line[f"eval_{name}"] for line in evaluations]
            right.plot(eval_steps, values, "o-", ms=4, color=color, label=label)
        right.set(ylabel="right answers, %", ylim=(0, 103))
    else:
        left.set(ylabel="loss of the cells, training puzzles", ylim=(0, None))
        exact = [100 * line["exact_accuracy"] for line in training]
        depth = run.config["halt_max_steps"]
        right.plot(steps, exact, color="#9dbfe3", lw=1, label=f"exactly solved, training, at most {depth} segments")
        depth = run.result["max_segments"]
        for name, color, label in (
            ("exact_accuracy", "#0f62b5", f"exactly solved, {split}, at most {depth} segments"),
            ("cell_accuracy", "#6b7280", f"cells correct, {split}, at most {depth} segments"),
        ):
            values = [100 * line[f"eval_{name}"] for line in evaluations]
            right.plot(eval_steps, values, "o-", ms=4, color=color, label=label)
        right.set(ylabel="right answers, %", ylim=(0, 103))
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.set(xlabel="step")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 25k: 25000 would run into its neighbor
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure


# --- parts of a card


def _render(metadata: ModelCardData, **content: Any) -> ModelCard:
    return ModelCard.from_template(metadata, template_path=str(template_path()), **content)


def template_path() -> Path:
    """The template."""
    return beside_package("model_cards") / "model_card.md"


def _metadata(kind: str, license: str | None) -> ModelCardData:
    return ModelCardData(
        license=license,
        library_name="transformers",
        pipeline_tag="text-generation" if kind == "text" else None,
        tags=["hrm", "recurrent-reasoning"] + ([] if kind == "text" else ["grid-solving", kind]),
    )


def _eval_results(
    run: RunRecord, dataset_id: str | None, dataset: str, split: str, scores: dict[str, Any]
) -> list[EvalResult]:
    # a path would look like a name on the Hub
    dataset_name = dataset.rpartition("/")[2]
    if run.kind == "text":
        count, task = {"n_tokens": scores["n_tokens"]}, ("text-generation", "Text generation")
        metrics = {"bits_per_byte": "Bits per byte", "perplexity": "Perplexity of a token"}
    elif run.votes:
        count, task = {"n": scores["n_tasks"], "votes": scores["votes"]}, ("grid-solving", "ARC tasks")
        metrics = {"trm_pass@2": "pass@2, share of test inputs", "hrm_pass@2": "pass@2, all test inputs"}
    else:
        count, task = {"n": scores["n"], "max_segments": scores["max_segments"]}, ("grid-solving", "Puzzles on a grid")
        metrics = {"exact_accuracy": "Exact accuracy (whole puzzles)", "cell_accuracy": "Cell accuracy"}
    return [
        EvalResult(
            task_type=task[0],
            task_name=task[1],
            dataset_type=dataset_id or dataset_name,
            dataset_name=dataset_name,
            dataset_split=split,
            metric_type=metric,
            metric_name=metric_name,
            metric_value=round(scores[metric], 6),
            metric_args=count,
        )
        for metric, metric_name in metrics.items()
    ]


def _result_row(kind: str, split: str, scores: dict[str, Any]) -> list[tuple[str, str]]:
    """Cells of the table of results, each with its column heading."""
    if kind == "text":
        return [
            ("split", split),
            ("tokens", f"{scores['n_tokens']:,}"),
            ("bits per byte", f"**{scores['bits_per_byte']:.3f}**"),
            ("perplexity", f"{scores['perplexity']:,.2f}"),
            ("loss of a token", f"{scores['loss']:.3f}"),
        ]
    low, high = binomial_interval(scores["exact_accuracy"], scores["n"])
    mean = f", mean {scores['mean_segments']:.1f}" if scores["early_stop"] else ""
    return [
        ("split", split),
        ("puzzles", f"{scores['n']:,}"),
        ("exactly solved", f"**{scores['exact_accuracy']:.1%}** [{100 * low:.1f}, {100 * high:.1f}]"),
        ("cells correct", f"{scores['cell_accuracy']:.2%}"),
        ("halting head right", f"{scores['halt_accuracy']:.1%}"),
        ("segments", f"at most {scores['max_segments']}{mean}"),
    ]


def _vote_row(scores: dict[str, Any]) -> list[tuple[str, str]]:
    """As `_result_row`, for ARC tasks after a vote."""
    votes = scores.get("votes", scores.get("augmentations", 0) + 1)
    without = scores.get("without_leaks_trm_pass@2")
    return [
        ("evaluation tasks", f"{scores['n_tasks']:,}"),
        ("votes", f"{votes}"),
        ("segments", f"{scores.get('max_segments', round(scores['mean_segments']))}"),
        ("pass@1", f"{scores['trm_pass@1']:.1%}"),
        ("pass@2", f"**{scores['trm_pass@2']:.1%}**"),
        ("pass@2, all test inputs of a task", f"{scores['hrm_pass@2']:.1%}"),
        ("pass@2 without leaked test inputs", "" if without is None else f"{without:.1%}"),
        ("one answer, no vote", f"{scores['single']:.1%}"),
    ]


def _evaluate_command(name: str, dataset: str, split: str, scores: dict[str, Any]) -> str:
    words = [f"hrm-hf evaluate {name} {dataset} --split {split} --limit {scores['n']}"]
    words.append(f"--max-segments {scores['max_segments']}")
    if not scores["early_stop"]:
        words.append("--no-early-stop")
    if scores["halt_threshold"] is not None:
        words.append(f"--halt-threshold {scores['halt_threshold']}")
    return " ".join(words)


def _caption(run: RunRecord) -> str:
    split, result = run.result["eval_split"], run.result
    if run.kind == "text":
        return f"Loss and bits per byte, in training and on {result['n_tokens']:,} tokens of the split {split}."
    if run.votes:
        return (
            f"Loss of the cells in training, and {result['n_tasks']:,} evaluation tasks; while training "
            f"{result['augmentations'] + 1} copies vote."
        )
    return f"Loss of the cells in training, and accuracy on {result['n']:,} puzzles of the split {split}."


def _training_facts(run: RunRecord, dataset: str) -> list[tuple[str, str]]:
    recipe, result = run.recipe, run.result
    items = "train_blocks" if run.kind == "text" else "train_pairs" if run.votes else "train_puzzles"
    batch = f"{recipe['batch_tokens']:,} positions" if run.votes else f"batch {recipe['batch_size']:,}"
    minutes, processes = result["train_minutes"], result["processes"]
    device = "CPU" if result["device"] == "cpu" else result["device"]
    facts = [
        (
            "data set",
            f"{dataset}, {result[items]:,} {items.removeprefix('train_')} of the split {recipe['train_split']}",
        ),
        ("steps", f"{result['steps']:,} of {batch}"),
        (
            "optimizer",
            f"{_OPTIMIZERS[recipe['optimizer']]}, learning rate {recipe['learning_rate']:g}, "
            f"weight decay {recipe['weight_decay']:g}",
        ),
        ("compute", f"{minutes:.1f} minutes on {processes} x {device} ({minutes * processes / 60:.2f} device hours)"),
        ("parameters", f"{result['parameters']:,}"),
        ("seed", str(recipe["seed"])),
        (
            "versions",
            ", ".join(f"{part} {result[part]}" for part in ("python", "torch", "transformers", "accelerate")),
        ),
    ]
    if recipe["ema_decay"] is not None:
        facts.insert(3, ("weights", f"moving average, decay {recipe['ema_decay']:g}"))
    if run.kind != "text" and recipe["puzzle_emb_ndim"] > 0:
        # recipes of older runs have no placement
        in_prefix = recipe.get("puzzle_emb_placement", "prefix") == "prefix"
        optimizer = "SignSGD" if in_prefix else "AdamATan2"
        facts.insert(3, ("puzzle embedding", f"{optimizer}, learning rate {recipe['puzzle_emb_learning_rate']:g}"))
    return facts


def _code(kind: str, name: str, processor: dict[str, Any] | None, max_segments: int | None) -> str:
    """Code that loads the model and uses it; for Sudoku it runs without changes."""
    if kind == "text":
        return "\n".join(
            [
                "from transformers import pipeline",
                "",
                f'generate = pipeline("text-generation", model="{name}", trust_remote_code=True)',
                'print(generate("The king said", max_new_tokens=50)[0]["generated_text"])',
            ]
        )
    of_kind = registry.get(kind)
    puzzle, identifiers = of_kind.example_code(processor)
    segments = "" if max_segments is None else f", max_segments={max_segments}"
    lines = [
        "from transformers import AutoModel, AutoProcessor",
        "",
        f'name = "{name}"',
        "model = AutoModel.from_pretrained(name, trust_remote_code=True)",
        "processor = AutoProcessor.from_pretrained(name, trust_remote_code=True)",
        "",
        f"puzzle = {puzzle}",
        f"output = model.solve(**processor(puzzle{identifiers}){segments})",
        "answer = processor.decode(output.predictions[0])",
        "print(processor.pretty(answer, given=puzzle))" if of_kind.has_rules else "print(answer)",
    ]
    if of_kind.has_rules:
        lines.append("print(processor.check(puzzle, answer))")
    return "\n".join(lines)


def _puzzles(run: RunRecord) -> str:
    """The puzzles of a model in words; empty for text."""
    if run.votes:
        return "ARC tasks of grids up to 30x30"
    return "" if run.processor is None else registry.get(run.kind).described(run.size)


def _shown(dataset: str) -> str:
    """A data set for publication: only the last part of a path on this machine."""
    path = Path(dataset)
    return path.name if path.is_absolute() or dataset.startswith((".", "~")) else dataset


def _millions(parameters: int) -> str:
    digits = max(0, 2 - int(math.log10(max(parameters, 1) / 1e6)))
    return f"{parameters / 1e6:.{digits}f} M" if parameters >= 1e5 else f"{parameters:,}"


def _read_json(path: Path) -> dict[str, Any]:
    return _parsed(path.read_text(encoding="utf-8"), str(path))


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is not JSON ({error}).") from error
    if not isinstance(content, dict):
        raise ValueError(f"{where} is not a JSON object but a {type(content).__name__}.")
    return content
