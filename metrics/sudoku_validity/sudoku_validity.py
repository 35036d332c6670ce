# Copyright 2026 The hrm-hf authors. Licensed under the Apache License, Version 2.0.
"""Fraction of Sudoku answers that keep the rules; needs no reference answer. A single file."""

import math

import datasets
import evaluate


_DESCRIPTION = """\
Fraction of Sudoku answers that keep every clue, are complete and have each digit once in each row, column and box. \
It checks the rules, so it needs no reference answer; a puzzle with more than one answer is solved by any of them.
"""

_INPUTS = """
Args:
    predictions: an answer for each puzzle, row by row: a string of one character per cell (1-9, A-G for 16x16; . 0 or
        _ for an open cell), or a list of token ids (0 or -100 padding, 1 open, 2 and up the digits 1 and up).
    references: the puzzles, with their clues, in the same form; not the answers.
    box_height (int), box_width (int): rows and columns of a box. 2x2, 2x3, 3x3, 4x4 by default for 4, 6, 9, 16 digits.

Returns:
    sudoku_validity (float): fraction of answers that solve their puzzle, 0 to 1.
    n (int): puzzles.

Raises:
    ValueError: if there is no puzzle, or a board has another length than its puzzle, is not a square, or has an
        invalid character or token id.

Examples:
    >>> metric = evaluate.load("metrics/sudoku_validity")
    >>> metric.compute(predictions=["1234341221434321"], references=["12..34..2143432."])
    {'sudoku_validity': 1.0, 'n': 1}
"""

_CITATION = ""

_BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3), 16: (4, 4)}
_OPEN = 0
_DIGITS = dict.fromkeys(".0_", _OPEN) | {symbol: digit for digit, symbol in enumerate("123456789ABCDEFG", start=1)}


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class SudokuValidity(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        kinds = (datasets.Sequence(datasets.Value("int64")), datasets.Value("string"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=[datasets.Features({"predictions": kind, "references": kind}) for kind in kinds],
        )

    def add_batch(self, *, predictions=None, references=None):
        """Add answers and puzzles; both or neither."""
        counts = ["no" if given is None else len(given) for given in (predictions, references)]
        if "no" in counts or counts[0] != counts[1]:
            raise ValueError(
                f"There are {counts[0]} predictions and {counts[1]} references; give an answer and a puzzle each."
            )
        if counts[0] == 0:
            raise ValueError("There is no puzzle to score; give at least one.")
        super().add_batch(predictions=predictions, references=references)

    def _compute(
        self, predictions: list, references: list, box_height: int | None = None, box_width: int | None = None
    ) -> dict[str, float | int]:
        num_valid = 0
        for number, (prediction, reference) in enumerate(zip(predictions, references, strict=True), start=1):
            size = math.isqrt(len(reference))
            if size == 0 or size * size != len(reference):
                raise ValueError(f"Puzzle {number} has {len(reference)} cells; a board is a square.")
            if len(prediction) != len(reference):
                raise ValueError(
                    f"Prediction {number} has {len(prediction)} cells, but its puzzle has {len(reference)}; they "
                    "must be equal."
                )
            shape = _box_shape(size, box_height, box_width)
            puzzle = _digits(reference, size, f"Puzzle {number}")
            num_valid += _is_valid(puzzle, _digits(prediction, size, f"Prediction {number}"), size, shape)
        return {"sudoku_validity": num_valid / len(references), "n": len(references)}


def _box_shape(size: int, height: int | None, width: int | None) -> tuple[int, int]:
    if height is None and width is None:
        if size not in _BOXES:
            raise ValueError(f"A {size}x{size} Sudoku has no usual boxes; give box_height and box_width.")
        return _BOXES[size]
    if height is None or width is None or height < 1 or height * width != size:
        raise ValueError(
            f"Boxes of box_height={height} and box_width={width} do not hold {size} digits; give two integers with "
            "that product."
        )
    return height, width


def _digits(board: str | list[int], size: int, name: str) -> list[int]:
    """The digits of the cells, 0 for an open one."""
    if isinstance(board, str):
        digits = [_DIGITS.get(symbol, size + 1) for symbol in board.upper()]
    else:
        digits = [_OPEN if token in (-100, 0) else token - 1 if token > 0 else size + 1 for token in board]
    for index, digit in enumerate(digits):
        if digit > size:
            raise ValueError(
                f"{name}: the cell in row {index // size + 1}, column {index % size + 1} is {board[index]!r}, which "
                f"is not a cell of a {size}x{size} Sudoku."
            )
    return digits


def _is_valid(puzzle: list[int], answer: list[int], size: int, box_shape: tuple[int, int]) -> bool:
    if any(clue not in (_OPEN, digit) for clue, digit in zip(puzzle, answer, strict=True)):
        return False
    units = {}
    for index, digit in enumerate(answer):
        row, column = divmod(index, size)
        box = (row // box_shape[0], column // box_shape[1])
        for unit in (("row", row), ("column", column), ("box", box)):
            units.setdefault(unit, set()).add(digit)
    return all(digits == set(range(1, size + 1)) for digits in units.values())
