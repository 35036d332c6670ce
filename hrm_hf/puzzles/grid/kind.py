"""Grids of any kind as a kind of puzzle: without rules, and with the symmetries declared by their data set."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hrm_hf.puzzles.kind import PuzzleKind
from processing_hrm import HRMGridProcessor


if TYPE_CHECKING:
    import torch
    from matplotlib.axes import Axes

    from hrm_hf.puzzles.found import PuzzleText
    from hrm_hf.puzzles.grid.puzzle_set import GridSet


class GridKind(PuzzleKind):
    """Grids described by a data set. Your own kind, a grid with rules, is a subclass."""

    name = "grid"
    title = "Grid"
    plural = "grids"
    has_rules = False
    reads_texts = True

    def processor(self, entry: Mapping[str, Any]) -> HRMGridProcessor:
        from hrm_hf.puzzles.grid.description import GridDescription

        return GridDescription.of_entry(entry).processor()

    def open(self, dataset: str, split: str, limit: int | None, entry: Mapping[str, Any] | None) -> "GridSet":
        from hrm_hf.puzzles.grid.puzzle_set import GridSet

        return GridSet(self, dataset, split, limit, entry)

    def builder(self) -> Callable | None:
        from hrm_hf.puzzles.grid.build import build_grid

        # the table of your own kind is made by your own file
        return build_grid if type(self) is GridKind else None

    def read_text(self, text: str, name: str, processor: HRMGridProcessor) -> "list[PuzzleText]":
        from hrm_hf.puzzles.grid.questions import read_questions

        return read_questions(text, name, processor)

    def draw(
        self,
        axes: "Axes",
        processor: HRMGridProcessor,
        board: list[list],
        puzzle: list[list],
        answer: list[list] | None,
    ) -> None:
        # cells without a label are those of the question
        asked = board if board is puzzle else _filled(board, puzzle, processor)
        super().draw(axes, processor, asked, puzzle, answer and _filled(answer, asked, processor))

    def svg(
        self, board: Sequence[Sequence[str]], puzzle: Sequence[Sequence[str]] | None, wrong: set[tuple[int, int]]
    ) -> list[str]:
        from hrm_hf.puzzles.svg import text_cells

        return text_cells(board, puzzle, wrong)

    def log_line(self, processor: HRMGridProcessor, tokens: "torch.LongTensor") -> str:
        # a line does not separate rows, nor cells that are words
        return json.dumps(processor.decode(tokens, "grid"))

    def example_code(self, processor: Mapping[str, Any]) -> tuple[str, str]:
        return '"..."  # yours: the cells row by row, with / between rows', ""


def _filled(board: list[list], other: list[list], processor: HRMGridProcessor) -> list[list]:
    """A board with the shape of another one, whose cells are used where it has no symbol."""
    cells = {(i, j): cell for i, row in enumerate(board) for j, cell in enumerate(row) if cell in processor.symbols}
    return [[cells.get((i, j), cell) for j, cell in enumerate(row)] for i, row in enumerate(other)]


GRID = GridKind()
