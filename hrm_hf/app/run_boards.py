"""Small boards of an evaluation as SVG, from the lines of characters that the log of a run holds.

Needs neither torch nor matplotlib: the monitor draws while it is looked at.
"""

import json
import math
from html import escape
from typing import Any

from hrm_hf.colours import ARC_FILLS


_MAX_CELLS = 1600
_MAZE_FILLS = {"#": "#64748b", "S": "#1a7f4b", "G": "#c2570c", "o": "#6ba3e0"}

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
    """A figure of a prediction; its wrong cells are framed and struck.

    Args:
        board: `prediction`, and as far as known `puzzle`, `answer` and `segments`, as `eval_boards` of a log has
            them. Anything that is no board is shown as text.
    """
    prediction, puzzle, answer = (_cells(board.get(name)) for name in ("prediction", "puzzle", "answer"))
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
    kind = _kind(puzzle or prediction)
    if kind == "sudoku":
        parts = _sudoku(prediction, puzzle, set(wrong))
    else:
        parts = _coloured(prediction, kind)
    parts += [_mark(row, column) for row, column in wrong]
    rows, columns = _shape(prediction)
    label = escape(f"{kind} board, {rows} by {columns}: {verdict}{after}")
    return (
        f'<figure class="run-board"><svg viewBox="-0.1 -0.1 {columns + 0.2} {rows + 0.2}" role="img" '
        f'aria-label="{label}">{"".join(parts)}</svg><figcaption>{verdict}{after}</figcaption></figure>'
    )


def _cells(line: Any) -> list[list[str]] | None:
    """Rows of cells of a board as `HRMGridProcessor.decode` writes it; `None` if it is none."""
    if not isinstance(line, str) or not line or len(line) > 8 * _MAX_CELLS:
        return None
    if line.startswith("["):
        try:
            rows = json.loads(line)
        except ValueError:
            return None
        if not rows or not all(isinstance(row, list) and len(row) == len(rows[0]) and row for row in rows):
            return None
        cells = [[str(cell) for cell in row] for row in rows]
        return cells if sum(map(len, cells)) <= _MAX_CELLS else None
    if len(line) > _MAX_CELLS:
        return None
    columns = math.isqrt(len(line))
    while len(line) % columns:
        columns -= 1
    columns = len(line) // columns
    return [list(line[start : start + columns]) for start in range(0, len(line), columns)]


def _shape(cells: list[list[str]]) -> tuple[int, int]:
    return len(cells), len(cells[0])


def _kind(cells: list[list[str]]) -> str:
    seen = {cell for row in cells for cell in row}
    if seen & set("#SGo"):
        return "maze"
    rows, columns = _shape(cells)
    return "sudoku" if rows == columns and "." in seen else "grid"


def _sudoku(prediction: list[list[str]], puzzle: list[list[str]] | None, wrong: set[tuple[int, int]]) -> list[str]:
    size = len(prediction)
    box_height = math.isqrt(size)
    while size % box_height:
        box_height -= 1
    parts = []
    for row, cells in enumerate(prediction):
        for column, cell in enumerate(cells):
            given = puzzle is not None and _shape(puzzle) == _shape(prediction) and puzzle[row][column] not in ".0"
            if given:
                parts.append(f'<rect class="hrm-clue" x="{column}" y="{row}" width="1" height="1"/>')
            look = "hrm-bad" if (row, column) in wrong else "hrm-given" if given else "hrm-new"
            if cell not in ".0":
                parts.append(f'<text class="{look}" x="{column + 0.5}" y="{row + 0.74}">{escape(cell[:2])}</text>')
    for line in range(size + 1):
        thick = "hrm-thick" if line % box_height == 0 else "hrm-thin"
        parts.append(f'<line class="{thick}" x1="0" x2="{size}" y1="{line}" y2="{line}"/>')
        thick = "hrm-thick" if line % (size // box_height) == 0 else "hrm-thin"
        parts.append(f'<line class="{thick}" x1="{line}" x2="{line}" y1="0" y2="{size}"/>')
    return parts


def _coloured(cells: list[list[str]], kind: str) -> list[str]:
    rows, columns = _shape(cells)
    parts = [f'<rect x="0" y="0" width="{columns}" height="{rows}" fill="#ffffff"/>']
    for row, line in enumerate(cells):
        for column, cell in enumerate(line):
            if kind == "maze":
                fill = _MAZE_FILLS.get(cell)
            else:
                fill = ARC_FILLS[int(cell)] if cell.isdecimal() and int(cell) < len(ARC_FILLS) else None
            if fill is not None:
                parts.append(f'<rect x="{column}" y="{row}" width="1.02" height="1.02" fill="{fill}"/>')
    return parts


def _mark(row: int, column: int) -> str:
    return (
        f'<rect class="hrm-wrong" x="{column + 0.08}" y="{row + 0.08}" width="0.84" height="0.84"/>'
        f'<line x1="{column + 0.1}" y1="{row + 0.9}" x2="{column + 0.9}" y2="{row + 0.1}" '
        'stroke="#d0475c" stroke-width="0.07"/>'
    )
