"""Puzzles as people keep them: the one reader of the command line, of files, of standard input and of the app.

read_puzzles(decode_text(Path("puzzles.sdk").read_bytes())).puzzles[0].board

What is read: Sudoku as a line of cells or drawn, with `.`, `0`, `_`, `-` or `*` for a blank cell, in frames, with
spaces, as columns of a table or as lists; mazes as a line or drawn; several of them in one text; JSON objects and
boards as `hrm-hf solve` writes them. Left out are comments, which start with `#`, and, named in `left_out`, titles and
further columns. What looks like a puzzle and is none is an error that names its line.
"""

import ast
import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from processing_hrm import SUDOKU_NOTATIONS, possible_notations, sudoku_cells


_SIZES = (16, 9, 6, 4)
_AREAS = {size * size for size in _SIZES}
_SYMBOLS = set(".0_-*123456789ABCDEFGHIJKLMNOPabcdefghijklmnop")
_MAZE = set("# SGo")
# the verdict of the command below a board, and its title above one that is no puzzle
_VERDICT = re.compile(r"(solved|not solved: .*|no solution: .*|more than one solution: .*) \((\d+) segments?.*\)")
_STEP = re.compile(r"after segment \d+:")
_FRAME_ONLY = re.compile(r"[\s|+=*\-\u2500-\u257f]*")
_CLUE = re.compile(r"\[(\S)\]")
# fields of a JSON object that hold a puzzle: of the command, and of data sets
_FIELDS = ("puzzle", "question", "quizzes", "quiz")


@dataclass(frozen=True)
class PuzzleText:
    """A puzzle that was found in a text.

    Attributes:
        board: the puzzle for `HRMGridProcessor`: a Sudoku as a line with `.` for a blank cell, of 16x16 in `1-G`; a
            maze as its rows.
        task: name of its kind.
        notation: of a 16x16 Sudoku, one of `SUDOKU_NOTATIONS`; else `None`.
    """

    board: str
    task: str
    notation: str | None = None

    @property
    def cells(self) -> int:
        """How many cells it has."""
        return len(self.board.replace("\n", ""))


@dataclass
class PuzzlesRead:
    """What was found in a text.

    Attributes:
        puzzles: in order.
        left_out: what else stands in the text, a phrase each; comments do not count.
    """

    puzzles: list[PuzzleText] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Line:
    number: int
    text: str


def decode_text(data: bytes, name: str) -> str:
    """The text of a file: UTF-8, or UTF-16 with or without its mark.

    Args:
        data: of the file.
        name: what messages call it.

    Raises:
        ValueError: if it is no text.
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
        raise ValueError(f"{name} is no text: it has bytes that are 0; give puzzles as text.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        # puzzles are ASCII, and so only comments can suffer
        return data.decode("latin-1")


def _decode(data: bytes, encoding: str, name: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is no whole {encoding} text ({error.reason}, byte {error.start}).") from error


def read_puzzles(text: str, name: str = "", notation: str | None = None) -> PuzzlesRead:
    """Find the puzzles of a text.

    Args:
        text: of any number of puzzles.
        name: of the text in messages, such as that of a file; none by default.
        notation: of 16x16 Sudoku, one of `SUDOKU_NOTATIONS`; by default told by the symbols of each puzzle.

    Raises:
        ValueError: if there is none, something looks like a puzzle and is none, or the notation is not sure.
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
    lines = [_Line(number, line) for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1)]
    lines = list(_without_maze_frames(lines))
    for part in _parts(lines):
        if isinstance(part, _Maze):
            found.puzzles += [PuzzleText(board, "maze") for board in part.boards]
        else:
            _read_sudoku(part, where, notation, found)
    if not found.puzzles:
        shown = f" ({found.left_out[0]})" if found.left_out else ""
        raise ValueError(f"{where or 'The text: '}there is no puzzle{shown}; give one.")
    return found


# --- mazes


@dataclass
class _Maze:
    boards: list[str]


def _without_maze_frames(lines: list[_Line]) -> Iterator[_Line]:
    """Lines of text, those of mazes in a frame of + - | without it."""
    index = 0
    while index < len(lines):
        if re.fullmatch(r"\+-+\+", lines[index].text):
            end = index + 1
            while end < len(lines) and re.fullmatch(r"\|[# SGo]+\|", lines[end].text):
                end += 1
            if end > index + 1 and end < len(lines) and lines[end].text == lines[index].text:
                yield from (_Line(line.number, line.text[1:-1]) for line in lines[index + 1 : end])
                yield _Line(lines[end].number, "")
                index = end + 1
                continue
        yield lines[index]
        index += 1


def _parts(lines: list[_Line]) -> Iterator["list[_Line] | _Maze"]:
    """Mazes, and the lines between them, in order.

    A line with `#` belongs to a maze only if it is one: with the lines around it, it has cells of a maze alone, among
    them S and G. Else it is a comment, unless there is nothing but such lines.
    """
    others: list[_Line] = []
    index, is_empty = 0, not any(set(line.text) - _MAZE for line in lines)
    while index < len(lines):
        end = index
        while end < len(lines) and _continues_maze(lines[index:end], lines[end].text):
            end += 1
        run = lines[index:end]
        boards = _mazes_of([line.text for line in run], is_empty) if run else []
        if boards:
            if end < len(lines) and _VERDICT.fullmatch(lines[end].text):
                # an answer of the command: the maze is the board without the path
                boards = [board.replace("o", " ") for board in boards]
                end += 1
            if any(line.text.strip() for line in others):
                yield others
            others = []
            yield _Maze(boards)
            index = end
        else:
            others += run or [lines[index]]
            index = max(end, index + 1)
    if any(line.text.strip() for line in others):
        yield others


def _continues_maze(run: list[_Line], text: str) -> bool:
    if not text:
        return False
    if set(text) <= _MAZE:
        return True
    # a row with a wrong character, which must not pass for a comment
    same_width = bool(run) and len(run[-1].text) == len(text) and len(text) > 4
    return same_width and "#" in text and sum(cell in _MAZE for cell in text) >= 0.75 * len(text)


def _mazes_of(rows: list[str], is_all: bool) -> list[str]:
    """The mazes that rows of their cells are, as boards; none if they are no mazes."""
    while rows and not rows[0].strip() and len(rows[0]) != len(rows[-1]):
        rows = rows[1:]
    while rows and not rows[-1].strip() and len(rows[-1]) != len(rows[0]):
        rows = rows[:-1]
    if not "".join(rows).strip():
        return []
    starts, goals = ("".join(rows).count(symbol) for symbol in "SG")
    if all(row.count("S") == row.count("G") == 1 for row in rows):
        return rows
    if starts == goals and starts > 1 and len(rows) % starts == 0:
        height = len(rows) // starts
        boards = ["\n".join(rows[top : top + height]) for top in range(0, len(rows), height)]
        if all(board.count("S") == board.count("G") == 1 for board in boards):
            return boards
    drawn = any("#" in row for row in rows)
    is_maze = starts == goals == 1 or (drawn and (starts or goals) and len(rows) > 1) or (drawn and is_all)
    return ["\n".join(rows)] if is_maze else []


# --- Sudoku


def _read_sudoku(lines: list[_Line], where: str, notation: str | None, found: PuzzlesRead) -> None:
    """Add the Sudoku of lines of text; a line that is none of a Sudoku is a comment, a title, or an error."""
    is_only_one = sum(bool(line.text.strip()) for line in lines) == 1 and not found.puzzles
    index, is_step, columns = 0, False, 0
    while index < len(lines):
        text = lines[index].text
        place = f"{where}line {lines[index].number}"
        if not text.strip() or text.lstrip().startswith("#") or _VERDICT.fullmatch(text):
            index += 1
        elif _STEP.fullmatch(text):
            is_step, index = True, index + 1
        elif text.lstrip().startswith("{"):
            found.puzzles.append(_of_object(text, place, notation))
            index += 1
        elif board := _board_at(lines, index):
            cells, index, more = board
            columns += more
            if not is_step:
                found.puzzles.append(_sudoku(cells, place, notation))
            is_step = False
        elif _FRAME_ONLY.fullmatch(text):
            index += 1
        elif _is_title(text):
            found.left_out.append(f"line {lines[index].number}: {_short(text)}")
            index += 1
        elif is_only_one:
            # the processor says best what is wrong with it
            found.puzzles.append(PuzzleText(text.strip(), "sudoku"))
            index += 1
        else:
            raise ValueError(f"{place}: {_fault(lines, index)}")
    if columns:
        found.left_out.append(f"{columns} further columns")


def _board_at(lines: list[_Line], index: int) -> tuple[str, int, int] | None:
    """The board that begins at a line: its cells, the line after it, and how many further columns it has."""
    for size in _SIZES:
        for reading in range(3):
            for row_cells in (_drawn_cells, _table_cells):
                rows, end, drawn = [], index, []
                while end < len(lines) and len(rows) < size:
                    text = lines[end].text
                    cells = "" if text.lstrip().startswith("#") else row_cells(text, reading, size)
                    if cells and len(cells) != size:
                        break
                    if cells:
                        rows.append(cells)
                        drawn.append(text)
                    elif not rows or not (_FRAME_ONLY.fullmatch(text) or text.lstrip().startswith("#")):
                        break
                    end += 1
                if len(rows) == size and _fits("".join(rows), size):
                    return _clues_alone(rows, drawn), end, 0
    return _line_board(lines[index].text, index)


def _fits(cells: str, size: int) -> bool:
    """Whether these can be the cells of a board of this size, and not several boards of a smaller one."""
    if not _are_cells(cells):
        return False
    # sixteen rows of sixteen cells may as well be sixteen boards of 4x4
    return size < 16 or not set(cells) <= set(".0_-*1234")


def _line_board(text: str, index: int) -> tuple[str, int, int] | None:
    """A board on one line, alone or as the first of the columns that is one."""
    for reading in range(2):
        fields = [part for part in re.split(r"[\s,;]+", text) if part]
        for part in fields:
            cells = sudoku_cells(part.strip("\"'"), reading)
            if len(cells) in _AREAS and _are_cells(cells):
                return cells, index + 1, len(fields) - 1
        cells = sudoku_cells(text, reading)
        if len(cells) in _AREAS and _are_cells(cells):
            return cells, index + 1, 0
    return None


def _are_cells(cells: str) -> bool:
    # a rule of dashes is no board of blank cells
    return set(cells) <= _SYMBOLS and not set(cells) <= {"-", "*"}


def _drawn_cells(text: str, reading: int, size: int) -> str:
    """The cells of a row as it is drawn; clues of the command's own boards stand in brackets."""
    return sudoku_cells(_CLUE.sub(r" \1 ", text), reading)


def _table_cells(text: str, reading: int, size: int) -> str:
    """The cells of a row of a table: fields between commas, semicolons or tabs, or numbers up to 16 between spaces."""
    for separator in ("\t", ";", ","):
        if text.count(separator) == size - 1:
            fields = [part.strip().strip("\"'") for part in text.split(separator)]
            break
    else:
        fields = [part for part in re.split(r"[\s|]+", text) if part]
        if size < 16 or len(fields) != size:
            return ""
    return "".join(map(_symbol_of_field, fields))


def _symbol_of_field(part: str) -> str:
    if part == "":
        return "."
    if part.isascii() and part.isdigit() and len(part) == 2 and 10 <= int(part) <= 16:
        return SUDOKU_NOTATIONS["1-G"][int(part) - 1]
    return part  # if it is no cell, the row is too long


def _clues_alone(rows: list[str], drawn: list[str]) -> str:
    """The cells of rows; of a board of the command the clues, which stand in brackets, without its answer."""
    if not any(_CLUE.search(line) for line in drawn):
        return "".join(rows)
    answers = [_CLUE.sub(" ? ", line) for line in drawn]
    kept = [
        "".join(cell if mark == "?" else "." for cell, mark in zip(row, sudoku_cells(line, 0), strict=True))
        for row, line in zip(rows, answers, strict=True)
    ]
    return "".join(kept)


def _sudoku(cells: str, place: str, notation: str | None) -> PuzzleText:
    """A Sudoku of its cells, in the form of `PuzzleText.board`.

    Raises:
        ValueError: if the notation of a 16x16 Sudoku is not sure.
    """
    if len(cells) != 256:
        return PuzzleText(cells.translate(str.maketrans("0_-*", "....")), "sudoku")
    if notation is None:
        notations = possible_notations(cells)
        if len(notations) != 1:
            fitting = f"the notations {' and '.join(notations)}" if notations else "no notation"
            raise ValueError(
                f"{place}: the symbols of this 16x16 Sudoku fit {fitting}; say by --notation which of "
                f"{', '.join(SUDOKU_NOTATIONS)} it is."
            )
        notation = notations[0]
    blanks = "_-*" if notation == "0-F" else "0_-*"
    digits = SUDOKU_NOTATIONS[notation] + "".join(blanks)
    symbols = cells.upper()
    if odd := sorted(set(symbols) - set(digits) - {"."}):
        raise ValueError(f"{place}: {odd[0]!r} is no digit of a 16x16 Sudoku in the notation {notation}.")
    own = SUDOKU_NOTATIONS["1-G"] + "." * len(blanks)
    return PuzzleText(symbols.translate(str.maketrans(digits, own)), "sudoku", notation)


def _is_title(text: str) -> bool:
    """Whether a line that begins no board is words and not a damaged board: letters that are no digits, and spaces."""
    letters = sum(character.isalpha() for character in text)
    shown = re.sub(r"\s", "", text)
    if not any(character not in _SYMBOLS and not _FRAME_ONLY.fullmatch(character) for character in shown):
        return False
    return letters > len(shown) / 2 and (len(shown) not in (16, 256) or " " in text.strip())


def _fault(lines: list[_Line], index: int) -> str:
    """What is wrong with a line that begins no board."""
    text = lines[index].text
    for size in _SIZES:
        for reading in range(2):
            rows = 0
            for line in lines[index:]:
                cells = _drawn_cells(line.text, reading, size)
                if len(cells) == size:
                    rows += 1
                elif cells:
                    break
            if rows > 1:
                return f"here begin {rows} rows of {size} cells, of which a Sudoku has {size}; complete the board."
    cells = sudoku_cells(text, 0)
    if odd := [symbol for symbol in cells if symbol not in _SYMBOLS]:
        return f"{_short(text)} has {odd[0]!r}, which is no cell of a Sudoku; start a comment with #."
    return (
        f"{_short(text)} has {len(cells)} cells; a Sudoku on a line has 16, 36, 81 or 256, one that is drawn 4, 6, 9 "
        "or 16 in each of as many rows."
    )


def _short(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


# --- lists and JSON


def _lists(text: str) -> list | None:
    """The boards of a text that is a list as JSON or Python write it: each a string or a list of rows; else `None`."""
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
    is_board = all(_is_row(row) for row in value) and len(value) in _SIZES
    rows_are_of_one = is_board and all(len(row) == len(value) for row in value)
    return [value] if rows_are_of_one else value


def _is_row(row: Any) -> bool:
    return isinstance(row, str) or (isinstance(row, list) and not any(isinstance(cell, list) for cell in row))


def _of_cells(value: Any, place: str, notation: str | None) -> PuzzleText:
    """The puzzle of a string or of a list of rows."""
    if isinstance(value, list) and value and all(_is_row(row) for row in value):
        cells = "".join(row if isinstance(row, str) else "".join(map(_symbol_of_value, row)) for row in value)
        if len(cells) in _AREAS and _are_cells(cells):
            return _sudoku(cells, place, notation)
        if set(cells) <= _MAZE:
            return PuzzleText("\n".join("".join(row) for row in value), "maze")
        value = None
    if not isinstance(value, str):
        raise ValueError(f"{place} holds a board that is none: {_short(str(value))}; give rows of equally many cells.")
    (puzzle, *others) = read_puzzles(value, place, notation).puzzles
    if others:
        raise ValueError(f"{place} holds a string with {len(others) + 1} boards; give one in each.")
    return puzzle


def _symbol_of_value(cell: Any) -> str:
    if cell is None or cell == "":
        return "."
    if isinstance(cell, int) and not isinstance(cell, bool) and 0 <= cell <= 16:
        return ("." + SUDOKU_NOTATIONS["1-G"])[cell]
    return str(cell) if isinstance(cell, str) else "?"


def _of_object(text: str, place: str, notation: str | None) -> PuzzleText:
    """The puzzle of a JSON object, as the command writes them with --json."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: {_short(text)} is no whole JSON object ({str(error)[:80]}).") from error
    for name in _FIELDS:
        if isinstance(value, dict) and isinstance(value.get(name), str | list):
            return _of_cells(value[name], place, notation)
    raise ValueError(f"{place}: the JSON object has no {_FIELDS[0]!r} that is a board.")
