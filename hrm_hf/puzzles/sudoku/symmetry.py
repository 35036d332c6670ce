"""Symmetries of Sudoku: random ones for training, and a fingerprint that is invariant to all of them.

The symmetries relabel the digits, permute bands and the rows in a band, stacks and the columns in a stack, and
transpose the board if its boxes are square.
"""

from dataclasses import dataclass

import numpy as np
import torch

from hrm_hf.puzzles.hashing import combine, mix_array, random_keys
from hrm_hf.puzzles.sudoku.rules import box_shape


# --- random symmetries


@dataclass(frozen=True)
class SudokuSymmetry:
    """One symmetry for each board of a batch: `new[b, i] = digits[b, old[b, cells[b, i]]]`.

    Args:
        digits (`torch.LongTensor` of shape `(batch, size + 1)`): new digit of each old one; 0, blank, stays 0.
        cells (`torch.LongTensor` of shape `(batch, size * size)`): old cell that each new cell comes from.
    """

    digits: torch.LongTensor
    cells: torch.LongTensor

    def apply(self, boards: torch.LongTensor) -> torch.LongTensor:
        """The transformed boards, `(batch, size * size)`."""
        return self.digits.gather(1, boards.gather(1, self.cells))

    def undo(self, boards: torch.LongTensor) -> torch.LongTensor:
        """The boards that `apply` turns into these."""
        return torch.empty_like(boards).scatter_(1, self.cells, self.digits.argsort(1).gather(1, boards))


def random_symmetries(draws: torch.LongTensor, seed: int, size: int) -> SudokuSymmetry:
    """Uniformly random symmetries; that of draw d is a pure function of `(seed, d)`.

    So a batch can be split, ordered or distributed over processes in any way. Works on the device of `draws`.

    Args:
        draws (`torch.LongTensor` of shape `(batch,)`): numbers of the draws.
        seed: another seed gives independent symmetries.
        size: number of digits.

    Raises:
        ValueError: for a size that is not supported.
    """
    box_height, box_width = box_shape(size)
    bands, stacks = size // box_height, size // box_width
    digit_keys, band_keys, row_keys, stack_keys, column_keys, transpose_key = random_keys(
        draws, seed, 3 * size + bands + stacks + 1
    ).split((size, bands, size, stacks, size, 1), dim=1)

    rows = _line_order(band_keys, row_keys)
    columns = _line_order(stack_keys, column_keys)
    cells = rows.unsqueeze(2) * size + columns.unsqueeze(1)
    if box_height == box_width:
        cells = torch.where(transpose_key.unsqueeze(2) < 0, cells.transpose(1, 2), cells)
    digits = torch.nn.functional.pad(digit_keys.argsort(1) + 1, (1, 0))
    return SudokuSymmetry(digits=digits, cells=cells.flatten(1))


def _line_order(group_keys: torch.LongTensor, line_keys: torch.LongTensor) -> torch.LongTensor:
    """Rows (or columns) `(batch, size)` with bands (stacks) and the lines within them in the order of their keys."""
    groups = group_keys.argsort(1).unsqueeze(2)
    lines_per_group = line_keys.shape[1] // group_keys.shape[1]
    within = line_keys.unflatten(1, (-1, lines_per_group)).argsort(2)
    return (groups * lines_per_group + within).flatten(1)


# --- fingerprint


def fingerprint(boards: np.ndarray, size: int, rounds: int = 6) -> np.ndarray:
    """A number for each board that is invariant to symmetries.

    Different fingerprints prove that two boards are not equal up to symmetry. Equal ones nearly always mean that they
    are, but not necessarily; dropping boards with equal fingerprints may drop one too many but never one too few,
    which is the safe side for a check that two splits share nothing.

    Cells, lines (both rows and columns), boxes, bands (and stacks) and digits are nodes of a graph whose colors are
    refined by those of their neighbors (Weisfeiler and Leman, 1968), with sums for the unordered neighbors. This
    cannot distinguish solved boards: use `hrm_hf.puzzles.sudoku.grids.solution_fingerprint` for them.

    Args:
        boards: `(boards, cells)` of digits, 0 for blank.
        size: number of digits.
        rounds: rounds of refinement.

    Returns:
        `(boards,)` uint64.
    """
    box_height, box_width = box_shape(size)
    bands, stacks = size // box_height, size // box_width
    number = len(boards)
    # (boards, band, row in band, stack, column in stack)
    grid = (number, bands, box_height, stacks, box_width)
    is_digit = boards[:, None, :] == np.arange(1, size + 1)[None, :, None]

    cells = mix_array((boards > 0).astype(np.uint64) + np.uint64(1))
    rows, columns = np.full((2, number, size), 3, dtype=np.uint64)
    boxes = np.full((number, bands, stacks), 4, dtype=np.uint64)
    band, stack = np.full((number, bands), 5, dtype=np.uint64), np.full((number, stacks), 5, dtype=np.uint64)
    digits = np.full((number, size), 6, dtype=np.uint64)
    for _ in range(rounds):
        lines = rows.reshape(number, bands, box_height, 1, 1) + columns.reshape(number, 1, 1, stacks, box_width)
        digit_of_cell = np.take_along_axis(np.pad(digits, ((0, 0), (1, 0))), boards.astype(np.int64), axis=1)
        cells = combine(cells.reshape(grid), lines, boxes[:, :, None, :, None], digit_of_cell.reshape(grid))
        rows = combine(rows, cells.sum(axis=(3, 4)).reshape(number, size), band.repeat(box_height, axis=1))
        columns = combine(columns, cells.sum(axis=(1, 2)).reshape(number, size), stack.repeat(box_width, axis=1))
        boxes = combine(boxes, cells.sum(axis=(2, 4)), band[:, :, None] + stack[:, None, :])
        band = combine(band, rows.reshape(number, bands, box_height).sum(2), boxes.sum(2))
        stack = combine(stack, columns.reshape(number, stacks, box_width).sum(2), boxes.sum(1))
        cells = cells.reshape(number, size * size)
        digits = combine(digits, np.where(is_digit, cells[:, None, :], np.uint64(0)).sum(2))
    return combine(cells.sum(1), digits.sum(1), rows.sum(1) + columns.sum(1), band.sum(1) + stack.sum(1))
