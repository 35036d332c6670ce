"""Pictures of a grid model at work, with matplotlib."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from processing_hrm import HRMGridProcessor


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GIVEN, _RIGHT, _WRONG = "#1f2937", "#0f62b5", "#b42318"  # dark grey, blue, red: text of a cell
_GIVEN_FILL, _WRONG_FILL = "#eef0f3", "#fde2df"


def draw_sudoku(axes: "Axes", processor: HRMGridProcessor, board: str, puzzle: str, answer: str | None = None) -> None:
    """Draw a board: clues on grey, the model's digits in blue, those that differ from the answer in red.

    Args:
        axes: where to draw.
        processor: knows the size of the board and of its boxes.
        board, puzzle, answer: lines, `.` for a blank cell; without `answer` nothing is marked wrong.

    Raises:
        ValueError, TypeError: if a board cannot be read.
    """
    size = processor.height
    for cell, symbol in enumerate(board):
        row, column = divmod(cell, size)
        is_given = puzzle[cell] not in ".0_"
        is_wrong = answer is not None and symbol != answer[cell]
        if is_given or is_wrong:
            fill = _WRONG_FILL if is_wrong else _GIVEN_FILL
            axes.fill([column, column + 1, column + 1, column], [row, row, row + 1, row + 1], color=fill, lw=0)
        axes.text(
            column + 0.5,
            row + 0.53,
            symbol,
            ha="center",
            va="center",
            fontsize=13 if size <= 6 else 9,
            fontweight="bold" if is_given else "normal",
            color=_WRONG if is_wrong else _GIVEN if is_given else _RIGHT,
        )
    for line in range(size + 1):
        axes.axhline(line, color=_GIVEN, lw=1.6 if line % processor.box_height == 0 else 0.4)
        axes.axvline(line, color=_GIVEN, lw=1.6 if line % processor.box_width == 0 else 0.4)
    axes.set(xlim=(-0.04, size + 0.04), ylim=(size + 0.04, -0.04), aspect="equal")
    axes.axis("off")


def draw_thinking(
    processor: HRMGridProcessor,
    puzzle: str,
    boards: Sequence[str],
    halt_probabilities: Sequence[float],
    answer: str | None = None,
) -> "Figure":
    """The puzzle and the model's board after each segment, side by side.

    Args:
        processor: that of the model; Sudoku of any size.
        puzzle: line of the puzzle.
        boards: lines of the boards after each segment, at least one.
        halt_probabilities: the halting head's probability of being right after each segment.
        answer: line of the right answer; cells that differ from it are drawn in red.

    Raises:
        ValueError: if there is no board or not one probability for each.
    """
    import matplotlib.pyplot as plt

    if not boards or len(boards) != len(halt_probabilities):
        raise ValueError(
            f"There are {len(boards)} boards and {len(halt_probabilities)} probabilities; give one of each a segment."
        )
    figure, panels = plt.subplots(1, 1 + len(boards), figsize=(2.3 * (1 + len(boards)), 2.6), layout="constrained")
    blank = sum(symbol in ".0_" for symbol in puzzle)
    draw_sudoku(panels[0], processor, puzzle.translate(str.maketrans("._0", "   ")), puzzle)
    panels[0].set_title(f"puzzle: {blank} blank cells", fontsize=10)
    for segment, (axes, board, probability) in enumerate(
        zip(panels[1:], boards, halt_probabilities, strict=True), start=1
    ):
        draw_sudoku(axes, processor, board, puzzle, answer)
        axes.set_title(f"segment {segment}: {probability:.0%} sure", fontsize=10)
    return figure
