"""A split of any puzzle data set, in the one form that training and evaluation take.

puzzles = open_puzzles("data/maze-30x30", "train")
puzzles.processor                                   # of the task and size of the data set
puzzles.draws(num_draws=1000, seed=0)               # training examples, under random symmetries
puzzles.examples(limit=100)                         # labelled examples as they are, as tensors
"""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch

from hrm_hf.puzzles.arc.puzzles import SPLITS, ArcDraws, arc_folder, load_arc, load_plans, puzzle_names
from hrm_hf.puzzles.draws import Draws
from hrm_hf.puzzles.rows import (
    PuzzleDraws,
    board_processor,
    encode,
    load_rows,
    maze_augmentation,
    sudoku_augmentation,
)
from processing_hrm import HRMGridProcessor


class PuzzleSet(ABC):
    """A split of a puzzle data set.

    Attributes:
        processor: that of the task and size, and of all puzzles that the data set knows by name.
        num_items: what an epoch visits once, in draws.
    """

    processor: HRMGridProcessor
    num_items: int

    @abstractmethod
    def draws(self, num_draws: int, seed: int, augment: bool = True) -> Draws:
        """The training examples of a run; `augment` puts each under a random symmetry (ARC: a random translation)."""

    @abstractmethod
    def examples(self, limit: int | None = None) -> dict[str, torch.Tensor]:
        """The first `limit` examples, not augmented; fewer if there are no more.

        Returns:
            `input_ids` and `labels` of shape `(examples, tokens)`, `puzzle_identifiers` of shape `(examples,)`.
        """

    @abstractmethod
    def known_of_examples(self, limit: int | None = None) -> dict[str, list]:
        """What else is known of the same examples: `source`, and `rating` where there is one; a list each."""


class BoardSet(PuzzleSet):
    """Sudoku or mazes: rows with a question and an answer.

    Args:
        dataset, split: as for `open_puzzles`.
        limit: the first rows only.
    """

    def __init__(self, dataset: str, split: str, limit: int | None = None):
        self.rows = load_rows(dataset, split, limit)
        self.num_items = len(self.rows)
        self.processor = board_processor(self.rows)

    def draws(self, num_draws: int, seed: int, augment: bool = True) -> Draws:
        augmentation = None
        if augment and self.processor.task == "maze":
            augmentation = maze_augmentation(self.processor.height, self.processor.width, seed)
        elif augment:
            augmentation = sudoku_augmentation(self.processor.height, seed)
        return PuzzleDraws(encode(self.rows, self.processor), num_draws, seed, augmentation)

    def examples(self, limit: int | None = None) -> dict[str, torch.Tensor]:
        return encode(self._first(limit), self.processor)

    def known_of_examples(self, limit: int | None = None) -> dict[str, list]:
        rows = self._first(limit)
        return {name: rows[name][:] for name in ("source", "rating") if name in rows.column_names}

    def _first(self, limit: int | None):
        return self.rows if limit is None else self.rows.select(range(min(limit, len(self.rows))))


class ArcSet(PuzzleSet):
    """ARC tasks and their augmentations, which are members of the task's group. Their symmetries are part of the data
    set, so a draw is under the symmetry of the member that it takes.

    Args:
        dataset, split: as for `open_puzzles`.
    """

    def __init__(self, dataset: str, split: str):
        self.puzzles = load_arc(dataset, split)
        self.num_items = int(self.puzzles.group_sizes.sum())
        plans = [load_plans(arc_folder(dataset), name) for name in SPLITS]
        names = puzzle_names(self.puzzles.tasks, plans)
        self.processor = HRMGridProcessor.for_arc({name: number for number, name in enumerate(names)})

    def draws(self, num_draws: int, seed: int, augment: bool = True) -> Draws:
        return ArcDraws(self.puzzles, num_draws, seed, translate=augment)

    def examples(self, limit: int | None = None) -> dict[str, torch.Tensor]:
        groups, examples = self._first(limit)
        # the first member of a group is the task as it is
        return self.puzzles.batch(groups, groups * 0, examples)

    def known_of_examples(self, limit: int | None = None) -> dict[str, list]:
        groups, _ = self._first(limit)
        return {"source": [self.puzzles.tasks[task].source for task in self.puzzles.group_tasks[groups]]}

    def _first(self, limit: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Groups and examples."""
        sizes = self.puzzles.group_sizes
        groups = np.repeat(np.arange(self.puzzles.num_groups), sizes)
        examples = np.concatenate([np.arange(size) for size in sizes])
        return groups[:limit], examples[:limit]


def open_puzzles(dataset: str, split: str, limit: int | None = None) -> PuzzleSet:
    """A split of a puzzle data set: Sudoku, mazes or ARC, told apart by what is in it.

    Args:
        dataset: a folder written by a builder of `dataset_scripts/`, or the name of such a data set on the Hub.
        split: name of the split.
        limit: only the first rows of Sudoku or mazes; all by default.

    Raises:
        FileNotFoundError: if there is no such data set.
        ValueError: if it holds no puzzles, has no such split or less than `limit`, or a limit is given for ARC.
    """
    folder = Path(dataset).expanduser()
    if folder.is_dir():
        is_arc = any(folder.glob("data/tasks-*.parquet"))
    elif dataset.count("/") == 1 and not dataset.startswith((".", "/", "~")):
        import datasets

        try:
            is_arc = "tasks" in datasets.get_dataset_config_names(dataset)
        except (OSError, ValueError, datasets.exceptions.DatasetNotFoundError) as error:
            raise FileNotFoundError(
                f"There is no data set folder {dataset}, and a data set of this name on the Hub cannot be fetched: "
                f"{str(error).splitlines()[0]}"
            ) from error
    else:
        is_arc = False
    if not is_arc:
        return BoardSet(dataset, split, limit)
    if limit is not None:
        raise ValueError(f"A limit of {limit} rows is for Sudoku and mazes; ARC tasks are taken all or none.")
    return ArcSet(dataset, split)
