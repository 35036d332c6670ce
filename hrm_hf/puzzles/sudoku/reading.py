"""Sudoku in texts: as a line of cells or drawn, in frames, with spaces, or as columns of a table."""

import re
from collections.abc import Callable, Iterator

from hrm_hf.puzzles.found import VERDICT, Line, PuzzlesRead, PuzzleText, short
from processing_hrm import SUDOKU_NOTATIONS, possible_notations, sudoku_cells


NAME = "sudoku"
SIZES = (16, 9, 6, 4)
AREAS = {size * size for size in SIZES}
_SYMBOLS = set(".0_-*123456789ABCDEFGHIJKLMNOPabcdefghijklmnop")
# the title that the command prints above a board that is not a puzzle
_STEP = re.compile(r"after segment \d+:")
_FRAME_ONLY = re.compile(r"[\s|+=*\-\u2500-\u257f]*")
_CLUE = re.compile(r"\[(\S)\]")


def read_sudoku(
    lines: list[Line],
    where: str,
    notation: str | None,
    found: PuzzlesRead,
    of_object: Callable[[str, str, str | None], PuzzleText],
) -> None:
    """Add the Sudoku in lines of text; any other line is a comment, a title, or an error.

    Args:
        lines: of the text.
        where: source of the text, before the place in messages.
        notation: of 16x16 Sudoku, if it is known.
        found: puzzles are added to this.
        of_object: the puzzle of a line that is a JSON object, by line, place and notation.
    """
    is_only_one = sum(bool(line.text.strip()) for line in lines) == 1 and not found.puzzles
    index, is_step, columns = 0, False, 0
    while index < len(lines):
        text = lines[index].text
        place = f"{where}line {lines[index].number}"
        if not text.strip() or text.lstrip().startswith("#") or VERDICT.fullmatch(text):
            index += 1
        elif _STEP.fullmatch(text):
            is_step, index = True, index + 1
        elif text.lstrip().startswith("{"):
            found.puzzles.append(of_object(text, place, notation))
            index += 1
        elif board := _board_at(lines, index):
            cells, index, more = board
            columns += more
            if not is_step:
                found.puzzles.append(sudoku_of_cells(cells, place, notation))
            is_step = False
        elif _FRAME_ONLY.fullmatch(text):
            index += 1
        elif _is_title(text):
            found.left_out.append(f"line {lines[index].number}: {short(text)}")
            index += 1
        elif is_only_one:
            # the processor has the best error message
            found.puzzles.append(PuzzleText(text.strip(), NAME))
            index += 1
        else:
            raise ValueError(f"{place}: {_fault(lines, index)}")
    if columns:
        found.left_out.append(f"{columns} other column{'s' if columns > 1 else ''}")


def _board_at(lines: list[Line], index: int) -> tuple[str, int, int] | None:
    """The board that starts at a line: its cells, the line after it, and the number of other columns."""
    for size in SIZES:
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
    if not are_cells(cells):
        return False
    # sixteen rows of sixteen cells may also be sixteen boards of 4x4
    return size < 16 or not set(cells) <= set(".0_-*1234")


def _line_board(text: str, index: int) -> tuple[str, int, int] | None:
    """A board on one line, alone or as the first column that is a board."""
    boards = list(_line_boards(text))
    # dashes are blank cells or a frame: 36 cells, 20 of them dashes, leave 16 as of a 4x4 board, but with a 5 and 6
    fitting = [board for board in boards if set(board[0]) <= _digits_of(len(board[0]))]
    for cells, more in fitting or boards:
        return cells, index + 1, more
    return None


def _line_boards(text: str) -> Iterator[tuple[str, int]]:
    """Cells of the boards that a line may be, likely ones first, each with the number of other columns."""
    for reading in range(2):
        fields = [part for part in re.split(r"[\s,;]+", text) if part]
        for part in fields:
            cells = sudoku_cells(part.strip("\"'"), reading)
            if len(cells) in AREAS and are_cells(cells):
                yield cells, len(fields) - 1
        cells = sudoku_cells(text, reading)
        if len(cells) in AREAS and are_cells(cells):
            yield cells, 0


def _digits_of(area: int) -> set[str]:
    """Symbols of boards with so many cells."""
    return _SYMBOLS if area == 256 else set(".0_-*123456789"[: 5 + round(area**0.5)])


def are_cells(cells: str) -> bool:
    """Whether characters can be the cells of a Sudoku."""
    # a line of dashes is not a board of blank cells
    return set(cells) <= _SYMBOLS and not set(cells) <= {"-", "*"}


def _drawn_cells(text: str, reading: int, size: int) -> str:
    """The cells of a drawn row; clues of the command's own boards are in brackets."""
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
    return part  # if it is not a cell, the row is too long


def _clues_alone(rows: list[str], drawn: list[str]) -> str:
    """The cells of rows; for a board printed by the command, only the clues, which are in brackets."""
    if not any(_CLUE.search(line) for line in drawn):
        return "".join(rows)
    answers = [_CLUE.sub(" ? ", line) for line in drawn]
    kept = [
        "".join(cell if mark == "?" else "." for cell, mark in zip(row, sudoku_cells(line, 0), strict=True))
        for row, line in zip(rows, answers, strict=True)
    ]
    return "".join(kept)


def sudoku_of_cells(cells: str, place: str, notation: str | None) -> PuzzleText:
    """A Sudoku from its cells, in the form of `PuzzleText.board`.

    Raises:
        ValueError: if the notation of a 16x16 Sudoku is ambiguous.
    """
    if len(cells) != 256:
        return PuzzleText(cells.translate(str.maketrans("0_-*", "....")), NAME)
    if notation is None:
        notations = possible_notations(cells)
        if len(notations) != 1:
            fitting = f"the notations {' and '.join(notations)}" if notations else "no notation"
            raise ValueError(
                f"{place}: the symbols of this 16x16 Sudoku fit {fitting}; say with --notation which of "
                f"{', '.join(SUDOKU_NOTATIONS)} it is."
            )
        notation = notations[0]
    blanks = "_-*" if notation == "0-F" else "0_-*"
    digits = SUDOKU_NOTATIONS[notation] + "".join(blanks)
    symbols = cells.upper()
    if odd := sorted(set(symbols) - set(digits) - {"."}):
        raise ValueError(f"{place}: {odd[0]!r} is not a digit of a 16x16 Sudoku in the notation {notation}.")
    own = SUDOKU_NOTATIONS["1-G"] + "." * len(blanks)
    return PuzzleText(symbols.translate(str.maketrans(digits, own)), NAME, notation)


def _is_title(text: str) -> bool:
    """Whether a line that starts no board is words and not a damaged board: letters other than digits, and spaces."""
    letters = sum(character.isalpha() for character in text)
    shown = re.sub(r"\s", "", text)
    if not any(character not in _SYMBOLS and not _FRAME_ONLY.fullmatch(character) for character in shown):
        return False
    return letters > len(shown) / 2 and (len(shown) not in (16, 256) or " " in text.strip())


def _fault(lines: list[Line], index: int) -> str:
    """What is wrong with a line that does not start a board."""
    text = lines[index].text
    for size in SIZES:
        for reading in range(2):
            rows = 0
            for line in lines[index:]:
                cells = _drawn_cells(line.text, reading, size)
                if len(cells) == size:
                    rows += 1
                elif cells:
                    break
            if rows > 1:
                return f"here start {rows} rows of {size} cells, but a Sudoku has {size} rows; complete the board."
    cells = sudoku_cells(text, 0)
    if odd := [symbol for symbol in cells if symbol not in _SYMBOLS]:
        return f"{short(text)} has {odd[0]!r}, which is not a cell of a Sudoku; start a comment with #."
    return (
        f"{short(text)} has {len(cells)} cells; a Sudoku on a line has 16, 36, 81 or 256, a drawn one 4, 6, 9 or 16 "
        "in each of as many rows."
    )
