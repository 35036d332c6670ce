"""Puzzles for training and evaluation, as tensors."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import yaml

from hrm_hf.data.folder import is_dataset_folder
from hrm_hf.puzzles.draws import Draws
from hrm_hf.puzzles.maze import symmetry as maze_symmetry
from hrm_hf.puzzles.sudoku.symmetry import random_symmetries
from processing_hrm import HRMGridProcessor


if TYPE_CHECKING:
    import datasets


_MOST_FILES = 1000  # of a folder of CSV files or the like, sub-folders included


def load_rows(dataset: str, split: str, limit: int | None = None) -> "datasets.Dataset":
    """The first `limit` rows of a split with the columns `question` and `answer`.

    Args:
        dataset: a folder written by a builder of `dataset_scripts/`, or the name of a data set on the Hub.
        split: name of the split.
        limit: how many rows; all by default.

    Raises:
        FileNotFoundError: if `dataset` looks like a folder and is none.
        ValueError: if it cannot be opened, the split or a column is missing, or fewer than `limit` rows are there.
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
    # the latter are of a README.md whose YAML is damaged, or of another form than that of data cards
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
            f"{dataset} is no data set that can be opened ({reason}); make a folder of its files with a script of "
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
    """Raise a `ValueError` for a folder that is no data set but holds a tree of files, all of which would be read."""
    if is_dataset_folder(folder):
        return
    number = 0
    for _, folders, files in os.walk(folder):
        number += len(folders) + len(files)
        if number > _MOST_FILES:
            raise ValueError(
                f"The folder {folder} is no data set folder, which has README.md and data/, and has more than "
                f"{_MOST_FILES:,} files and folders in it, which would all be looked at; give the folder of one data "
                "set, as a script of dataset_scripts/ makes it."
            )


def board_processor(rows: "datasets.Dataset") -> HRMGridProcessor:
    """The processor for the puzzles of a data set with questions and answers: mazes, or else Sudoku."""
    # not by the goal: G is a digit of 16x16 Sudoku
    is_maze = len(rows) > 0 and not set(rows[0]["question"]).isdisjoint("# S")
    return maze_processor(rows) if is_maze else sudoku_processor(rows)


def sudoku_processor(rows: "datasets.Dataset") -> HRMGridProcessor:
    """The processor for Sudoku of the size of the first row.

    Raises:
        ValueError: if there is no row or the first is not a square board.
    """
    if len(rows) == 0:
        raise ValueError("The data set is empty; build one with at least one puzzle.")
    cells = len(rows[0]["question"])
    if math.isqrt(cells) ** 2 != cells:
        raise ValueError(f"The first puzzle has {cells} cells, which is not a square board.")
    return HRMGridProcessor.for_sudoku(math.isqrt(cells))


def maze_processor(rows: "datasets.Dataset") -> HRMGridProcessor:
    """The processor for mazes of the shape of the first row: as wide as its column `width` says, else square.

    Raises:
        ValueError: if there is no row, or the first is no rectangle of that width, or no square.
    """
    if len(rows) == 0:
        raise ValueError("The data set is empty; build one with at least one maze.")
    cells = len(rows[0]["question"])
    width = rows[0]["width"] if "width" in rows.column_names else math.isqrt(cells)
    if width < 1 or cells % width:
        raise ValueError(
            f"The first maze has {cells} cells, which is no rectangle {width} wide; give square mazes, or others with "
            "a column 'width'."
        )
    return HRMGridProcessor.for_maze(cells // width, width)


def encode(rows: "datasets.Dataset", processor: HRMGridProcessor) -> dict[str, torch.Tensor]:
    """`input_ids` and `labels` of shape `(rows, tokens)` and `puzzle_identifiers` of shape `(rows,)`."""
    return dict(processor(list(rows["question"]), answers=list(rows["answer"]), return_tensors="pt"))


# (draws, input_ids, labels) -> (input_ids, labels)
Augmentation = Callable[[torch.LongTensor, torch.LongTensor, torch.LongTensor], tuple[torch.Tensor, torch.Tensor]]


def sudoku_augmentation(size: int, seed: int) -> Augmentation:
    """Apply to draw d the Sudoku symmetry that is a function of (seed, d) alone."""

    def augment(draws, input_ids, labels):
        symmetry = random_symmetries(draws, seed, size)
        # token 1 is the blank cell, tokens 2.. are the digits 1..
        return symmetry.apply(input_ids - 1) + 1, symmetry.apply(labels - 1) + 1

    return augment


def maze_augmentation(height: int, width: int, seed: int) -> Augmentation:
    """Apply to draw d the symmetry of the square (of the rectangle) that is a function of (seed, d) alone."""

    def augment(draws, input_ids, labels):
        symmetry = maze_symmetry.random_symmetries(draws, seed, height, width)
        return symmetry.apply(input_ids), symmetry.apply(labels)

    return augment


class PuzzleDraws(Draws):
    """The training puzzles of a run, in order: each draw is one of the puzzles, under a random symmetry of its own.

    Args:
        puzzles: as `encode` gives them.
        num_draws: length of the run in examples.
        seed: of order and augmentation.
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
