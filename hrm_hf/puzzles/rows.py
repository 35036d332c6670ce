"""Puzzles for training and evaluation, as tensors."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import yaml

from hrm_hf.data.folder import is_dataset_folder
from hrm_hf.puzzles.draws import Draws
from processing_hrm import HRMGridProcessor


if TYPE_CHECKING:
    import datasets


_MOST_FILES = 1000  # in a folder of CSV files or similar, with its subfolders


def load_rows(dataset: str, split: str, limit: int | None = None) -> "datasets.Dataset":
    """The first `limit` rows of a split with the columns `question` and `answer`.

    Args:
        dataset: a folder written by a builder of `dataset_scripts/`, or the name of a data set on the Hub.
        split: name of the split.
        limit: how many rows; all by default.

    Raises:
        FileNotFoundError: if `dataset` looks like a folder and does not exist.
        ValueError: if it cannot be opened, the split or a column is missing, or it has fewer than `limit` rows.
    """
    import datasets  # ARC is read without it

    if not Path(dataset).is_dir() and (dataset.startswith((".", "/", "~")) or dataset.count("/") != 1):
        raise FileNotFoundError(
            f"There is no data set folder {dataset}; build one with a script of dataset_scripts/ or give a data set "
            "on the Hub as owner/name."
        )
    if Path(dataset).is_dir():
        _check_is_small(Path(dataset))
    try:
        splits = datasets.load_dataset(dataset)
    # the errors after the first are from a README.md with damaged YAML, or YAML that is not that of a data card
    except (
        datasets.exceptions.DatasetsError,
        yaml.YAMLError,
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        RecursionError,
    ) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ValueError(
            f"{dataset} cannot be opened as a data set ({reason}); make a folder from its files with a script of "
            "dataset_scripts/."
        ) from error
    if split not in splits:
        raise ValueError(f"The data set {dataset} has no split {split!r}; it has {', '.join(splits)}.")
    rows = splits[split]
    missing = {"question", "answer"} - set(rows.column_names)
    if missing:
        raise ValueError(
            f"The data set {dataset} has no column {' and '.join(sorted(missing))}; it has "
            f"{', '.join(rows.column_names)}."
        )
    if limit is not None:
        if limit > len(rows):
            raise ValueError(f"The split {split!r} of {dataset} has {len(rows)} rows, but {limit} were asked for.")
        rows = rows.select(range(limit))
    return rows


def _check_is_small(folder: Path):
    """Raise a `ValueError` for a folder that is not a data set but has many files, all of which would be read."""
    if is_dataset_folder(folder):
        return
    number = 0
    for _, folders, files in os.walk(folder):
        number += len(folders) + len(files)
        if number > _MOST_FILES:
            raise ValueError(
                f"The folder {folder} is not a data set folder (with README.md and data/) and contains more than "
                f"{_MOST_FILES:,} files and folders, which would all be read; give the folder of one data set, as "
                "a script of dataset_scripts/ makes it."
            )


def encode(rows: "datasets.Dataset", processor: HRMGridProcessor) -> dict[str, torch.Tensor]:
    """`input_ids` and `labels` of shape `(rows, tokens)` and `puzzle_identifiers` of shape `(rows,)`."""
    return dict(processor(list(rows["question"]), answers=list(rows["answer"]), return_tensors="pt"))


# (draws, input_ids, labels) -> (input_ids, labels)
Augmentation = Callable[[torch.LongTensor, torch.LongTensor, torch.LongTensor], tuple[torch.Tensor, torch.Tensor]]


class ChangedDraws(Draws):
    """The draws of a run with a further change, a function of each draw.

    Args:
        draws: of puzzles.
        change: of `input_ids` and `labels`.
    """

    def __init__(self, draws: Draws, change: Augmentation):
        super().__init__(draws.epochs.num_items, draws.num_draws, draws.epochs.seed)
        self.draws, self.change = draws, change

    def __getitems__(self, draws: list[int]) -> dict[str, torch.Tensor]:
        """One batch, as of the draws before the change."""
        batch = self.draws.__getitems__(draws)
        batch["input_ids"], batch["labels"] = self.change(torch.tensor(draws), batch["input_ids"], batch["labels"])
        return batch


class PuzzleDraws(Draws):
    """The training puzzles of a run, in order: each draw is one of the puzzles under its own random symmetry.

    Args:
        puzzles: from `encode`.
        num_draws: length of the run in examples.
        seed: for order and augmentation.
        augment: symmetry to apply, or `None`.
    """

    def __init__(
        self, puzzles: dict[str, torch.Tensor], num_draws: int, seed: int, augment: Augmentation | None = None
    ):
        super().__init__(len(puzzles["input_ids"]), num_draws, seed)
        self.puzzles = puzzles
        self.augment = augment

    def __getitems__(self, draws: list[int]) -> dict[str, torch.Tensor]:
        """One batch: `input_ids`, `labels` of shape `(draws, tokens)`, `puzzle_identifiers` of shape `(draws,)`."""
        rows = self.epochs.items(draws)
        batch = {name: tensor[rows] for name, tensor in self.puzzles.items()}
        if self.augment is not None:
            batch["input_ids"], batch["labels"] = self.augment(
                torch.tensor(draws), batch["input_ids"], batch["labels"]
            )
        return batch
