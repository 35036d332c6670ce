"""Mazes as a kind of puzzle."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hrm_hf.puzzles.kind import Framed, PuzzleKind
from processing_hrm import HRMGridProcessor


if TYPE_CHECKING:
    import datasets
    from matplotlib.axes import Axes

    from hrm_hf.puzzles.maze.symmetry import MazeSymmetry
    from hrm_hf.puzzles.rows import Augmentation
    from hrm_hf.puzzles.sets import PuzzleSet


class MazeKind(PuzzleKind):
    """Mazes on a rectangle, of any size."""

    name = "maze"
    title = "Maze"
    plural = "mazes"
    # the last one is a predicted token that is not a cell
    symbols = frozenset("# SGo?")
    fills = {"#": "#64748b", "S": "#1a7f4b", "G": "#c2570c", "o": "#6ba3e0"}

    def processor(self, entry: Mapping[str, Any]) -> HRMGridProcessor:
        return HRMGridProcessor.for_maze(entry["height"], entry["width"])

    def processor_of_rows(self, rows: "datasets.Dataset") -> HRMGridProcessor:
        """The processor for mazes with the shape of the first row: its column `width`, or else a square.

        Raises:
            ValueError: if it is not a rectangle of that width, or not a square.
        """
        cells = len(rows[0]["question"])
        width = rows[0]["width"] if "width" in rows.column_names else math.isqrt(cells)
        if width < 1 or cells % width:
            raise ValueError(
                f"The first maze has {cells} cells, which is not a rectangle {width} wide; give square mazes, or a "
                "column 'width'."
            )
        return HRMGridProcessor.for_maze(cells // width, width)

    def open(self, dataset: str, split: str, limit: int | None, entry: Mapping[str, Any] | None) -> "PuzzleSet":
        from hrm_hf.puzzles.maze.puzzle_set import FIRST, MixedMazeSet

        if entry is None or "ties" not in entry:
            return super().open(dataset, split, limit, entry)
        if entry["ties"] != FIRST:
            raise ValueError(
                f"The card of {dataset} says that of several shortest paths the {entry['ties']!r} is the answer, but "
                f"only {FIRST!r} is supported; build the data set again."
            )
        return MixedMazeSet(self, dataset, split, limit, entry)

    def builder(self) -> Callable:
        from hrm_hf.puzzles.maze.build import build_maze

        return build_maze

    def augmentation(self, processor: HRMGridProcessor, seed: int) -> "Augmentation":
        """Apply a symmetry of the square (or rectangle) to draw d that depends only on (seed, d)."""
        from hrm_hf.puzzles.maze.symmetry import random_symmetries

        def augment(draws, input_ids, labels):
            symmetry = random_symmetries(draws, seed, processor.height, processor.width)
            return symmetry.apply(input_ids), symmetry.apply(labels)

        return augment

    def num_copies(self, processor: HRMGridProcessor) -> int:
        return len(self._cells(processor))

    def copies(
        self, processor: HRMGridProcessor, draws: torch.LongTensor, numbers: torch.LongTensor, seed: int
    ) -> "MazeSymmetry":
        """All symmetries in turn; the first one changes nothing."""
        from hrm_hf.puzzles.maze.symmetry import MazeSymmetry

        cells = self._cells(processor)
        return MazeSymmetry(cells[numbers % len(cells)])

    @staticmethod
    def _cells(processor: HRMGridProcessor) -> torch.LongTensor:
        from hrm_hf.puzzles.maze.symmetry import symmetry_cells

        return symmetry_cells(processor.height, processor.width)

    def errors(self, processor: HRMGridProcessor, puzzles: np.ndarray, answers: np.ndarray) -> np.ndarray:
        from hrm_hf.puzzles.maze.rules import maze_errors

        # the same verdicts, for many mazes at once
        boards = (tokens.astype(np.uint8) for tokens in (puzzles, answers))
        return maze_errors(*boards, processor.height, processor.width)

    def generate(self, processor: HRMGridProcessor, number: int) -> torch.LongTensor:
        from hrm_hf.puzzles.maze.generator import generate

        mazes, _, _ = generate(number, processor.height, processor.width, min_steps=2, progress=False)
        return torch.from_numpy(mazes).long()

    def framed(self, board: str, processor: HRMGridProcessor) -> Framed | None:
        from hrm_hf.puzzles.maze.frame import framed

        return framed(board, processor)

    def shipped_model(self, boards: Sequence[str]) -> Path:
        """The one with the smallest boards that all mazes fit on."""
        from hrm_hf.checkpoints import SHIPPED_MAZES
        from hrm_hf.puzzles.maze.frame import shape_of

        shapes = {shape_of(board) for board in boards}
        for cells in sorted(SHIPPED_MAZES):
            if all(max(shape) <= math.isqrt(cells) for shape in shapes):
                return SHIPPED_MAZES[cells]
        largest = max(shapes, key=max)
        raise ValueError(
            f"A maze has {largest[0]} rows and {largest[1]} columns; the models here are for at most 30x30. Give "
            "another model with --model."
        )

    def fits(self, vocab_size: int, side: int) -> bool:
        return vocab_size == HRMGridProcessor.for_maze(1, 1).vocab_size

    def draw(
        self,
        axes: "Axes",
        processor: HRMGridProcessor,
        board: list[list],
        puzzle: list[list],
        answer: list[list] | None,
    ) -> None:
        from hrm_hf.puzzles.maze.drawing import draw_maze

        draw_maze(axes, board, answer)

    def model_title(self, size: str) -> str:
        return f"HRM for mazes {size}"

    def example_code(self, processor: Mapping[str, Any]) -> tuple[str, str]:
        return (
            f'open("maze.txt").read()  # {processor["height"]} lines of {processor["width"]} characters: # wall, '
            "space floor, S start, G goal",
            "",
        )

    def page(self) -> ModuleType:
        from hrm_hf.puzzles.maze import page

        return page

    def warm_up(self) -> None:
        from hrm_hf.puzzles.maze.examples import random_maze

        random_maze(8, 8, "easy", seed=0)


MAZE = MazeKind()
