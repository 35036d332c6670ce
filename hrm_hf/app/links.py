"""Links that hold a puzzle: `?kind=sudoku&puzzle=...&model=...&step=3`, as the board's *Copy link* makes them."""

from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr


_MAX_STEP = 100


@dataclass(frozen=True)
class PuzzleLink:
    """What a link asks for.

    Attributes:
        kind: name of the kind of puzzle.
        puzzle: text of the puzzle, empty for an example; not checked.
        model: name of a model; not checked.
        step: the segment to show, 0 for the puzzle alone.
    """

    kind: str
    puzzle: str
    model: str
    step: int


def link_of(request: gr.Request) -> PuzzleLink | None:
    """The link that a page was opened by, or `None` if it asks for nothing."""
    return link_in(request.query_params if request is not None else {})


def link_in(asked: Mapping[str, str]) -> PuzzleLink | None:
    """The link of the query of an address, or `None` if it asks for nothing."""
    kind, step = asked.get("kind"), asked.get("step", "0")
    if not kind:
        return None
    step_number = min(int(step), _MAX_STEP) if step.isascii() and step.isdigit() else 0
    return PuzzleLink(kind, asked.get("puzzle", ""), asked.get("model", ""), step_number)
