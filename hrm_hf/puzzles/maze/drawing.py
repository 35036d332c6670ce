"""Mazes with matplotlib."""

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from hrm_hf.puzzles.drawing import GIVEN, WRONG, WRONG_FILL, draw_cells


_FILLS = {"#": "#334155", " ": "#ffffff", "S": "#1a7f4b", "G": "#c2570c", "o": "#6ba3e0", "?": "#d4d4d8"}


def draw_maze(axes: Axes, board: list, answer: list | None) -> None:
    """Draw a maze: start green, goal orange, path blue; path cells that are not in the answer red, missing cells of
    the answer light red.

    Args:
        axes, board, answer: as for `PuzzleKind.draw`.
    """
    fills = [[_FILLS[cell] for cell in row] for row in board]
    if answer is not None:
        for row, cells in enumerate(board):
            for column, cell in enumerate(cells):
                if cell != answer[row][column]:
                    fills[row][column] = WRONG_FILL if answer[row][column] == "o" else WRONG
    draw_cells(axes, fills)
    for row, cells in enumerate(board):
        for column, cell in enumerate(cells):
            if cell in "SG":
                axes.text(
                    column + 0.5,
                    row + 0.53,
                    cell,
                    ha="center",
                    va="center",
                    fontsize=min(9, 130 / max(len(board), len(cells))),
                    fontweight="bold",
                    color="white",
                )
    # floor at the border is white like the page
    axes.add_patch(Rectangle((0, 0), len(board[0]), len(board), fill=False, edgecolor=GIVEN, lw=0.8))
