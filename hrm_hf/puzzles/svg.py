"""Small boards as elements of SVG, a unit a cell; needs neither torch nor matplotlib."""

from collections.abc import Mapping, Sequence


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
