"""Saving a model with its processor or tokenizer; loading it with a clear error where transformers only warns."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

import hrm_hf.auto  # noqa: F401  registers the classes
import pipeline_hrm
from hrm_hf.puzzle_vectors import choose_puzzles, rows_by_name
from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


# models that come with the package: hard 9x9 Sudoku, mazes by number of cells, ARC, and a small one for English text
_SHIPPED = Path(__file__).parent / "pretrained"
SHIPPED_SUDOKU = _SHIPPED / "sudoku-hard"
SHIPPED_MAZES = {30 * 30: _SHIPPED / "maze-30x30", 16 * 16: _SHIPPED / "maze-16x16"}
SHIPPED_ARC = _SHIPPED / "arc-1"
SHIPPED_TEXT = _SHIPPED / "text"


def save_checkpoint(
    folder: Path, model: PreTrainedModel, processing: HRMGridProcessor | PreTrainedTokenizerBase
) -> None:
    """Save a model that loads anywhere with `trust_remote_code=True`: weights, code, and processor or tokenizer.

    A grid model also gets the pipeline `grid-solving`.

    Args:
        folder: to write; written in place.
        model: any transformers model.
        processing: its processor or tokenizer.
    """
    if isinstance(processing, HRMGridProcessor):
        # as written by Pipeline.save_pretrained, which would move the model to another device
        model.config.custom_pipelines = {
            "grid-solving": {
                "impl": f"{pipeline_hrm.__name__}.{pipeline_hrm.HRMGridSolvingPipeline.__name__}",
                "pt": ["AutoModel"],
                "type": "multimodal",
            }
        }
    model.save_pretrained(folder)
    processing.save_pretrained(folder)


def load_checkpoint(name: str) -> tuple[HRMForGridTask, HRMGridProcessor]:
    """Load model and processor.

    Args:
        name: a folder, or the name of a model on the Hub (`owner/name`).

    Returns:
        The model in evaluation mode and its processor.

    Raises:
        FileNotFoundError: if `name` is a folder that lacks a file, or neither a folder nor a name on the Hub.
        ValueError: if the checkpoint is of another model, if its weights are missing, damaged or of other shapes, or
            if its configuration files are damaged or do not match.
    """
    _check_name(name, "grid model")
    if Path(name).is_dir():
        with _readable(name):
            _check_size(Path(name))
    model = _load(HRMForGridTask, name, "solve puzzles")
    with _readable(name):
        processor = HRMGridProcessor.from_pretrained(name)
    known, config = processor.num_puzzle_identifiers, model.config
    for field, of_processor, of_model, fits in (
        ("vocab_size", processor.vocab_size, config.vocab_size, processor.vocab_size == config.vocab_size),
        (
            "max_position_embeddings",
            processor.seq_len,
            config.max_position_embeddings,
            processor.seq_len == config.max_position_embeddings,
        ),
        ("num_puzzle_identifiers", known, config.num_puzzle_identifiers, known <= config.num_puzzle_identifiers),
    ):
        if not fits:
            raise ValueError(
                f"The two configurations of {name} disagree: processor_config.json is for {field}={of_processor}, but "
                f"config.json has {of_model}; take both files from the same save_pretrained."
            )
    return model.eval(), processor


def load_causal_lm(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model (ours or any transformers model) and its tokenizer.

    Args:
        name: a folder, or the name of a model on the Hub (`owner/name`).

    Returns:
        The model in evaluation mode and its tokenizer.

    Raises:
        FileNotFoundError, ValueError: as `load_checkpoint`.
    """
    _check_name(name, "language model")
    model = _load(AutoModelForCausalLM, name, "continue text")
    with _readable(name):
        tokenizer = AutoTokenizer.from_pretrained(name)
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise ValueError(
            f"The tokenizer of {name} has {len(tokenizer)} tokens, but the model has embeddings for {rows}; take both "
            "from the same save_pretrained, or resize the model (resize_token_embeddings) and train it."
        )
    return model.eval(), tokenizer


def load_weights(model: PreTrainedModel, name: str, identifiers: Mapping[str, int] | None = None):
    """Load the weights of a checkpoint into a model without changing its configuration.

    Args:
        model: of this package.
        name: a folder, or the name of a model on the Hub (`owner/name`).
        identifiers: of the puzzles that the model knows, by name. If the checkpoint's processor also has names, a
            puzzle keeps its vectors, and a new one starts as the mean of all.

    Raises:
        FileNotFoundError, ValueError: as `load_checkpoint`; also `ValueError` if the weights do not match the model.
    """
    _check_name(name, "grid model" if isinstance(model, HRMForGridTask) else "language model")
    source = _load(type(model), name, "start this one")
    if identifiers and model.config.puzzle_emb_placement == source.config.puzzle_emb_placement == "everywhere":
        with _readable(name):
            known = HRMGridProcessor.from_pretrained(name).puzzle_identifiers
        if known:
            choose_puzzles(source, rows_by_name(known, identifiers))
    weights = source.state_dict()
    own = model.state_dict()
    for key in sorted(weights.keys() | own.keys()):
        found, wanted = ("none" if key not in these else tuple(these[key].shape) for these in (weights, own))
        if found != wanted:
            raise ValueError(
                f"The weights of {name} do not fit the recipe: for {key} it has {found}, expected {wanted}; give "
                "the model options from its config.json."
            )
    model.load_state_dict(weights)


def check_model_folder(name: str, kind: Literal["grid model", "language model"]):
    """Raise a `FileNotFoundError` if a folder lacks the configuration, the processor or tokenizer, or the weights."""
    folder = Path(name)
    for file in ("config.json", "processor_config.json" if kind == "grid model" else "tokenizer_config.json"):
        if not (folder / file).is_file():
            raise FileNotFoundError(_incomplete(name, file, kind))
    if not any(folder.glob("*.safetensors")):
        raise FileNotFoundError(_incomplete(name, "model.safetensors", kind))


def _check_name(name: str, kind: Literal["grid model", "language model"]):
    if Path(name).is_dir():
        check_model_folder(name, kind)
    elif name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise FileNotFoundError(
            f"There is no folder {name}; give a model folder or a Hub name of the form owner/name."
        )


def _load(model_class: type, name: str, purpose: str) -> PreTrainedModel:
    try:
        with _readable(name):
            model, loading = model_class.from_pretrained(name, output_loading_info=True, ignore_mismatched_sizes=True)
    except SafetensorError as error:
        raise ValueError(f"The weights of {name} are damaged ({error}); copy or download them again.") from error
    except OSError as error:
        if Path(name).is_dir():
            raise
        reason = str(error).splitlines()[0]
        raise FileNotFoundError(
            f"There is no folder {name}, and no model of this name can be loaded from the Hub: {reason}"
        ) from error
    if loading["mismatched_keys"]:
        key, stored, wanted = min(loading["mismatched_keys"])
        raise ValueError(
            f"The weights of {name} do not fit its config.json: {key} has the shape {tuple(stored)}, but "
            f"{tuple(wanted)} is expected; take both files from the same save_pretrained."
        )
    if loading["missing_keys"]:
        raise ValueError(
            f"The checkpoint {name} lacks {', '.join(sorted(loading['missing_keys']))}; it was made by another class "
            f"({', '.join(model.config.architectures or ['unknown'])}) and cannot {purpose}."
        )
    return model


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn what transformers raises for a malformed JSON file of a checkpoint into a `ValueError`."""
    try:
        yield
    except (AttributeError, TypeError, KeyError, IndexError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(
            f"A JSON file of {name} does not have the form written by save_pretrained ({type(error).__name__}: "
            f"{error}); save or download the model again."
        ) from error


def _check_size(folder: Path):
    """Raise a `ValueError` if config.json has far more parameters than the weights, before memory is allocated."""
    config = HRMForGridTask.config_class.from_pretrained(folder)
    with torch.device("meta"):
        wanted = sum(parameter.numel() for parameter in HRMForGridTask(config).parameters())
    there = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    # a parameter takes at least a byte
    if wanted > 10 * there + 1_000_000:
        raise ValueError(
            f"The config.json of {folder} is for a model of {wanted:,} parameters, but its weights have {there:,} "
            "bytes; take both files from the same save_pretrained."
        )


def _incomplete(name: str, file: str, kind: str) -> str:
    beside = "processor" if kind == "grid model" else "tokenizer"
    return (
        f"The folder {name} has no {file}, so it is not a complete {kind}; give the model/ folder of a training run "
        f"or one written by save_pretrained of model and {beside}."
    )
