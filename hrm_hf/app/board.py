"""The board: one component for all kinds of puzzles, to look at, edit and watch the model think on.

Its value is plain JSON, which the pages of the kinds make:

    kind        name of the kind; "gallery" is boards to look at, with `groups` of them alone
    title       what it is called, for those who listen
    rows, columns, and for Sudoku box: rows and columns of a box
    given       the puzzle as a line, row by row: `.` and digits, `# SG`, or colors 0 to 9
    truth       the right answer in the same form, or null
    steps       the model's board after each segment: cells (as `given`), sure (probability of each cell, or null),
                halt (halting probability), title (or null)
    editable    whether the reader may change `given`, which drops the steps

board.js draws it and lets it be edited; what comes back from a page is checked here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr


_HERE = Path(__file__).parent
_MAX_CELLS = 40 * 40


def make_board(value: dict[str, Any] | None, elem_id: str) -> gr.HTML:
    """The component; `input` is its event for an edit by the reader.

    Args:
        value: as above, or `None` for nothing.
        elem_id: of the page's element.
    """
    # no subclass of gr.HTML: for each, Gradio writes a .pyi file beside its source when it is imported
    return gr.HTML(
        value=value,
        # empty and constant: gr.HTML runs as code what a template makes of a text with ${ }
        html_template='<div class="hrm-board"></div>',
        css_template=(_HERE / "board.css").read_text(),
        js_on_load=(_HERE / "board.js").read_text(),
        apply_default_css=False,
        elem_id=elem_id,
    )


def puzzle_on(board: Any) -> str:
    """The puzzle that stands on a board, as a line.

    Args:
        board: value of the component, as a page sent it.

    Raises:
        ValueError: if it is none.
    """
    given = board.get("given") if isinstance(board, dict) else None
    if not isinstance(given, str) or len(given) > _MAX_CELLS:
        raise ValueError("There is no puzzle on the board; put one there first.")
    return given


def gallery(groups: Sequence[Sequence[dict]]) -> dict[str, Any]:
    """Value of boards to look at; those of a group stay together."""
    return {"kind": "gallery", "groups": [list(group) for group in groups]}
