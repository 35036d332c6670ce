"""Options of a training run: three dataclasses, filled from a recipe file and command-line overrides.

A recipe is a flat YAML file whose keys are the fields below. Options on the command line override it:

    accelerate launch train_accelerate.py recipes/sudoku_demo.yaml --batch_size 64 --seed 1

A recipe that differs from another one in a few options names it as `extends: other.yaml`, a file in the same folder.
"""

import difflib
import math
import typing
from dataclasses import Field, dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser

from configuration_hrm import HRMConfig
from hrm_hf.training.growth import GROWING, Stages, parse_stages
from hrm_hf.training.trackers import TRACKERS
from hrm_hf.utils.files import beside_package


# fields that depend on the data (vocabulary, lengths, puzzle identifiers) cannot be set in a recipe
_ARCHITECTURE = (
    "hidden_size intermediate_size num_attention_heads hidden_act token_mixer token_mixer_intermediate_size H_layers "
    "L_layers H_cycles L_cycles prelude_layers coda_layers input_injection share_modules gradient_depth norm_position "
    "position_embedding_type learned_grid_positions rope_2d_max_frequency neighbor_score rms_norm_eps "
    "hidden_dropout_prob puzzle_emb_ndim puzzle_emb_placement puzzle_emb_len num_token_roles num_registers "
    "halt_max_steps halt_exploration_prob halting halting_pooling halt_threshold token_loss pad_loss_weight "
    "tie_word_embeddings"
).split()
_CONFIG_FIELDS = {config_field.name: config_field for config_field in fields(HRMConfig)}

ModelArguments = make_dataclass(
    "ModelArguments",
    [
        (
            name,
            _CONFIG_FIELDS[name].type,
            field(default=_CONFIG_FIELDS[name].default, metadata={"help": f"HRMConfig.{name}"}),
        )
        for name in _ARCHITECTURE
    ],
    namespace={"__doc__": "Fields of HRMConfig that a recipe may set; types and defaults are HRMConfig's own."},
)


@dataclass
class DataArguments:
    """What to train on, and what to generate during training."""

    dataset: str = field(metadata={"help": "Folder written by a builder of dataset_scripts/, or a Hub data set."})
    task: str = field(default="grid", metadata={"help": "'grid': puzzles, 'text': a causal language model."})
    plugin: str | None = field(
        default=None, metadata={"help": "Python file that registers the kind of puzzle of the data set."}
    )
    train_split: str = field(default="train", metadata={"help": "Split to train on."})
    eval_split: str = field(
        default="test", metadata={"help": "Split to evaluate on during training; its rows are never trained on."}
    )
    max_train_rows: int | None = field(default=None, metadata={"help": "Train only on the first N rows."})
    max_eval_rows: int | None = field(default=512, metadata={"help": "Evaluate only on the first N rows."})
    eval_augmentations: int | None = field(
        default=None,
        metadata={
            "help": "ARC: also score pass@K in evaluations, by a vote of each test task and this many augmentations."
        },
    )
    arc_canvases: list[int] = field(
        default_factory=list,
        metadata={
            "help": "ARC: sides of square canvases, one more than the largest grids, for instance 11 17 23 31. Then "
            "each task has one identifier, symmetries and colors are drawn at every visit, and batch_tokens is used."
        },
    )
    arc_canvas_weights: list[float] = field(
        default_factory=list,
        metadata={
            "help": "ARC on canvases: relative frequency of visits to the pairs of each canvas; by default equal."
        },
    )
    arc_share_as_given: float = field(
        default=0.35, metadata={"help": "ARC on canvases: fraction of visits with the original colors."}
    )
    arc_tell_views: bool = field(
        default=True,
        metadata={
            "help": "ARC on canvases: tell the model the symmetry of a copy, and whether its colors are the original "
            "ones."
        },
    )
    arc_share_translated: float = field(
        default=0.0,
        metadata={"help": "ARC on canvases: fraction of visits with grids that do not start in the top left corner."},
    )
    arc_share_generated: float = field(
        default=0.0,
        metadata={
            "help": "ARC on canvases: fraction of visits that use a generated pair, for tasks that have any; the "
            "number of visits to a task stays the same."
        },
    )
    arc_share_shown: float = field(
        default=0.0,
        metadata={
            "help": "ARC on canvases: fraction of visits that show a random part of the answer. The model can then "
            "answer in several passes."
        },
    )
    arc_without: list[str] = field(
        default_factory=list, metadata={"help": "ARC on canvases: names of tasks to leave out of training and scores."}
    )
    augment: bool = field(default=True, metadata={"help": "Apply a random symmetry to every training puzzle."})
    filled_share: float = field(
        default=0.0,
        metadata={
            "help": "Sudoku: fraction of visits to training puzzles with more cells filled in from the solution, "
            "uniformly from none to all."
        },
    )
    sample_prompts: list[str] = field(
        default_factory=list, metadata={"help": "Text: prompts to continue and log at every evaluation."}
    )
    sample_tokens: int = field(default=64, metadata={"help": "Text: number of new tokens per prompt."})
    num_workers: int = field(default=0, metadata={"help": "Processes that prepare batches; 0: the training process."})

    def __post_init__(self):
        if self.task not in ("grid", "text"):
            raise ValueError(f"task={self.task!r} is not allowed; it must be 'grid' or 'text'.")
        _check_range(self, "max_train_rows max_eval_rows sample_tokens", 1)
        _check_range(self, "eval_augmentations num_workers", 0)
        shares = "as_given translated generated shown".split()
        _check_range(self, " ".join(["filled_share", *(f"arc_share_{name}" for name in shares)]), 0, at_most=1)
        if self.filled_share > 0 and (self.task == "text" or self.arc_canvases):
            other = "text" if self.task == "text" else "ARC on canvases"
            raise ValueError(f"filled_share={self.filled_share} is for Sudoku, not for {other}; leave it out.")


@dataclass
class TrainArguments:
    """How long and how to train."""

    output_dir: str = field(metadata={"help": "Run folder: model/, log.jsonl, recipe.yaml and result.json."})
    overwrite_output_dir: bool = field(default=False, metadata={"help": "Replace an existing run folder."})
    init_from: str | None = field(
        default=None,
        metadata={"help": "Start from the weights of this model (a folder or a name on the Hub) instead of new ones."},
    )
    seed: int = field(default=0, metadata={"help": "Seed of weights, data order, augmentation and exploration."})
    batch_size: int = field(default=768, metadata={"help": "Sequences per step, over all processes."})
    batch_tokens: int | None = field(
        default=None,
        metadata={"help": "ARC on canvases: positions per step over all processes, instead of batch_size."},
    )
    batches_in_work: int = field(
        default=1,
        metadata={
            "help": "Number of carries that take turns. 1, as in the original: the segments of a puzzle follow each "
            "other directly, which makes small data sets easy to memorize; K: K - 1 other batches come in between."
        },
    )
    staggered_start: bool = field(
        default=False,
        metadata={"help": "Give the first sequences random segment counts, so that not all are replaced at once."},
    )
    max_steps: int = field(default=10_000, metadata={"help": "Optimizer steps; for puzzles each is one segment."})
    epochs: float | None = field(
        default=None, metadata={"help": "Text: number of visits to every training row, instead of max_steps."}
    )
    max_minutes: float | None = field(default=None, metadata={"help": "Stop cleanly after this many minutes."})
    gradient_accumulation_steps: int = field(
        default=1, metadata={"help": "Number of parts of a batch, computed one after the other to save memory."}
    )
    optimizer: str = field(
        default="adam_atan2",
        metadata={"help": "'adam_atan2', or 'muon': Muon for the matrices of the blocks and AdamATan2 for the rest."},
    )
    learning_rate: float = field(default=1e-4, metadata={"help": "Learning rate of the network."})
    weight_decay: float = field(default=0.1, metadata={"help": "Weight decay of the network, decoupled."})
    adam_beta1: float = field(default=0.9, metadata={"help": "Decay of the first moment."})
    adam_beta2: float = field(default=0.95, metadata={"help": "Decay of the second moment."})
    muon_momentum: float = field(default=0.95, metadata={"help": "Decay of Muon's momentum."})
    warmup_steps: int = field(default=2000, metadata={"help": "Steps of linear warm-up."})
    min_lr_ratio: float = field(
        default=1.0, metadata={"help": "Learning rate of the last step, as a fraction of the learning rate."}
    )
    lr_decay_share: float | None = field(
        default=None,
        metadata={"help": "Decay linearly over this last fraction of the steps, instead of a cosine over all steps."},
    )
    schedule_by_minutes: bool = field(
        default=False,
        metadata={
            "help": "The learning rate and fields that grow follow max_minutes instead of max_steps, so that runs on "
            "any machine end with a low rate."
        },
    )
    grow_halt_max_steps: str | None = field(
        default=None,
        metadata={
            "help": "Earlier values of halt_max_steps, each with the fraction of the run until which it applies, "
            "such as '2 until 0.2, 4 until 0.5, 8 until 0.8'; evaluations and the saved model use the final value."
        },
    )
    grow_H_cycles: str | None = field(default=None, metadata={"help": "The same for H_cycles."})
    grow_L_cycles: str | None = field(default=None, metadata={"help": "The same for L_cycles."})
    grow_gradient_depth: str | None = field(
        default=None, metadata={"help": "The same for gradient_depth, such as 'last_step until 0.3'."}
    )
    puzzle_emb_learning_rate: float = field(
        default=1e-2,
        metadata={
            "help": "Learning rate of the puzzle embeddings (SignSGD in a prefix, AdamATan2 everywhere: "
            "puzzle_emb_placement)."
        },
    )
    puzzle_emb_weight_decay: float = field(
        default=0.1, metadata={"help": "Weight decay of the puzzle embeddings, decoupled."}
    )
    token_emb_learning_rate: float | None = field(
        default=None,
        metadata={
            "help": "Learning rate of the token embeddings, which are scaled by sqrt(hidden_size); by default "
            "learning_rate."
        },
    )
    max_grad_norm: float | None = field(default=None, metadata={"help": "Clip the network's gradient to this norm."})
    ema_decay: float | None = field(
        default=None,
        metadata={"help": "Evaluate and save an exponential moving average of the weights with this decay."},
    )
    mixed_precision: str = field(default="no", metadata={"help": "'no' or 'bf16': dtype of the hidden states."})
    cpu_threads: int | None = field(
        default=None, metadata={"help": "Threads per process on the CPU; by default its share of all cores."}
    )
    compile: bool = field(default=False, metadata={"help": "torch.compile the Transformer blocks and the optimizer."})
    cuda_graph: bool = field(
        default=False,
        metadata={
            "help": "Record a whole step as one CUDA graph (several processes: as two, around the sum of the "
            "gradients; arc_canvases: for each size of the canvas); small models then train several times faster."
        },
    )
    fused_kernels: bool = field(
        default=False,
        metadata={"help": "Use the Triton kernels of hrm_hf.kernels where possible: on a CUDA GPU, in bf16."},
    )
    log_steps: int = field(default=20, metadata={"help": "Steps between lines of log.jsonl."})
    eval_steps: int = field(default=1000, metadata={"help": "Steps between evaluations."})
    eval_batch_size: int = field(default=1024, metadata={"help": "Rows evaluated at a time, per process."})
    eval_max_segments: int | None = field(
        default=None, metadata={"help": "Maximum number of segments in evaluation; by default halt_max_steps."}
    )
    eval_H_cycles: int | None = field(
        default=None,
        metadata={
            "help": "H cycles per segment in evaluations and in the saved model; by default as in training. More "
            "cycles make segments deeper at no cost in training."
        },
    )
    eval_halt_threshold: float | None = field(
        default=None, metadata={"help": "The same for the halting probability that ends a puzzle (halt_threshold)."}
    )
    eval_early_stop: bool = field(
        default=False, metadata={"help": "Let the halting head stop puzzles early; otherwise all get the maximum."}
    )
    stop_at_exact_accuracy: float | None = field(
        default=None, metadata={"help": "Stop when an evaluation reaches this fraction of exactly solved puzzles."}
    )
    stop_at_train_exact_accuracy: float | None = field(
        default=None,
        metadata={
            "help": "Stop when this fraction of training puzzles is exactly solved; more would be memorization."
        },
    )
    checkpoint_carries: bool = field(
        default=True,
        metadata={
            "help": "Puzzles: save the sequences in progress in checkpoints. Without them a checkpoint is as small as "
            "the weights, but a resumed run starts with new sequences, so its result is not bit-identical."
        },
    )
    checkpoint_steps: int | None = field(default=None, metadata={"help": "Steps between checkpoints."})
    checkpoint_minutes: float | None = field(
        default=15.0, metadata={"help": "Minutes between checkpoints; SIGTERM and SIGINT save one, too."}
    )
    keep_checkpoints: int = field(default=2, metadata={"help": "Number of newest checkpoints to keep."})
    keep_best: bool = field(
        default=False, metadata={"help": "Also keep the model of the best evaluation, in best_model/."}
    )
    report_to: str = field(
        default="auto",
        metadata={"help": "'trackio', 'wandb', 'tensorboard' or 'none'; 'auto': trackio if it is installed."},
    )
    resume: str | None = field(
        default=None,
        metadata={
            "help": "'auto' resumes from the newest complete checkpoint in output_dir; or the folder of a checkpoint."
        },
    )
    rank_timeout_seconds: float = field(
        default=45.0,
        metadata={
            "help": "Several processes: if one gives no sign of life for this long, the others say which and end. "
            "Compiling and evaluating may take longer."
        },
    )
    max_skipped_steps: int = field(
        default=10,
        metadata={"help": "Stop after this many steps in a row with nonfinite gradients; such steps are skipped."},
    )

    def eval_config(self) -> dict[str, int | float]:
        """Fields of the model's config for evaluations and the saved model, but not for training."""
        fields = {"H_cycles": self.eval_H_cycles, "halt_threshold": self.eval_halt_threshold}
        return {name: value for name, value in fields.items() if value is not None}

    def stages(self) -> dict[str, Stages]:
        """Fields of the model's config that grow during training, with their values before the final one.

        Raises:
            ValueError: if a value is not allowed.
        """
        texts = {name: getattr(self, f"grow_{name}") for name in GROWING}
        return {name: parse_stages(f"grow_{name}", name, text) for name, text in texts.items() if text is not None}

    def __post_init__(self):
        _check_range(
            self,
            "batch_size batch_tokens batches_in_work max_steps cpu_threads log_steps eval_steps eval_max_segments "
            "eval_batch_size eval_H_cycles checkpoint_steps keep_checkpoints max_skipped_steps "
            "gradient_accumulation_steps",
            1,
        )
        _check_range(
            self,
            "warmup_steps learning_rate token_emb_learning_rate weight_decay puzzle_emb_learning_rate "
            "puzzle_emb_weight_decay",
            0,
        )
        _check_range(self, "adam_beta1 adam_beta2 muon_momentum ema_decay", 0, below=1)
        _check_range(self, "min_lr_ratio stop_at_exact_accuracy stop_at_train_exact_accuracy", 0, at_most=1)
        _check_range(self, "max_minutes checkpoint_minutes max_grad_norm epochs rank_timeout_seconds", above=0)
        _check_range(self, "eval_halt_threshold", above=0, below=1)
        _check_range(self, "lr_decay_share", above=0, at_most=1)
        # each process adds its index to it
        _check_range(self, "seed", 0, below=2**31)
        if self.report_to not in ("auto", "none", *TRACKERS):
            raise ValueError(
                f"report_to={self.report_to!r} is not allowed; it must be 'auto', 'none', "
                f"{', '.join(map(repr, TRACKERS))}."
            )
        if self.optimizer not in ("adam_atan2", "muon"):
            raise ValueError(f"optimizer={self.optimizer!r} is not allowed; it must be 'adam_atan2' or 'muon'.")
        self.stages()
        if self.schedule_by_minutes and self.max_minutes is None:
            raise ValueError("schedule_by_minutes=True needs max_minutes; give the minutes of the run.")
        if self.batch_size % self.gradient_accumulation_steps != 0:
            raise ValueError(
                f"batch_size={self.batch_size} does not divide into gradient_accumulation_steps="
                f"{self.gradient_accumulation_steps} equal parts; give a multiple."
            )
        if self.mixed_precision not in ("no", "bf16"):
            raise ValueError(f"mixed_precision={self.mixed_precision!r} is not allowed; it must be 'no' or 'bf16'.")

    def steps(self, num_rows: int) -> int:
        """Optimizer steps of a run on a number of rows.

        Raises:
            ValueError: if there are too many to count.
        """
        steps = self.max_steps if self.epochs is None else math.ceil(self.epochs * num_rows / self.batch_size)
        if steps * self.batch_size >= 2**62:
            raise ValueError(f"A run of {steps} steps of batch_size={self.batch_size} is not possible; give fewer.")
        return steps


def _check_range(
    options: Any,
    names: str,
    at_least: float | None = None,
    *,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
):
    """Raise a `ValueError` for the first option that is not a finite number in a range; `None` is always allowed."""
    bounds = {"at least": at_least, "above": above, "at most": at_most, "below": below}
    wanted = " and ".join(f"{word} {bound}" for word, bound in bounds.items() if bound is not None)
    for name in names.split():
        value = getattr(options, name)
        if value is None:
            continue
        satisfied = (
            math.isfinite(value)
            and (at_least is None or value >= at_least)
            and (above is None or value > above)
            and (at_most is None or value <= at_most)
            and (below is None or value < below)
        )
        if not satisfied:
            finite = "" if math.isfinite(value) else "a finite number "
            raise ValueError(f"{name}={value} is not allowed; it must be {finite}{wanted}.")


# options that take several values
_LISTS = {"sample_prompts", "arc_canvases", "arc_canvas_weights", "arc_without"}


class _Parser(HfArgumentParser):
    """Reports a wrong option in one sentence instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message.rstrip('.')}; see --help for all options.")


def parse_recipe(argv: list[str]) -> tuple["ModelArguments", DataArguments, TrainArguments]:
    """Options from `[recipe.yaml] [--name value ...]`; without a recipe file all come from the command line.

    Raises:
        FileNotFoundError: if the recipe file does not exist.
        ValueError: if the recipe is not a flat YAML mapping, or an option is unknown, malformed or out of range.
        SystemExit: after `--help`.
    """
    parser = _Parser((ModelArguments, DataArguments, TrainArguments))
    if argv and not argv[0].startswith("-"):
        recipe = read_recipe(recipe_path(argv[0]))
        lists = {name: recipe.pop(name) for name in _LISTS & recipe.keys()}
        parser.set_defaults(**lists)
        # with = a value may start with a dash
        argv = [*(f"--{name}={value}" for name, value in recipe.items()), *argv[1:]]
    groups = parser.parse_args_into_dataclasses(argv)
    for group in groups:
        for option in fields(group):
            value = getattr(group, option.name)
            if isinstance(value, str) and (not value.strip() or "\0" in value):
                raise ValueError(f"{option.name}={value!r} is not allowed; it must be text, without NUL characters.")
    return groups


def recipe_path(name: str) -> Path:
    """The file of a recipe: a path, or the name of a recipe in the package, such as `sudoku_demo`.

    Raises:
        FileNotFoundError: if there is none.
    """
    if Path(name).is_file():
        return Path(name)
    shipped = beside_package("recipes")
    if "/" not in name and (shipped / f"{name.removesuffix('.yaml')}.yaml").is_file():
        return shipped / f"{name.removesuffix('.yaml')}.yaml"
    names = ", ".join(sorted(path.stem for path in shipped.glob("*.yaml")))
    raise FileNotFoundError(f"There is no recipe file {name}; give a path, or one of these names: {names}.")


def read_recipe(path: Path, extended_by: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The options set by a recipe file, without those that are `null`; values have the options' types, or are text.

    Args:
        path: the file. Options that it does not set, not even to `null`, come from the recipe that it extends.
        extended_by: files that extend it, outermost first.

    Raises:
        FileNotFoundError: if the file, or one that it extends, does not exist.
        ValueError: if it is not a flat YAML mapping in UTF-8, or has an unknown option or a value of another type.
    """
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} is not a recipe: {reason}; expected a YAML file in UTF-8 with one 'option: value' per line."
        ) from error
    if not isinstance(recipe, dict):
        raise ValueError(f"{path} is not a recipe; expected a YAML file with one 'option: value' per line.")
    base = _extended(path, recipe.pop("extends", None), extended_by)
    known = {
        option.name: option for group in (ModelArguments, DataArguments, TrainArguments) for option in fields(group)
    }
    for key, value in recipe.items():
        if key not in known:
            similar = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {similar[0]}?" if similar else "see --help for all options."
            raise ValueError(f"{path} has the unknown option {key!r}; {hint}")
        if isinstance(value, (dict, list)) and not (isinstance(value, list) and key in _LISTS):
            raise ValueError(f"{path} has {key}: {value!r}, but an option needs one plain value.")
        if key in _LISTS and value is not None:
            values = value if isinstance(value, list) else [value]
            recipe[key] = [_plain(f"{path} has {key}", known[key], part) for part in values]
        elif value is not None:
            _plain(f"{path} has {key}", known[key], value)
    return {key: value for key, value in (base | recipe).items() if value is not None}


def _extended(path: Path, name: Any, extended_by: tuple[Path, ...]) -> dict[str, Any]:
    """The options of the recipe that a recipe extends; none if it extends none.

    Args:
        path: of the recipe.
        name: value of its `extends`.
        extended_by: files that extend it, outermost first.

    Raises:
        FileNotFoundError, ValueError: as `read_recipe`, and `ValueError` if it is not a file name, or extends itself.
    """
    if name is None:
        return {}
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise ValueError(f"{path} has extends: {name!r}, expected the name of another recipe file.")
    base = path.parent / name
    if not base.is_file():
        raise FileNotFoundError(f"{path} extends {name}, but there is no file {base}; correct the name.")
    if base.resolve() in {file.resolve() for file in (*extended_by, path)}:
        raise ValueError(f"{path} extends {name}, which extends it in turn; remove one extends.")
    return read_recipe(base, (*extended_by, path))


def _plain(where: str, option: Field, value: Any) -> Any:
    """A value of a recipe, or of its lists, with the type of an option; numbers are unchanged for numeric options.

    Raises:
        ValueError: if YAML has read it as a different type than the option needs; starts with `where`.
    """
    kinds = typing.get_args(option.type) or (option.type,)
    # YAML does not read no, off, 12 and 2026-11-29 as text
    if str in kinds and not isinstance(value, str):
        raise ValueError(f"{where}: {value!r}, which YAML does not read as text; put it in quotes if you mean text.")
    if isinstance(value, bool) and bool not in kinds:
        raise ValueError(f"{where}: {value!r}, expected a number.")
    if typing.get_origin(option.type) is not list:
        return value
    try:
        if isinstance(value, (dict, list)) or value is None:
            raise ValueError
        number = kinds[0](value)
        if number != value and not isinstance(value, str):
            raise ValueError
    except ValueError:
        raise ValueError(f"{where}: {value!r}, expected values of the type {kinds[0].__name__}.") from None
    return number
