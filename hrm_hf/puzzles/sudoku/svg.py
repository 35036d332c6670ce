"""Sudoku as SVG elements, one unit per cell."""

import math
from collections.abc import Sequence
from html import escape


def digits_and_boxes(
    board: Sequence[Sequence[str]], puzzle: Sequence[Sequence[str]] | None, wrong: set[tuple[int, int]]
) -> list[str]:
    """Digits, clues on gray, and the lines of the boxes; arguments as for `PuzzleKind.svg`."""
    size = len(board)
    # of any size, because a log may hold something other than Sudoku
    box_height = math.isqrt(size)
    while size % box_height:
        box_height -= 1
    parts = []
    for row, cells in enumerate(board):
        for column, cell in enumerate(cells):
            given = puzzle is not None and puzzle[row][column] not in ".0"
            if given:
                parts.append(f'<rect class="hrm-clue" x="{column}" y="{row}" width="1" height="1"/>')
            look = "hrm-bad" if (row, column) in wrong else "hrm-given" if given else "hrm-new"
            if cell not in ".0":
                parts.append(f'<text class="{look}" x="{column + 0.5}" y="{row + 0.74}">{escape(cell[:2])}</text>')
    for line in range(size + 1):
        thick = "hrm-thick" if line % box_height == 0 else "hrm-thin"
        parts.append(f'<line class="{thick}" x1="0" x2="{size}" y1="{line}" y2="{line}"/>')
        thick = "hrm-thick" if line % (size // box_height) == 0 else "hrm-thin"
        parts.append(f'<line class="{thick}" x1="{line}" x2="{line}" y1="0" y2="{size}"/>')
    return parts
