"""Sudoku as a kind of puzzle."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from hrm_hf.puzzles.kind import PuzzleKind
from processing_hrm import SUDOKU_NOTATIONS, HRMGridProcessor


if TYPE_CHECKING:
    import datasets
    from matplotlib.axes import Axes

    from hrm_hf.puzzles.rows import Augmentation
    from hrm_hf.puzzles.sudoku.symmetry import SudokuSymmetry


class SudokuKind(PuzzleKind):
    """Sudoku of 4, 6, 9 or 16 digits."""

    name = "sudoku"
    title = plural = "Sudoku"
    # digits of all notations, and the signs for a blank cell
    symbols = frozenset(".0_-*").union(*(digits + digits.lower() for digits in SUDOKU_NOTATIONS.values()))
    bad_clues_are_outcomes = True
    has_one_answer = True

    def recognizes(self, line: str) -> bool:
        return super().recognizes(line) and math.isqrt(len(line)) ** 2 == len(line)

    def processor(self, entry: Mapping[str, Any]) -> HRMGridProcessor:
        return HRMGridProcessor.for_sudoku(entry["height"])

    def processor_of_rows(self, rows: "datasets.Dataset") -> HRMGridProcessor:
        """The processor for Sudoku of the size of the first row."""
        return HRMGridProcessor.for_sudoku(math.isqrt(len(rows[0]["question"])))

    def builder(self) -> Callable:
        from hrm_hf.puzzles.sudoku.build import build_sudoku

        return build_sudoku

    def augmentation(self, processor: HRMGridProcessor, seed: int) -> "Augmentation":
        """Apply a symmetry to draw d that depends only on (seed, d)."""
        from hrm_hf.puzzles.sudoku.symmetry import random_symmetries

        def augment(draws, input_ids, labels):
            symmetry = random_symmetries(draws, seed, processor.height)
            # token 1 is the blank cell, tokens 2.. are the digits 1..
            return symmetry.apply(input_ids - 1) + 1, symmetry.apply(labels - 1) + 1

        return augment

    def filling(self, processor: HRMGridProcessor, seed: int, share: float) -> "Augmentation":
        """Fill in cells; those of draw d depend only on (seed, d)."""
        from hrm_hf.puzzles.sudoku.filling import fill_in

        def fill(draws, input_ids, labels):
            # token 1 is the blank cell
            return fill_in(draws, input_ids, labels, seed, share, blank=1), labels

        return fill

    def num_copies(self, processor: HRMGridProcessor) -> None:
        return None

    def check_copies(self, processor: HRMGridProcessor) -> None:
        from hrm_hf.puzzles.sudoku.rules import box_shape

        boxes, usual = (processor.box_height, processor.box_width), box_shape(processor.height)
        if boxes != usual:
            raise ValueError(
                f"Symmetric copies are for Sudoku with boxes of {usual[0]}x{usual[1]}, but these have "
                f"{boxes[0]}x{boxes[1]}; set symmetries=False."
            )

    def copies(
        self, processor: HRMGridProcessor, draws: torch.LongTensor, numbers: torch.LongTensor, seed: int
    ) -> "SudokuSymmetry":
        from hrm_hf.puzzles.sudoku.symmetry import SudokuSymmetry, random_symmetries

        drawn = random_symmetries(draws, seed, processor.height)
        # token 0 is padding, 1 the blank cell and the digits follow: padding does not change either
        tokens, cells = F.pad(drawn.digits + 1, (1, 0)), drawn.cells
        is_first = (numbers == 0).unsqueeze(1)
        return SudokuSymmetry(
            digits=torch.where(is_first, torch.arange(tokens.shape[1]), tokens),
            cells=torch.where(is_first, torch.arange(cells.shape[1]), cells),
        )

    def generate(self, processor: HRMGridProcessor, number: int) -> torch.LongTensor:
        from hrm_hf.puzzles.sudoku.generator import generate

        # enough clues to generate a board of any size quickly
        clues = round(0.4 * processor.seq_len)
        return torch.from_numpy(generate(number, processor.height, clues, progress=False)[0]).long() + 1

    def shipped_model(self, boards: Sequence[str]) -> Path:
        from hrm_hf.checkpoints import SHIPPED_SUDOKU

        return SHIPPED_SUDOKU

    def fits(self, vocab_size: int, side: int) -> bool:
        from hrm_hf.puzzles.sudoku.rules import BOX_SHAPES

        # padding and the blank cell
        return side in BOX_SHAPES and vocab_size == side + 2

    def side_of(self, vocab_size: int) -> int:
        return vocab_size - 2

    def draw(
        self,
        axes: "Axes",
        processor: HRMGridProcessor,
        board: list[list],
        puzzle: list[list],
        answer: list[list] | None,
    ) -> None:
        from hrm_hf.puzzles.sudoku.drawing import draw_sudoku

        draw_sudoku(axes, processor, board, puzzle, answer)

    def svg(
        self, board: Sequence[Sequence[str]], puzzle: Sequence[Sequence[str]] | None, wrong: set[tuple[int, int]]
    ) -> list[str]:
        from hrm_hf.puzzles.sudoku.svg import digits_and_boxes

        return digits_and_boxes(board, puzzle, wrong)

    def model_title(self, size: str) -> str:
        return f"HRM for Sudoku {size}"

    def described(self, size: str) -> str:
        return f"Sudoku {size}"

    def example_code(self, processor: Mapping[str, Any]) -> tuple[str, str]:
        cells = processor["height"] * processor["width"]
        return f'"." * {cells}  # yours: row by row, a digit, or . for a blank cell', ""

    def page(self) -> ModuleType:
        from hrm_hf.puzzles.sudoku import page

        return page

    def warm_up(self) -> None:
        from hrm_hf.puzzles.sudoku.examples import random_sudoku

        random_sudoku(4, "easy", seed=0)


SUDOKU = SudokuKind()
