"""Puzzles in common notations: the reader for the command line, files, standard input and the app.

read_puzzles(decode_text(Path("puzzles.sdk").read_bytes())).puzzles[0].board

It reads Sudoku as a line of cells or drawn, with `.`, `0`, `_`, `-` or `*` for a blank cell, in frames, with spaces,
as columns of a table or as lists; mazes as a line or drawn; several of them in one text; JSON objects and boards
written by `hrm-hf solve`. It leaves out comments, which start with `#`, and titles and extra columns, which `left_out`
names. Text that looks like a puzzle but is not one is an error that names its line.
"""

import ast
import codecs
import json
import re
from typing import Any

from hrm_hf.puzzles.found import Line, PuzzlesRead, PuzzleText, short
from hrm_hf.puzzles.maze.reading import Mazes, maze_of_rows, parts_of, without_frames
from hrm_hf.puzzles.sudoku.reading import AREAS, SIZES, are_cells, read_sudoku, sudoku_of_cells
from processing_hrm import SUDOKU_NOTATIONS


# fields of a JSON object with a puzzle: of the command, and of data sets
_FIELDS = ("puzzle", "question", "quizzes", "quiz")


def decode_text(data: bytes, name: str) -> str:
    """The text of a file: UTF-8, or UTF-16 with or without its mark.

    Args:
        data: of the file.
        name: for messages.

    Raises:
        ValueError: if it is not text.
    """
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return _decode(data, encoding, name)
    if data[1::2].count(0) > len(data) // 4:
        return _decode(data, "utf-16-le", name)
    if data[::2].count(0) > len(data) // 4:
        return _decode(data, "utf-16-be", name)
    if b"\0" in data:
        raise ValueError(f"{name} is not text: it has bytes that are 0; give puzzles as text.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        # puzzles are ASCII, so this only affects comments
        return data.decode("latin-1")


def _decode(data: bytes, encoding: str, name: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not valid {encoding} text ({error.reason}, byte {error.start}).") from error


def read_puzzles(text: str, name: str = "", notation: str | None = None) -> PuzzlesRead:
    """Find the puzzles of a text.

    Args:
        text: with any number of puzzles.
        name: of the text in messages, such as a file name; none by default.
        notation: of 16x16 Sudoku, one of `SUDOKU_NOTATIONS`; by default inferred from the symbols of each puzzle.

    Raises:
        ValueError: if there is none, something looks like a puzzle but is not one, or the notation is ambiguous.
    """
    if notation is not None and notation not in SUDOKU_NOTATIONS:
        raise ValueError(f"notation={notation!r} is not allowed; it must be one of {', '.join(SUDOKU_NOTATIONS)}.")
    text = text.removeprefix("\ufeff")
    where = f"{name}, " if name else ""
    found = PuzzlesRead()
    values = _lists(text)
    if values is not None:
        for value in values:
            found.puzzles.append(_of_cells(value, f"{where}a list", notation))
        return found
    lines = [Line(number, line) for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1)]
    lines = list(without_frames(lines))
    for part in parts_of(lines):
        if isinstance(part, Mazes):
            found.puzzles += part.puzzles()
        else:
            read_sudoku(part, where, notation, found, _of_object)
    if not found.puzzles:
        shown = f" ({found.left_out[0]})" if found.left_out else ""
        raise ValueError(f"{where or 'The text: '}there is no puzzle{shown}; give one.")
    return found


# --- lists and JSON


def _lists(text: str) -> list | None:
    """The boards of a text that is a list in JSON or Python, each a string or a list of rows; otherwise `None`."""
    if not text.lstrip().startswith(("[[", "[ [", "[\n", '["', "['")) and not re.match(r"\s*\[\s*[\[\"']", text):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    if not isinstance(value, list) or not value:
        return None
    is_board = all(_is_row(row) for row in value) and len(value) in SIZES
    rows_are_of_one = is_board and all(len(row) == len(value) for row in value)
    return [value] if rows_are_of_one else value


def _is_row(row: Any) -> bool:
    return isinstance(row, str) or (isinstance(row, list) and not any(isinstance(cell, list) for cell in row))


def _of_cells(value: Any, place: str, notation: str | None) -> PuzzleText:
    """The puzzle of a string or of a list of rows."""
    if isinstance(value, list) and value and all(_is_row(row) for row in value):
        cells = "".join(row if isinstance(row, str) else "".join(map(_symbol_of_value, row)) for row in value)
        if len(cells) in AREAS and are_cells(cells):
            return sudoku_of_cells(cells, place, notation)
        if maze := maze_of_rows(value):
            return maze
        value = None
    if not isinstance(value, str):
        raise ValueError(f"{place} has an invalid board: {short(str(value))}; give rows of the same length.")
    (puzzle, *others) = read_puzzles(value, place, notation).puzzles
    if others:
        raise ValueError(f"{place} has a string with {len(others) + 1} boards; give one per string.")
    return puzzle


def _symbol_of_value(cell: Any) -> str:
    if cell is None or cell == "":
        return "."
    if isinstance(cell, int) and not isinstance(cell, bool) and 0 <= cell <= 16:
        return ("." + SUDOKU_NOTATIONS["1-G"])[cell]
    return str(cell) if isinstance(cell, str) else "?"


def _of_object(text: str, place: str, notation: str | None) -> PuzzleText:
    """The puzzle of a JSON object, as written by the command with --json."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: {short(text)} is not a valid JSON object ({str(error)[:80]}).") from error
    for name in _FIELDS:
        if isinstance(value, dict) and isinstance(value.get(name), str | list):
            return _of_cells(value[name], place, notation)
    raise ValueError(f"{place}: the JSON object has no {_FIELDS[0]!r} that is a board.")
