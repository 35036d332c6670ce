"""Sudoku with matplotlib."""

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from hrm_hf.puzzles.drawing import GIVEN, GIVEN_FILL, RIGHT, WRONG, WRONG_FILL, frame
from processing_hrm import HRMGridProcessor


def draw_sudoku(axes: Axes, processor: HRMGridProcessor, board: list, puzzle: list, answer: list | None) -> None:
    """Clues on gray, other digits in blue, wrong ones in red; arguments as for `PuzzleKind.draw`."""
    size = processor.height
    for row in range(size):
        for column in range(size):
            digit = board[row][column]
            is_given = puzzle[row][column] != 0
            is_wrong = answer is not None and digit != answer[row][column]
            if is_given or is_wrong:
                fill = WRONG_FILL if is_wrong else GIVEN_FILL
                axes.add_patch(Rectangle((column, row), 1, 1, color=fill, lw=0))
            axes.text(
                column + 0.5,
                row + 0.53,
                "" if digit == 0 else str(digit) if digit < 10 else chr(ord("A") + digit - 10),
                ha="center",
                va="center",
                fontsize=13 if size <= 6 else 81 / size,
                fontweight="bold" if is_given else "normal",
                color=WRONG if is_wrong else GIVEN if is_given else RIGHT,
            )
    for line in range(size + 1):
        for is_border, x, y in (
            (line % processor.box_height == 0, (0, size), (line, line)),
            (line % processor.box_width == 0, (line, line), (0, size)),
        ):
            axes.plot(x, y, color=GIVEN, lw=1.6 if is_border else 0.4, solid_capstyle="projecting")
    frame(axes, size, size)
