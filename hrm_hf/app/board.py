"""The board: one component for all kinds of puzzles, to look at, edit and watch the model think on.

Its value is plain JSON, which the pages of the kinds make:

    kind        name of the kind; "gallery" is boards to look at, with `groups` of them alone
    title       what it is called, for those who listen
    rows, columns, and for Sudoku box: rows and columns of a box
    given       the puzzle as a line, row by row: `.` and digits, `# SG`, or colors 0 to 9
    truth       the right answer in the same form, or null
    steps       the model's board after each segment: cells (as `given`), halt (halting probability), title (or null)
                and, but for the vote of copies, of each cell: sure (probability), second and second_sure (second
                choice), change_H and change_L (of its states)
    copies      the answers of symmetric copies, or null
    model       name of the model, for links
    show        the step to show at first; by default all are played
    editable    whether the reader may change `given`, which drops the steps
    own, notes  the reader's digits or path (as `given`, `.` for none) and candidates (a string for each cell), or null
    rival       what the model took, in words, if the reader races it from now on; else null or not there
    pasted      text that the reader pasted, which the page is to read; else not there
    stamp       a number in every value that the reader made

The scripts of client/ draw it and let it be edited; what comes back from a page is checked here.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr


_CLIENT = Path(__file__).parent / "client"
# one script to the browser, in this order
_SCRIPTS = ("rules.js", "draw.js", "replay.js", "edit.js", "gif.js", "share.js", "main.js")
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
        css_template=(_CLIENT / "board.css").read_text(encoding="utf-8"),
        js_on_load="\n".join((_CLIENT / name).read_text(encoding="utf-8") for name in _SCRIPTS),
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


def as_seen(board: Any, read: Callable[[str], dict[str, Any]]) -> Any:
    """The board as its reader sees it: the puzzle of a text that was just pasted, or the board itself.

    Args:
        board: value of the component, as a page sent it.
        read: makes a board of a text.
    """
    text = board.get("pasted") if isinstance(board, dict) else None
    return read(text) if isinstance(text, str) else board


def own_on(board: Any) -> dict[str, Any]:
    """What the reader has put into the open cells of a board: `own` and `notes`, each `None` if there is nothing.

    Args:
        board: value of the component, as a page sent it.
    """
    size = len(puzzle_on(board))
    own, notes = board.get("own"), board.get("notes")
    is_own = isinstance(own, str) and len(own) == size
    are_notes = isinstance(notes, list) and len(notes) == size and all(isinstance(note, str) for note in notes)
    return {"own": own if is_own else None, "notes": notes if are_notes else None}


def gallery(groups: Sequence[Sequence[dict]]) -> dict[str, Any]:
    """Value of boards to look at; those of a group stay together."""
    return {"kind": "gallery", "groups": [list(group) for group in groups]}
