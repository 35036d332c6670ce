"""The board: one component for all kinds of puzzles, to view and edit puzzles and to watch the model think.

Its value is plain JSON, made by the page of each kind:

    kind        name of the kind; "gallery" is a set of boards to view, with only `groups`
    title       its name, for screen readers
    rows, columns, and for Sudoku box: rows and columns of a box
    given       the puzzle as a line, row by row: `.` and digits, `# SG`, or colors 0 to 9
    truth       the correct answer in the same form, or null
    steps       the model's board after each segment: cells (as `given`), halt (halting probability), title (or null)
                and, except for the vote of copies, for each cell: sure (probability), second and second_sure (second
                choice), change_H and change_L (of its states)
    copies      the answers of symmetric copies, or null
    model       name of the model, for links
    show        the step to show first; by default all are played
    editable    whether the reader may change `given`, which drops the steps
    own, notes  the reader's digits or path (as `given`, `.` for none) and candidates (a string for each cell), or null
    rival       the effort of the model, in words, if a race starts now; otherwise null or missing
    pasted      text that the reader pasted, for the page to read; otherwise missing
    stamp       a number in every value that the reader made

The scripts of client/ draw and edit it; values that come back from a page are checked here.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr


_CLIENT = Path(__file__).parent / "client"
# one script for the browser, in this order
_SCRIPTS = ("rules.js", "draw.js", "replay.js", "edit.js", "gif.js", "share.js", "main.js")
_MAX_CELLS = 40 * 40


def make_board(value: dict[str, Any] | None, elem_id: str) -> gr.HTML:
    """The component; `input` is its event for an edit by the reader.

    Args:
        value: as above, or `None` for nothing.
        elem_id: of the element on the page.
    """
    # not a subclass of gr.HTML: for each, Gradio writes a .pyi file next to its source on import
    return gr.HTML(
        value=value,
        # empty and constant: gr.HTML runs the result of a template with ${ } as code
        html_template='<div class="hrm-board"></div>',
        css_template=(_CLIENT / "board.css").read_text(encoding="utf-8"),
        js_on_load="\n".join((_CLIENT / name).read_text(encoding="utf-8") for name in _SCRIPTS),
        apply_default_css=False,
        elem_id=elem_id,
    )


def puzzle_on(board: Any) -> str:
    """The puzzle on a board, as a line.

    Args:
        board: value of the component, as sent by a page.

    Raises:
        ValueError: if there is none.
    """
    given = board.get("given") if isinstance(board, dict) else None
    if not isinstance(given, str) or len(given) > _MAX_CELLS:
        raise ValueError("There is no puzzle on the board; put one there first.")
    return given


def as_seen(board: Any, read: Callable[[str], dict[str, Any]]) -> Any:
    """The board as the reader sees it: the puzzle of a text that was just pasted, or the board itself.

    Args:
        board: value of the component, as sent by a page.
        read: makes a board from a text.
    """
    text = board.get("pasted") if isinstance(board, dict) else None
    return read(text) if isinstance(text, str) else board


def own_on(board: Any) -> dict[str, Any]:
    """The reader's entries in the open cells of a board: `own` and `notes`, each `None` if empty.

    Args:
        board: value of the component, as sent by a page.
    """
    size = len(puzzle_on(board))
    own, notes = board.get("own"), board.get("notes")
    is_own = isinstance(own, str) and len(own) == size
    are_notes = isinstance(notes, list) and len(notes) == size and all(isinstance(note, str) for note in notes)
    return {"own": own if is_own else None, "notes": notes if are_notes else None}


def gallery(groups: Sequence[Sequence[dict]]) -> dict[str, Any]:
    """Value of boards to view; those of a group stay together."""
    return {"kind": "gallery", "groups": [list(group) for group in groups]}
