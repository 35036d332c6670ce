"""The directories of arrays that the original code reads (puzzle_dataset.py): reading, checking, writing.

{train,test}/dataset.json                       sizes and special ids
{train,test}/all__{inputs,labels}.npy           tokens of all examples, `(examples, seq_len)`
{train,test}/all__puzzle_identifiers.npy        `(puzzles,)`
{train,test}/all__{puzzle,group}_indices.npy    first example of each puzzle, first puzzle of each group, and the end
identifiers.json                                names of the puzzle identifiers

A group is an original puzzle, its puzzles are the stored augmentations, and a puzzle has one example or, in ARC,
several.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format


SET_NAME = "all"
_SPECIAL_IDS = ("pad_id", "ignore_label_id", "blank_identifier_id")


@dataclass(frozen=True)
class OriginalSplit:
    """One split.

    Attributes:
        vocab_size, seq_len, num_puzzle_identifiers: as in dataset.json.
        puzzle_identifiers: `(puzzles,)` int32.
        puzzle_indices: first example of each puzzle, and the end, `(puzzles + 1,)` int32.
        group_indices: first puzzle of each group, and the end, `(groups + 1,)` int32.
        inputs, labels: `(examples, seq_len)`; padding is 0. `None` while the split is being written.
        path: where it was read from.
    """

    vocab_size: int
    seq_len: int
    num_puzzle_identifiers: int
    puzzle_identifiers: np.ndarray
    puzzle_indices: np.ndarray
    group_indices: np.ndarray
    inputs: np.ndarray | None = None
    labels: np.ndarray | None = None
    path: Path | None = None

    @property
    def num_examples(self) -> int:
        """Number of examples of all puzzles."""
        return int(self.puzzle_indices[-1])


# --- writing


def write_split(folder: Path, split: OriginalSplit, tokens: Iterable[tuple[np.ndarray, np.ndarray]]):
    """Write a split.

    Args:
        folder: to create.
        split: everything except the tokens.
        tokens: inputs and labels `(some, seq_len)` uint8, in turn.
    """
    folder.mkdir(parents=True)
    paths = {side: _array_path(folder, SET_NAME, side) for side in ("inputs", "labels")}
    # written in chunks: arrays in memory would be gigabytes, and mapped files kill the process if the disk is full
    with open(paths["inputs"], "wb") as inputs_file, open(paths["labels"], "wb") as labels_file:
        files = (inputs_file, labels_file)
        for file in files:
            shape = (split.num_examples, split.seq_len)
            header = {"descr": npy_format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": shape}
            npy_format.write_array_header_1_0(file, header)
        for chunk in tokens:
            for file, array in zip(files, chunk, strict=True):
                file.write(np.ascontiguousarray(array, dtype=np.uint8).data)
    for name in ("puzzle_identifiers", "puzzle_indices", "group_indices"):
        np.save(_array_path(folder, SET_NAME, name), getattr(split, name).astype(np.int32))

    metadata = dict.fromkeys(_SPECIAL_IDS, 0) | {
        "vocab_size": split.vocab_size,
        "seq_len": split.seq_len,
        "num_puzzle_identifiers": split.num_puzzle_identifiers,
        "total_groups": len(split.group_indices) - 1,
        "mean_puzzle_examples": split.num_examples / len(split.puzzle_identifiers),
        "sets": [SET_NAME],
    }
    (folder / "dataset.json").write_text(json.dumps(metadata))


def write_identifiers(folder: Path, names: list[str]):
    """Write the names of the puzzle identifiers, by number; that of 0 is `<blank>`."""
    (folder / "identifiers.json").write_text(json.dumps(names))


def _array_path(folder: Path, set_name: str, name: str) -> Path:
    return folder / f"{set_name}__{name}.npy"


# --- reading


def read_splits(folder: Path) -> dict[str, OriginalSplit]:
    """All splits of a directory, the training split first; tokens stay on disk until they are used.

    Raises:
        FileNotFoundError: if the directory does not exist, or a file is missing.
        ValueError: if the files do not match, or the original does not write such files.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no directory {folder}.")
    there = {path.parent.name for path in folder.glob("*/dataset.json")}
    if not {"train", "test"} <= there:
        raise FileNotFoundError(
            f"{folder} has no {' and '.join(sorted({'train', 'test'} - there))}/dataset.json; give a directory "
            "written by the build scripts of the original code."
        )
    splits = {name: _read_split(folder / name) for name in ("train", *sorted(there - {"train", "test"}), "test")}
    for split in splits.values():
        for name in ("vocab_size", "seq_len"):
            value, wanted = getattr(split, name), getattr(splits["train"], name)
            if value != wanted:
                raise ValueError(f"{split.path}/dataset.json has {name}={value}, but that of train has {wanted}.")
    return splits


def read_identifiers(folder: Path) -> list[str]:
    """Names of the puzzle identifiers, by number.

    Raises:
        FileNotFoundError, ValueError: if identifiers.json is missing, or is not a list of names.
    """
    path = folder / "identifiers.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no file {path} with the names of the puzzle identifiers; give a data set folder of the "
            "original code, or one from dataset_scripts/build_arc.py or convert_original.py."
        )
    names = _read_json(path)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path} is not a list of names.")
    return names


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}).") from error


def _read_split(folder: Path) -> OriginalSplit:
    metadata_path = folder / "dataset.json"
    metadata = _read_json(metadata_path)
    wanted = ("vocab_size", "seq_len", "num_puzzle_identifiers", "sets", *_SPECIAL_IDS)
    if not isinstance(metadata, dict) or not metadata.keys() >= set(wanted):
        raise ValueError(f"{metadata_path} lacks entries; expected {', '.join(wanted)}.")
    for name in _SPECIAL_IDS:
        if metadata[name] != 0:
            raise ValueError(f"{metadata_path} has {name}={metadata[name]}; data sets of the original have 0.")
    if len(metadata["sets"]) != 1:
        raise ValueError(f"{metadata_path} has the sets {metadata['sets']}; expected only one.")

    set_name = metadata["sets"][0]
    arrays = {}
    for name in ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices"):
        path = _array_path(folder, set_name, name)
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}, but {metadata_path} requires it.")
        try:
            arrays[name] = np.load(path, mmap_mode="r" if name in ("inputs", "labels") else None)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path} is not a numpy array, or is cut off ({error}).") from error
        if arrays[name].dtype.kind not in "iu":
            raise ValueError(f"{path} has the type {arrays[name].dtype}; expected integers.")

    num_puzzles = len(arrays["puzzle_identifiers"])
    for name, count, of in (
        ("puzzle_indices", num_puzzles, "puzzle"),
        ("group_indices", len(arrays["group_indices"]) - 1, "group"),
    ):
        indices, end = arrays[name], len(arrays["inputs"]) if of == "puzzle" else num_puzzles
        if len(indices) != count + 1 or indices[0] != 0 or indices[-1] != end or (np.diff(indices) < 1).any():
            raise ValueError(
                f"{_array_path(folder, set_name, name)} does not match: expected the start of each {of}, beginning "
                f"with 0 and ending with {end}."
            )
    for side in ("inputs", "labels"):
        shape = (len(arrays["inputs"]), metadata["seq_len"])
        if arrays[side].shape != shape:
            raise ValueError(
                f"{_array_path(folder, set_name, side)} has the shape {arrays[side].shape}; expected {shape}."
            )
    sizes = {name: metadata[name] for name in ("vocab_size", "seq_len", "num_puzzle_identifiers")}
    return OriginalSplit(**sizes, **arrays, path=folder)
