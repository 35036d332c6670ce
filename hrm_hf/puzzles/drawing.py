"""Boards with matplotlib: shared by the drawings of several kinds."""

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle


GIVEN, RIGHT, WRONG = "#1f2937", "#0f62b5", "#b42318"  # dark gray, blue, red: text of a cell
GIVEN_FILL, WRONG_FILL = "#eef0f3", "#fde2df"


def draw_text_cells(axes: Axes, board: list[list], puzzle: list[list], answer: list[list] | None) -> None:
    """Draw cells as text: given ones on gray, others in blue, wrong ones in red.

    Args:
        axes: where to draw.
        board, puzzle, answer: rows of cells, as for `PuzzleKind.draw`.
    """
    rows, columns = len(board), len(board[0])
    longest = max(len(str(cell)) for row in board for cell in row)
    for row in range(rows):
        for column in range(columns):
            cell = board[row][column]
            is_given = board is puzzle or cell == puzzle[row][column]
            is_wrong = answer is not None and cell != answer[row][column]
            if is_given or is_wrong:
                fill = WRONG_FILL if is_wrong else GIVEN_FILL
                axes.add_patch(Rectangle((column, row), 1, 1, color=fill, lw=0))
            axes.text(
                column + 0.5,
                row + 0.53,
                str(cell).replace("$", r"\$"),  # matplotlib reads $ as mathematics
                ha="center",
                va="center",
                fontsize=min(13, 81 / max(rows, columns), 100 / (columns * max(1, longest))),
                color=WRONG if is_wrong else GIVEN if is_given else RIGHT,
            )
    for line in range(rows + 1):
        axes.plot((0, columns), (line, line), color="#777777", lw=0.3)
    for line in range(columns + 1):
        axes.plot((line, line), (0, rows), color="#777777", lw=0.3)
    frame(axes, rows, columns)


def draw_cells(axes: Axes, fills: list[list[str]]) -> None:
    """Draw cells as squares of these colors."""
    rows, columns = len(fills), len(fills[0])
    axes.imshow(
        [[to_rgb(fill) for fill in row] for row in fills],
        extent=(0, columns, rows, 0),
        interpolation="nearest",
        aspect="equal",
    )
    frame(axes, rows, columns)


def frame(axes: Axes, rows: int, columns: int) -> None:
    """Limits of the axes around a board, without ticks."""
    # slightly larger than the board, so that its border is not cut in half
    margin = max(rows, columns) / 150
    axes.set(xlim=(-margin, columns + margin), ylim=(rows + margin, -margin), aspect="equal")
    axes.axis("off")
