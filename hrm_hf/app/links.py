"""Links that hold a puzzle: `?kind=sudoku&puzzle=...&model=...&step=3`, as made by the board's *Copy link*."""

from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr


_MAX_STEP = 100


@dataclass(frozen=True)
class PuzzleLink:
    """Contents of a link.

    Attributes:
        kind: name of the kind of puzzle.
        puzzle: text of the puzzle, empty for an example; not checked.
        model: name of a model; not checked.
        step: the segment to show, 0 for only the puzzle.
    """

    kind: str
    puzzle: str
    model: str
    step: int


def link_of(request: gr.Request) -> PuzzleLink | None:
    """The link that opened a page, or `None` if it names nothing."""
    return link_in(request.query_params if request is not None else {})


def link_in(asked: Mapping[str, str]) -> PuzzleLink | None:
    """The link in the query of an address, or `None` if it names nothing."""
    kind, step = asked.get("kind"), asked.get("step", "0")
    if not kind:
        return None
    step_number = min(int(step), _MAX_STEP) if step.isascii() and step.isdigit() else 0
    return PuzzleLink(kind, asked.get("puzzle", ""), asked.get("model", ""), step_number)
