"""Small boards as SVG elements, one unit per cell; needs neither torch nor matplotlib."""

from collections.abc import Mapping, Sequence
from html import escape


def colored_cells(board: Sequence[Sequence[str]], fills: Mapping[str, str]) -> list[str]:
    """Cells as squares of a color on white.

    Args:
        board: rows of cells.
        fills: color of each symbol; those without one stay white.
    """
    parts = [f'<rect x="0" y="0" width="{len(board[0])}" height="{len(board)}" fill="#ffffff"/>']
    for row, cells in enumerate(board):
        for column, cell in enumerate(cells):
            if cell in fills:
                parts.append(f'<rect x="{column}" y="{row}" width="1.02" height="1.02" fill="{fills[cell]}"/>')
    return parts


def text_cells(
    board: Sequence[Sequence[str]], puzzle: Sequence[Sequence[str]] | None, wrong: set[tuple[int, int]]
) -> list[str]:
    """Cells as text, at most two characters each; given ones on gray; arguments as for `PuzzleKind.svg`."""
    rows, columns = len(board), len(board[0])
    parts = []
    for row, cells in enumerate(board):
        for column, cell in enumerate(cells):
            given = puzzle is not None and puzzle[row][column] == cell
            if given:
                parts.append(f'<rect class="hrm-clue" x="{column}" y="{row}" width="1" height="1"/>')
            look = "hrm-bad" if (row, column) in wrong else "hrm-given" if given else "hrm-new"
            parts.append(f'<text class="{look}" x="{column + 0.5}" y="{row + 0.74}">{escape(cell[:2])}</text>')
    for line in range(rows + 1):
        parts.append(f'<line class="hrm-thin" x1="0" x2="{columns}" y1="{line}" y2="{line}"/>')
    for line in range(columns + 1):
        parts.append(f'<line class="hrm-thin" x1="{line}" x2="{line}" y1="0" y2="{rows}"/>')
    return parts
