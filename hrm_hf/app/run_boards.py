"""Small boards of an evaluation as SVG, from the lines of characters in the log of a run.

Without matplotlib: the monitor draws while it is viewed.
"""

import json
import math
from html import escape
from typing import Any

from hrm_hf.puzzles.arc.kind import ARC
from hrm_hf.puzzles.kind import PuzzleKind
from hrm_hf.puzzles.registry import get, guess
from hrm_hf.puzzles.svg import colored_cells


_MAX_CELLS = 1600

CSS = """
.run-boards { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 12px; }
.run-board { margin: 0; min-width: 0; color: var(--body-text-color); }
.run-board figcaption { font-size: 12px; line-height: 1.4; color: var(--body-text-color-subdued); }
.run-board svg { display: block; width: 100%; max-width: 240px; height: auto; }
.run-board text { font-size: 0.66px; text-anchor: middle; fill: currentColor; }
.run-board .hrm-given { font-weight: 700; }
.run-board .hrm-new { fill: #2f7fd1; }
.run-board .hrm-bad { fill: #d0475c; }
.run-board .hrm-clue { fill: currentColor; opacity: 0.1; }
.run-board .hrm-wrong { fill: #d0475c; fill-opacity: 0.22; stroke: #d0475c; stroke-width: 0.09; }
.run-board .hrm-thin { stroke: currentColor; stroke-width: 0.03; opacity: 0.35; }
.run-board .hrm-thick { stroke: currentColor; stroke-width: 0.09; opacity: 0.8; }
"""


def board_svg(board: dict[str, Any]) -> str:
    """A figure of a prediction; its wrong cells are framed and crossed out.

    Args:
        board: `prediction`, and if known `puzzle`, `answer` and `segments`, as in `eval_boards` of a log. Anything
            that is not a board is shown as text.
    """
    prediction, puzzle, answer = (
        _cells(board.get(name), board.get("width")) for name in ("prediction", "puzzle", "answer")
    )
    segments = board.get("segments")
    after = f", {segments} segments" if isinstance(segments, int) else ""
    if prediction is None:
        text = escape(str(board.get("prediction", ""))[:200])
        return f'<figure class="run-board"><code>{text}</code><figcaption>no board{after}</figcaption></figure>'
    same_shape = answer is not None and _shape(answer) == _shape(prediction)
    wrong = [
        (row, column)
        for row, cells in enumerate(prediction)
        for column, cell in enumerate(cells)
        if same_shape and cell != answer[row][column]
    ]
    verdict = "no answer known" if answer is None else "wrong size" if not same_shape else "right"
    if wrong:
        verdict = f"{len(wrong)} cell{'s' * (len(wrong) > 1)} wrong"
    kind = _kind(board)
    if puzzle is not None and _shape(puzzle) != _shape(prediction):
        puzzle = None
    parts = colored_cells(prediction, ARC.fills) if kind is None else kind.svg(prediction, puzzle, set(wrong))
    parts += [_mark(row, column) for row, column in wrong]
    rows, columns = _shape(prediction)
    label = escape(f"{'grid' if kind is None else kind.name} board, {rows} by {columns}: {verdict}{after}")
    return (
        f'<figure class="run-board"><svg viewBox="-0.1 -0.1 {columns + 0.2} {rows + 0.2}" role="img" '
        f'aria-label="{label}">{"".join(parts)}</svg><figcaption>{verdict}{after}</figcaption></figure>'
    )


def _kind(board: dict[str, Any]) -> PuzzleKind | None:
    """The kind of a board in a log; for older logs, the kind that its cells look like. `None` if unknown."""
    try:
        if "kind" in board:
            return get(board["kind"])
    except (TypeError, ValueError):
        return None  # of a plug-in that is not loaded
    line = board.get("puzzle") or board["prediction"]
    return guess(line) if isinstance(line, str) else None


def _cells(line: Any, width: Any) -> list[list[str]] | None:
    """Rows of cells of a board as written by `HRMGridProcessor.decode`; `None` if it is not a board.

    Args:
        line: the board.
        width: cells per row; if invalid, it follows from the number of cells, for boards that are nearly square.
    """
    if not isinstance(line, str) or not line or len(line) > 8 * _MAX_CELLS:
        return None
    if line.startswith("["):
        try:
            rows = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not rows or not all(isinstance(row, list) and len(row) == len(rows[0]) and row for row in rows):
            return None
        cells = [[str(cell) for cell in row] for row in rows]
        return cells if sum(map(len, cells)) <= _MAX_CELLS else None
    if len(line) > _MAX_CELLS:
        return None
    if isinstance(width, int) and width > 0 and len(line) % width == 0:
        columns = width
    else:
        rows = math.isqrt(len(line))
        while len(line) % rows:
            rows -= 1
        columns = len(line) // rows
    return [list(line[start : start + columns]) for start in range(0, len(line), columns)]


def _shape(cells: list[list[str]]) -> tuple[int, int]:
    return len(cells), len(cells[0])


def _mark(row: int, column: int) -> str:
    return (
        f'<rect class="hrm-wrong" x="{column + 0.08}" y="{row + 0.08}" width="0.84" height="0.84"/>'
        f'<line x1="{column + 0.1}" y1="{row + 0.9}" x2="{column + 0.9}" y2="{row + 0.1}" '
        'stroke="#d0475c" stroke-width="0.07"/>'
    )
