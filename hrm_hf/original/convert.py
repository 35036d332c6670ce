"""Checkpoints of the original codes of HRM and TRM as model folders of this project, and back; each conversion is
checked to be equal.

`original.checkpoint` has the layout of the original and the names of its parameters.
"""

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import torch

from hrm_hf.checkpoints import load_checkpoint, save_checkpoint
from hrm_hf.model_card import CARD, converted_card
from hrm_hf.original.checkpoint import (
    OFFICIAL,
    Family,
    OriginalCheckpoint,
    Settings,
    family_of,
    find_checkpoint,
    original_arch,
    read_checkpoint,
    read_state_dict,
    write_checkpoint,
)
from hrm_hf.puzzles import registry
from hrm_hf.utils.files import check_replaceable, whole_folder
from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


@dataclass(frozen=True)
class Conversion:
    """What was converted, and what was compared.

    Attributes:
        checkpoint: the file that was read, or the model.
        family: `"HRM"` or `"TRM"`.
        output: the folder that was written.
        task: kind of puzzle and size.
        parameters: number of parameters.
        named_identifiers: puzzle identifiers that have a name; 0 if there was no identifiers.json.
        identifiers: puzzle identifiers with an embedding, including the blank one.
        equal_tensors: number of tensors that are equal bit for bit there and back.
        equal_logits: shape of the logits that are equal.
        dropped_identifiers: puzzle identifiers whose embedding was left out.
        rounding_error: largest difference caused by rounding puzzle embeddings, `None` without rounding.
    """

    checkpoint: str
    family: Family
    output: str
    task: str
    parameters: int
    named_identifiers: int
    identifiers: int
    equal_tensors: int
    equal_logits: list[int]
    dropped_identifiers: int = 0
    rounding_error: float | None = None


def load_original(folder: str | os.PathLike, checkpoint: str = "step_0") -> HRMForGridTask:
    """Load a checkpoint of the original code without converting it.

    Args:
        folder: with the checkpoint, `all_config.yaml` and `dataset.json`.
        checkpoint: file name of the state dict in `folder`.

    Returns:
        [`HRMForGridTask`] in float32, in evaluation mode.

    Raises:
        FileNotFoundError: if one of the three files is missing.
        ValueError: if parameters are missing, unknown, or do not have the shape in the configuration.
    """
    folder = Path(folder)
    for name in (checkpoint, "all_config.yaml", "dataset.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} has no file {name}; expected a folder with {checkpoint}, all_config.yaml and dataset.json."
            )
    original = read_checkpoint(folder / checkpoint)
    return original.model(original.dataset["seq_len"])


def convert(
    checkpoint: str,
    output: Path,
    task: str | None = None,
    settings: Settings | None = None,
    identifiers: Path | None = None,
    revision: str | None = None,
    overwrite: bool = False,
    drop_puzzle_embeddings: bool = False,
    puzzle_embeddings_dtype: Literal["float32", "float16"] = "float32",
) -> Conversion:
    """Write a model folder from a checkpoint of the original: model, code, processor and card.

    Args:
        checkpoint: a file, a folder or a repository on the Hub, as described in `original.checkpoint`.
        output: the folder to write.
        task: kind of puzzle; known for the repositories of `OFFICIAL`.
        settings: what neither tensors nor all_config.yaml tell.
        identifiers: folder of the data set that it was trained on, in the format of the original code (with an
            identifiers.json) or ours; by default that of the checkpoint, if it has the file.
        revision: of the repository on the Hub.
        overwrite: whether an existing model folder may be replaced.
        drop_puzzle_embeddings: leave out all puzzle embeddings except that of the blank identifier, 0.
        puzzle_embeddings_dtype: of the puzzle embeddings in the file; `"float16"` rounds them.

    Raises:
        FileNotFoundError, FileExistsError: for a missing checkpoint and an output folder that is in use.
        ValueError: for a checkpoint that is not from the original HRM or TRM, or is for other puzzles.
        RuntimeError: if the written model is not equal to the checkpoint bit for bit.
    """
    known_task = OFFICIAL.get(checkpoint)
    if known_task is not None and task not in (None, known_task):
        raise ValueError(f"{checkpoint} is a model for {known_task}, but --task {task} was given; leave it out.")
    task = task or known_task
    if task is None:
        raise ValueError(
            f"The checkpoint {checkpoint} does not say what its puzzles are; give --task sudoku, maze or arc."
        )
    check_replaceable(output, overwrite, "config.json", "model folder")
    original = read_checkpoint(find_checkpoint(checkpoint, revision), settings, identifiers)
    dropped, rounding_error = 0, None
    if drop_puzzle_embeddings:
        dropped = (original.sizes.num_puzzle_identifiers or 0) - 1
        original = original.without_puzzle_embeddings()
    if puzzle_embeddings_dtype != "float32":
        given = original.tensors
        original = original.with_rounded_puzzle_embeddings(getattr(torch, puzzle_embeddings_dtype))
        name = "puzzle_emb.weights"
        rounding_error = (original.tensors[name] - given[name]).abs().max().item()
    processor = build_processor(original, task)
    model = original.model(processor.seq_len)
    with whole_folder(output) as partial:
        if rounding_error is not None:
            model.model.puzzle_embeddings.to(getattr(torch, puzzle_embeddings_dtype))
        save_checkpoint(partial, model, processor)
        model.float()
        logits = _check_there_and_back(model, original, partial)
        # a path on this machine means nothing to others, unlike the name of a repository
        source = checkpoint if not Path(checkpoint).exists() else None
        # the license of their code; unknown for other checkpoints
        license = "apache-2.0" if checkpoint in OFFICIAL else None
        exceptions = []
        if original.has_lean_halting:
            exceptions.append("The halting head of TRM has a second output, which is never used and is left out here.")
        if dropped:
            exceptions.append(
                f"The {dropped:,} puzzle embeddings are left out; identifier 0 (no particular puzzle) is kept."
            )
        if rounding_error is not None:
            exceptions.append(
                f"The puzzle embeddings are {puzzle_embeddings_dtype}, rounded by at most {rounding_error:.2g}."
            )
        card = converted_card(model, processor, source, original.path.name, license, exceptions)
        (partial / CARD).write_text(f"{card}\n", encoding="utf-8")
    done = _conversion(str(original.path), output, model, processor, len(original.tensors), logits)
    return replace(done, dropped_identifiers=dropped, rounding_error=rounding_error)


def export(model: str, output: Path, overwrite: bool = False) -> Conversion:
    """Write a checkpoint folder in the format of the original code.

    Args:
        model: a model folder, or a model on the Hub.
        output: the folder to write: step_0, all_config.yaml, dataset.json and, if there are names, identifiers.json.
        overwrite: whether an existing checkpoint folder may be replaced.

    Raises:
        FileNotFoundError, FileExistsError: for a missing model and an output folder that is in use.
        ValueError: if the original cannot represent the model.
        RuntimeError: if the written checkpoint is not equal to the model bit for bit.
    """
    check_replaceable(output, overwrite, "all_config.yaml", "checkpoint folder")
    hrm_model, processor = load_checkpoint(model)
    original_arch(hrm_model)  # refuses before anything is written
    hrm_model.float()
    with whole_folder(output) as partial:
        write_checkpoint(partial, hrm_model, processor.puzzle_identifiers)
        tensors = read_state_dict(partial / "step_0")
        logits = _check_equal_logits(hrm_model, load_original(partial), "the exported checkpoint")
    return _conversion(model, output, hrm_model, processor, len(tensors), logits)


def build_processor(original: OriginalCheckpoint, task: str) -> HRMGridProcessor:
    """The processor for a checkpoint; its size comes from the sequences, or is the published size for the puzzles.

    Raises:
        ValueError: if kind of puzzle, vocabulary, length and names do not match.
    """
    sizes = original.sizes
    kind = registry.get(task)
    side = kind.side_of(sizes.vocab_size)
    if original.seq_len is not None:
        side = math.isqrt(original.seq_len)
        if side * side != original.seq_len:
            raise ValueError(
                f"{original.path} is for sequences of {original.seq_len} tokens, which is not a square board."
            )
    names = None
    # the file of a data set without puzzle identifiers names only the blank one
    if original.identifiers is not None and len(original.identifiers) > 1:
        if len(original.identifiers) != sizes.num_puzzle_identifiers:
            raise ValueError(
                f"There are {len(original.identifiers)} names of puzzle identifiers, but {original.path} has "
                f"{sizes.num_puzzle_identifiers or 'no'} puzzle embeddings; give the data set "
                "that it was trained on."
            )
        names = {name: number for number, name in enumerate(original.identifiers) if number}
    if not kind.fits_model(sizes.vocab_size, side):
        raise ValueError(
            f"{original.path} has {sizes.vocab_size} token ids"
            f"{'' if original.seq_len is None else f' and sequences of {original.seq_len}'}, so it is not a model for "
            f"{task} (sudoku 9x9: 11 and 81, maze 30x30: 6 and 900, arc: 12 and 900); give the right --task."
        )
    return HRMGridProcessor(task, side, side, puzzle_identifiers=names)


def _check_there_and_back(model: HRMForGridTask, original: OriginalCheckpoint, folder: Path) -> torch.Tensor:
    """Compare a checkpoint with an export of the converted model, and the logits of the model with its copies.

    Args:
        model: converted from the checkpoint.
        original: the checkpoint.
        folder: with the saved model.

    Returns:
        The logits.

    Raises:
        RuntimeError: at the first difference.
    """
    with TemporaryDirectory(dir=folder) as exported:
        write_checkpoint(Path(exported), model)
        back = read_state_dict(Path(exported) / "step_0")
        if back.keys() != original.tensors.keys():
            differ = sorted(back.keys() ^ original.tensors.keys())
            raise RuntimeError(f"The names {differ} differ after conversion and export.")
        for name, tensor in original.tensors.items():
            there, here = (original.used_part(name, one) for one in (tensor, back[name]))
            # the original's weights are float32, its initial states perhaps not; a wider dtype keeps the values
            wider = torch.promote_types(there.dtype, here.dtype)
            if not torch.equal(here.to(wider), there.to(wider)):
                raise RuntimeError(f"{name} differs after conversion and export.")
        _check_equal_logits(model, load_original(exported), "the exported checkpoint")
    return _check_equal_logits(model, HRMForGridTask.from_pretrained(folder), "the saved model")


def _check_equal_logits(model: HRMForGridTask, other: HRMForGridTask, what: str) -> torch.Tensor:
    """Run two segments on random puzzles; a `RuntimeError` if the logits are not equal bit for bit.

    The halting values are equal up to rounding: a head with one output is a dot product, and the order of its
    additions depends on where the weights are in memory.
    """
    config = model.config
    generator = torch.Generator().manual_seed(0)
    batch = {
        "input_ids": torch.randint(config.vocab_size, (2, config.max_position_embeddings), generator=generator),
        "puzzle_identifiers": torch.randint(config.num_puzzle_identifiers, (2,), generator=generator),
    }
    outputs = []
    for one in (model.eval(), other.eval()):
        with torch.no_grad():
            carry = one(**batch).carry
            carry.halted[:] = False
            outputs.append(one(**batch, carry=carry))
    mine, theirs = outputs
    for name, tolerance in (("logits", 0.0), ("q_halt_logits", 1e-5), ("q_continue_logits", 1e-5)):
        if name in mine and not torch.allclose(mine[name], theirs[name], rtol=tolerance, atol=tolerance):
            raise RuntimeError(f"The {name} of {what} differ from those of the model.")
    return mine.logits


def _conversion(
    checkpoint: str,
    output: Path,
    model: HRMForGridTask,
    processor: HRMGridProcessor,
    equal_tensors: int,
    logits: torch.Tensor,
) -> Conversion:
    return Conversion(
        checkpoint=checkpoint,
        family=family_of(model.config),
        output=str(output),
        task=f"{processor.task} {processor.height}x{processor.width}",
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        named_identifiers=len(processor.puzzle_identifiers or {}),
        identifiers=model.config.num_puzzle_identifiers,
        equal_tensors=equal_tensors,
        equal_logits=list(logits.shape),
    )
