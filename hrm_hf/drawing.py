"""Pictures of puzzles, answers and predictions with matplotlib, for data cards, explorer, examples and Space.

Boards are token ids, as in data sets, `HRMForGridTask.solve` and the processor. Functions that make a figure return
one that belongs to no window and no global state: `figure.savefig(path)` writes it.
"""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hrm_hf.puzzles.drawing import RIGHT
from hrm_hf.puzzles.registry import kind_of
from processing_hrm import IGNORE_INDEX, HRMGridProcessor


_PANEL = 2.3  # inches

Tokens = Sequence[int] | np.ndarray | torch.Tensor


# --- one board


def draw_board(
    axes: Axes,
    processor: HRMGridProcessor,
    tokens: Tokens,
    input_ids: Tokens | None = None,
    labels: Tokens | None = None,
) -> None:
    """Draw a board in the way of its kind.

    Args:
        axes: where to draw.
        processor: knows kind and size.
        tokens: token ids of the board, `(tokens,)`.
        input_ids: of the puzzle; by default `tokens` is the puzzle itself.
        labels: of the answer; without them nothing is marked wrong.

    Raises:
        ValueError, TypeError: if a board cannot be read.
    """
    board = processor.decode(tokens, "grid")
    puzzle = board if input_ids is None else processor.decode(input_ids, "grid")
    answer = None if labels is None else processor.decode(labels, "grid")
    kind_of(processor).draw(axes, processor, board, puzzle, answer)


# --- figures


def draw_puzzle(
    processor: HRMGridProcessor, input_ids: Tokens, labels: Tokens | None = None, prediction: Tokens | None = None
) -> Figure:
    """A puzzle and, if given, its answer and a prediction, side by side.

    Args:
        processor: of the puzzle.
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
    """Several puzzles, one per column, with their answers and predictions below.

    Args:
        processor: of the puzzles.
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
        processor: of the model.
        input_ids: token ids of the puzzle, `(tokens,)`.
        boards: token ids of the boards after each segment, `(segments, tokens)`, at least one.
        halt_probabilities: the halting head's probability of being right after each segment.
        labels: token ids of the right answer; differences are marked.

    Raises:
        ValueError: if there is no board, or not one probability per board.
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


def draw_texts(texts: Sequence[str], titles: Sequence[str], characters: int = 600) -> Figure:
    """The starts of texts, one below the other.

    Args:
        texts: to show.
        titles: one per text.
        characters: how much of each text.
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
        axes.set_title(title, fontsize=9, loc="left", color=RIGHT)
        axes.text(0, 1, text, ha="left", va="top", fontsize=8, family="monospace", transform=axes.transAxes)
        axes.axis("off")
    return figure
