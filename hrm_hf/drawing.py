"""Pictures of puzzles, answers and predictions, with matplotlib; data cards, explorer, examples and Space share them.

Boards come as token ids, as data sets, `HRMForGridTask.solve` and the processor have them. Every function that makes a
figure returns one that belongs to no window and no global state: `figure.savefig(path)` writes it.
"""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hrm_hf.colours import ARC_FILLS
from hrm_hf.puzzles.arc.tasks import ArcTask
from processing_hrm import IGNORE_INDEX, HRMGridProcessor


_GIVEN, _RIGHT, _WRONG = "#1f2937", "#0f62b5", "#b42318"  # dark grey, blue, red: text of a cell
_GIVEN_FILL, _WRONG_FILL = "#eef0f3", "#fde2df"
_MAZE_FILLS = {"#": "#334155", " ": "#ffffff", "S": "#1a7f4b", "G": "#c2570c", "o": "#6ba3e0", "?": "#d4d4d8"}
_PANEL = 2.3  # inches
_MOST_EXAMPLES, _MOST_TESTS = 10, 4  # of an ARC task; its own sets have no more

Tokens = Sequence[int] | np.ndarray | torch.Tensor


# --- one board


def draw_board(
    axes: Axes,
    processor: HRMGridProcessor,
    tokens: Tokens,
    input_ids: Tokens | None = None,
    labels: Tokens | None = None,
) -> None:
    """Draw a board of any task.

    Sudoku: clues on grey, other digits in blue, wrong ones in red. Maze: start green, goal orange, path blue, cells
    of the path that the answer does not have red, those of the answer that are missing light red. ARC: the colours of
    the official viewer, wrong cells in a red frame.

    Args:
        axes: where to draw.
        processor: knows task and size.
        tokens: token ids of the board, `(tokens,)`.
        input_ids: those of the puzzle; by default `tokens` is the puzzle itself. Only Sudoku looks different.
        labels: those of the answer; without them nothing is marked wrong.

    Raises:
        ValueError, TypeError: if a board cannot be read.
    """
    draw = {"sudoku": _draw_sudoku, "maze": _draw_maze, "arc": _draw_arc}[processor.task]
    board = processor.decode(tokens, "grid")
    answer = None if labels is None else processor.decode(labels, "grid")
    draw(axes, processor, board, board if input_ids is None else processor.decode(input_ids, "grid"), answer)


def _draw_sudoku(axes: Axes, processor: HRMGridProcessor, board: list, puzzle: list, answer: list | None) -> None:
    size = processor.height
    for row in range(size):
        for column in range(size):
            digit = board[row][column]
            is_given = puzzle[row][column] != 0
            is_wrong = answer is not None and digit != answer[row][column]
            if is_given or is_wrong:
                fill = _WRONG_FILL if is_wrong else _GIVEN_FILL
                axes.add_patch(Rectangle((column, row), 1, 1, color=fill, lw=0))
            axes.text(
                column + 0.5,
                row + 0.53,
                "" if digit == 0 else str(digit) if digit < 10 else chr(ord("A") + digit - 10),
                ha="center",
                va="center",
                fontsize=13 if size <= 6 else 81 / size,
                fontweight="bold" if is_given else "normal",
                color=_WRONG if is_wrong else _GIVEN if is_given else _RIGHT,
            )
    for line in range(size + 1):
        for is_border, x, y in (
            (line % processor.box_height == 0, (0, size), (line, line)),
            (line % processor.box_width == 0, (line, line), (0, size)),
        ):
            axes.plot(x, y, color=_GIVEN, lw=1.6 if is_border else 0.4, solid_capstyle="projecting")
    _frame(axes, size, size)


def _draw_maze(axes: Axes, processor: HRMGridProcessor, board: list, puzzle: list, answer: list | None) -> None:
    fills = [[_MAZE_FILLS[cell] for cell in row] for row in board]
    if answer is not None:
        for row, cells in enumerate(board):
            for column, cell in enumerate(cells):
                if cell != answer[row][column]:
                    fills[row][column] = _WRONG_FILL if answer[row][column] == "o" else _WRONG
    _draw_cells(axes, fills)
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
    # floor at the border is the white of the page
    axes.add_patch(Rectangle((0, 0), len(board[0]), len(board), fill=False, edgecolor=_GIVEN, lw=0.8))


def _draw_arc(axes: Axes, processor: HRMGridProcessor | None, board: list, puzzle: list, answer: list | None) -> None:
    if not board:
        axes.text(0.5, 0.5, "no grid", ha="center", va="center", fontsize=9, color=_WRONG, transform=axes.transAxes)
        axes.axis("off")
        return
    rows, columns = len(board), len(board[0])
    _draw_cells(axes, [[ARC_FILLS[colour] for colour in row] for row in board])
    for line in range(rows + 1):
        axes.plot((0, columns), (line, line), color="#777777", lw=0.3)
    for line in range(columns + 1):
        axes.plot((line, line), (0, rows), color="#777777", lw=0.3)
    if answer is None:
        return
    if (len(answer), len(answer[0])) != (rows, columns):
        axes.add_patch(Rectangle((0, 0), columns, rows, fill=False, edgecolor=_WRONG, lw=2.5))
        return
    for row in range(rows):
        for column in range(columns):
            if board[row][column] != answer[row][column]:
                axes.add_patch(
                    Rectangle((column + 0.1, row + 0.1), 0.8, 0.8, fill=False, edgecolor="white", lw=1.6, zorder=3)
                )
                axes.add_patch(
                    Rectangle((column + 0.1, row + 0.1), 0.8, 0.8, fill=False, edgecolor=_WRONG, lw=0.9, zorder=3)
                )


def _draw_cells(axes: Axes, fills: list[list[str]]) -> None:
    rows, columns = len(fills), len(fills[0])
    axes.imshow(
        [[to_rgb(fill) for fill in row] for row in fills],
        extent=(0, columns, rows, 0),
        interpolation="nearest",
        aspect="equal",
    )
    _frame(axes, rows, columns)


def _frame(axes: Axes, rows: int, columns: int) -> None:
    # a little more than the board, so that its border is not cut in half
    margin = max(rows, columns) / 150
    axes.set(xlim=(-margin, columns + margin), ylim=(rows + margin, -margin), aspect="equal")
    axes.axis("off")


# --- figures


def draw_puzzle(
    processor: HRMGridProcessor, input_ids: Tokens, labels: Tokens | None = None, prediction: Tokens | None = None
) -> Figure:
    """A puzzle, its answer and a prediction side by side, those that are given.

    Args:
        processor: of the task.
        input_ids, labels, prediction: token ids, `(tokens,)`.

    Raises:
        ValueError, TypeError: if a board cannot be read.
    """
    parts = _parts(processor, input_ids, labels, prediction)
    figure = Figure(figsize=(_PANEL * 1.2 * len(parts), _PANEL * 1.35), layout="constrained")
    for axes, (title, tokens, truth) in zip(np.ravel(figure.subplots(1, len(parts))), parts, strict=True):
        draw_board(axes, processor, tokens, input_ids, truth)
        axes.set_title(title, fontsize=10)
    return figure


def draw_puzzles(
    processor: HRMGridProcessor,
    input_ids: Sequence[Tokens],
    labels: Sequence[Tokens] | None = None,
    predictions: Sequence[Tokens] | None = None,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Several puzzles, a column each, with their answers and predictions below.

    Args:
        processor: of the task.
        input_ids, labels, predictions: token ids, `(puzzles, tokens)`.
        titles: of the columns.

    Raises:
        ValueError, TypeError: if there is no puzzle or a board cannot be read.
    """
    if len(input_ids) == 0:
        raise ValueError("There is no puzzle to draw; give at least one.")
    columns = [
        _parts(
            processor,
            input_ids[index],
            None if labels is None else labels[index],
            None if predictions is None else predictions[index],
        )
        for index in range(len(input_ids))
    ]
    height = _PANEL * processor.height / processor.width + 0.25  # with its title
    figure = Figure(figsize=(_PANEL * len(columns), height * len(columns[0])), layout="constrained")
    panels = figure.subplots(len(columns[0]), len(columns), squeeze=False)
    for index, parts in enumerate(columns):
        for row, (title, tokens, truth) in enumerate(parts):
            draw_board(panels[row, index], processor, tokens, input_ids[index], truth)
            heading = titles[index] if row == 0 and titles is not None else title
            panels[row, index].set_title(heading, fontsize=9)
    return figure


def _parts(processor: HRMGridProcessor, input_ids: Tokens, labels: Tokens | None, prediction: Tokens | None) -> list:
    """Title, tokens and, for a prediction, the answer to compare it with."""
    parts: list[tuple[str, Any, Any]] = [("puzzle", input_ids, None)]
    if labels is not None:
        parts.append(("answer", labels, None))
    if prediction is not None:
        title = "prediction"
        if labels is not None:
            truth = np.asarray(labels)
            wrong = int(((np.asarray(prediction) != truth) & (truth != IGNORE_INDEX)).sum())
            title = f"prediction: {f'{wrong} wrong' if wrong else 'right'}"
        parts.append((title, prediction, labels))
    return parts


def draw_thinking(
    processor: HRMGridProcessor,
    input_ids: Tokens,
    boards: Sequence[Tokens],
    halt_probabilities: Sequence[float],
    labels: Tokens | None = None,
) -> Figure:
    """The puzzle and the model's board after each segment, side by side.

    Args:
        processor: that of the model.
        input_ids: token ids of the puzzle, `(tokens,)`.
        boards: those of the boards after each segment, `(segments, tokens)`, at least one.
        halt_probabilities: the halting head's probability of being right after each segment.
        labels: token ids of the right answer; what differs from it is marked.

    Raises:
        ValueError: if there is no board or not one probability for each.
    """
    if len(boards) == 0 or len(boards) != len(halt_probabilities):
        raise ValueError(
            f"There are {len(boards)} boards and {len(halt_probabilities)} probabilities; give one of each a segment."
        )
    figure = Figure(figsize=(_PANEL * (1 + len(boards)), 2.6), layout="constrained")
    panels = figure.subplots(1, 1 + len(boards))
    draw_board(panels[0], processor, input_ids)
    panels[0].set_title("puzzle", fontsize=10)
    for segment, (axes, board, probability) in enumerate(
        zip(panels[1:], boards, halt_probabilities, strict=True), start=1
    ):
        draw_board(axes, processor, board, input_ids, labels)
        axes.set_title(f"segment {segment}: {probability:.0%} sure", fontsize=10)
    return figure


def draw_arc_task(task: ArcTask, attempts: Sequence[Sequence[np.ndarray]] = (), title: str | None = None) -> Figure:
    """An ARC task: a column a pair, demonstrations first, with the input above the output.

    Of a task with more pairs than ARC's own have the first are drawn, and the title says so: a pair takes half a
    second and more.

    Args:
        task: the task, or an augmentation of it.
        attempts: for each test pair the grids that a model gives, best first; drawn below the truth, with what is
            wrong marked.
        title: above all; by default the name of the task.

    Raises:
        ValueError: if there are attempts, but not for every test pair.
    """
    if len(attempts) and len(attempts) != len(task.test):
        raise ValueError(
            f"There are attempts for {len(attempts)} test pairs, but {task.name} has {len(task.test)}; give attempts "
            "for each, or none."
        )
    title = task.name if title is None else title
    for most, whole, kind in ((_MOST_EXAMPLES, task.train, "examples"), (_MOST_TESTS, task.test, "tests")):
        if len(whole) > most:
            title += f", the first {most} of {len(whole):,} {kind}"
    pairs = [(f"example {number}", pair, ()) for number, pair in enumerate(task.train[:_MOST_EXAMPLES], start=1)]
    pairs += [
        (f"test {number}", pair, attempts[number - 1] if len(attempts) else ())
        for number, pair in enumerate(task.test[:_MOST_TESTS], start=1)
    ]
    rows = 2 + max(len(tries) for _, _, tries in pairs)
    figure = Figure(figsize=(1.5 * len(pairs), 1.65 * rows + 0.3), layout="constrained")
    panels = figure.subplots(rows, len(pairs), squeeze=False)
    for column, (name, pair, tries) in enumerate(pairs):
        truth = pair.output if pair.output.size else None
        grids = [(name, pair.input, None), ("output" if truth is not None else "output unknown", pair.output, None)]
        grids += [(f"attempt {number}", grid, truth) for number, grid in enumerate(tries, start=1)]
        for row in range(rows):
            axes = panels[row, column]
            axes.axis("off")
            if row < len(grids):
                heading, grid, truth = grids[row]
                if grid.size:
                    _draw_arc(axes, None, grid.tolist(), grid.tolist(), None if truth is None else truth.tolist())
                verdict = "" if truth is None else ": right" if np.array_equal(grid, truth) else ": wrong"
                axes.set_title(heading + verdict, fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def draw_texts(texts: Sequence[str], titles: Sequence[str], characters: int = 600) -> Figure:
    """The beginnings of texts, one below the other.

    Args:
        texts: what to show.
        titles: one for each.
        characters: how much of each.
    """
    shown = []
    for text in texts:
        start = text[:characters] + ("..." if len(text) > characters else "")
        lines = [part for line in start.splitlines() for part in (textwrap.wrap(line, 100) or [""])]
        # a dollar sign is mathematics to matplotlib
        shown.append("\n".join(lines).replace("$", r"\$"))
    heights = [0.4 + 0.145 * (text.count("\n") + 1) for text in shown]
    figure = Figure(figsize=(7.2, sum(heights)), layout="constrained")
    panels = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)
    for axes, text, title in zip(panels[:, 0], shown, titles, strict=True):
        axes.set_title(title, fontsize=9, loc="left", color=_RIGHT)
        axes.text(0, 1, text, ha="left", va="top", fontsize=8, family="monospace", transform=axes.transAxes)
        axes.axis("off")
    return figure
