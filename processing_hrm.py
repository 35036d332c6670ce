# Copyright 2026 The hrm-hf authors. Licensed under the Apache License, Version 2.0.
"""Processor of the Hierarchical Reasoning Model: from puzzles in common notations to token ids, and back.

A single file: it works as remote code on the Hub, as a plain module and inside the package.

    processor = HRMGridProcessor.for_sudoku(9)
    inputs = processor("53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79")
    board = processor.decode(model.solve(**inputs).predictions[0])
    processor.check(puzzle, board)      # Verdict(solved=..., reason=...)

Read from top to bottom: helpers, then one codec per task (`_Sudoku`, `_Maze`, `_Arc`, `_Grid`) with everything about
it (tokens, parsing, drawing, rules), then `HRMGridProcessor` with batches, identifiers and saving.

Token ids are those of the original code (github.com/sapientinc/HRM, dataset/build_*_dataset.py):

    sudoku   0 padding, 1 blank cell, 2 .. size + 1 the digits 1 .. size
    maze     0 padding, then the characters "# SGo": 1 wall, 2 floor, 3 start, 4 goal, 5 path
    arc      0 padding, 1 end of grid (right and bottom border), 2 .. 11 the colors 0 .. 9

and for grids of any kind, whose alphabet is in their data set:

    grid     0 padding, then its symbols in their order

Notable choices:
- Text becomes ids by one table look-up for the whole batch, and rules are checked for the whole batch.
- Rows, columns and puzzles are counted from 1 in messages.
- A token that does not fill a cell is shown as such (`.` in Sudoku, `?` in a maze), never as a digit.
"""

import json
import math
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin


PAD_TOKEN = 0
IGNORE_INDEX = -100

# digits of a 16x16 Sudoku, by the name of their notation; decoded boards use the first one
SUDOKU_NOTATIONS = {"1-G": "123456789ABCDEFG", "0-F": "0123456789ABCDEF", "A-P": "ABCDEFGHIJKLMNOP"}
# blank cells in all of them; 0 is also blank, except in 0-F
_BLANKS = "._-*"

# whitespace, lines of a board drawn in ASCII, and Unicode box drawing; a dash may be a line or a blank cell
_SIGNS = re.compile(r"[\s|+=\u2500-\u257f]+")
_SIGNS_AND_DASHES = re.compile(r"[\s|+=\-\u2500-\u257f]+")
_FRAME = re.compile(r"[\s|+=*\-\u2500-\u257f]*")
# steps of an exact search times cells: a few seconds, of which hard 9x9 puzzles take a hundredth
_MAX_STEPS = 400_000

# maximum number of symbols of a grid: token ids are stored as bytes when many answers are drawn
MAX_SYMBOLS = 255
# separators of cells that are words
_BETWEEN_WORDS = re.compile(r"\s*[,;]\s*|\s+")
_LINE_BREAKS = re.compile(r"\r\n|\r|\n")

_COUNT_WORDS = dict(enumerate("two three four five six seven eight nine".split(), start=2))


@dataclass(frozen=True)
class Verdict:
    """Whether an answer solves its puzzle, and if not, the first rule that it breaks. As a bool: `solved`."""

    solved: bool
    reason: str

    def __bool__(self) -> bool:
        return self.solved


@dataclass(frozen=True)
class ExactCheck:
    """Outcome of a puzzle from exact search, without running a model.

    Attributes:
        outcome: `"solved"` for a Sudoku without blank cells that breaks no rule, `"no solution"` or `"more than one
            solution"`.
        reason: in words.
    """

    outcome: str
    reason: str


# --- helpers ------------------------------------------------------------------------------------------------


def _is_int(value: Any) -> bool:
    # bool is an int in Python, but a cell or a size that is True is a mistake
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _is_row_of_cells(value: Any) -> bool:
    return _is_list(value) and not any(
        _is_list(cell) or isinstance(cell, Mapping) or (isinstance(cell, str) and len(cell) > 1) for cell in value
    )


def _as_array(value: Any) -> Any:
    """A tensor, or a pandas frame or series, as an array; anything else unchanged."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        if value.layout != torch.strided:
            value = value.to_dense()
        # numpy has no bfloat16, and float32 represents it exactly
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return value.to_numpy() if type(value).__name__ in ("DataFrame", "Series") else value


def _as_lists(value: Any) -> Any:
    """A tensor, array or frame as (nested) lists; anything else unchanged."""
    value = _as_array(value)
    return value.tolist() if isinstance(value, np.ndarray) else value


def _names(kind: str, count: int) -> list[str]:
    """Names of `count` boards, for messages."""
    if count == 1:
        return [f"The {kind}"]
    return [f"{kind.capitalize()} {number} of {count}" for number in range(1, count + 1)]


def _place(index: int, width: int) -> str:
    return f"row {index // width + 1}, column {index % width + 1}"


def sudoku_cells(line: str, reading: int) -> str:
    """The cells of a line of a drawn Sudoku, without separators.

    Args:
        line: of a board.
        reading: meaning of `-` and `*`, 0 to 2: `-` is part of the drawing and `*` a blank cell, both are blank cells,
            or both are part of the drawing. The resulting number of cells tells which reading fits.

    Returns:
        One character per cell; none for a line of the frame.
    """
    if reading > 0 and _FRAME.fullmatch(line) and (reading == 2 or "+" in line):
        return ""
    return (_SIGNS if reading == 1 else _SIGNS_AND_DASHES).sub("", line)


def possible_notations(cells: str) -> list[str]:
    """The notations of `SUDOKU_NOTATIONS` that fit the symbols of the 256 cells of a 16x16 Sudoku.

    Ambiguous are boards that lack a symbol, such as those with `1` to `F` but neither `0` nor `G`, and those with only
    a few letters.
    """
    symbols = set(cells.upper())
    has_blanks = not symbols.isdisjoint(_BLANKS)
    symbols -= set(_BLANKS)
    found = [name for name, digits in SUDOKU_NOTATIONS.items() if symbols <= {*digits, "0"}]
    if "0" in symbols and "0-F" in found:
        lines = [cells[16 * number : 16 * number + 16] for number in range(16)]
        lines += [cells[number::16] for number in range(16)]
        if has_blanks:
            return ["0-F"]  # nobody writes a blank cell in two ways
        if any(line.count("0") > 1 for line in lines):
            found.remove("0-F")  # 0 is a blank cell, because a digit occurs once in a row
        elif all(cells.upper().count(digit) == 16 for digit in SUDOKU_NOTATIONS["0-F"]):
            return ["0-F"]  # a full board
    return found


def grid_cells(board: Any, name: str, by_words: bool, ignored: str = "", slashes: bool = True) -> list[list[str]]:
    """The rows of a grid in any common form.

    Args:
        board: a text with one row per line, or on one line with `/` between rows; a list of cells, which is one row; a
            list of rows, each a list of cells or a text; or an array of one or two dimensions.
        name: of the board, for messages.
        by_words: whether cells of a text are separated by whitespace, commas and semicolons, and a list of strings is
            a list of cells. Otherwise every character of a text is a cell, and a list of longer strings is a list of
            rows.
        ignored: characters of a text that are not cells, if it is not read by words.
        slashes: whether `/` separates rows.

    Returns:
        The cells as strings; `""` for an empty one. Rows may have different lengths.

    Raises:
        TypeError, ValueError: if the board is not a text, list or array, or a cell is not a text or integer.
    """
    if isinstance(board, str):
        lines = _LINE_BREAKS.split(board.strip("\r\n"))
        if len(lines) == 1 and slashes:
            lines = board.split("/")
        return [_cells_of_text(line, by_words, ignored) for line in lines]
    rows = _as_lists(board)
    if not _is_list(rows):
        raise TypeError(
            f"{name}: {board!r} ({type(board).__name__}) is not a grid; give a text, a list of cells, a list of rows "
            "or an array."
        )
    is_flat = not any(_is_list(row) for row in rows)
    if is_flat and not by_words and any(isinstance(row, str) and len(row) > 1 for row in rows):
        is_flat = False
    if is_flat:
        return [[_cell(cell, name) for cell in rows]]
    return [
        [_cell(cell, name) for cell in (row if _is_list(row) else [row])]
        if not isinstance(row, str)
        else _cells_of_text(row, by_words, ignored)
        for row in rows
    ]


def _cells_of_text(text: str, by_words: bool, ignored: str) -> list[str]:
    if by_words:
        return _BETWEEN_WORDS.split(text.strip())
    return [character for character in text if character not in ignored]


def _cell(value: Any, name: str) -> str:
    """A cell of a list or an array as text."""
    if isinstance(value, str):
        return value
    # from pandas, where columns with missing values are floats
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (bool, np.bool_, Integral)) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    raise TypeError(
        f"{name}: it has the cell {value!r} ({type(value).__name__}); a cell is a character, a word or an integer."
    )


def _lookup_table(symbols: Mapping[str, int]) -> np.ndarray:
    """Token ids (int64) of the ASCII characters 0 .. 127; -1 for characters without one."""
    table = np.full(128, -1, dtype=np.int64)
    for symbol, token in symbols.items():
        table[ord(symbol)] = token
    return table


# --- codecs: one per task -----------------------------------------------------------------------------------


class _Codec:
    """Shared by all tasks: telling one board from several, and looking text up in a table.

    A subclass sets `vocab_size`, `board` (name of a board in messages), `legal` (description of its cells in messages)
    and the methods that raise here. Token arrays are int64 of shape `(boards, height * width)`.
    """

    vocab_size: int
    board: str
    legal: str
    rows_may_be_text = True
    # whether an answer can be checked without the expected one
    has_rules = True
    # bool (seq_len,): cells whose labels count; `None` for all
    asked: np.ndarray | None = None

    def __init__(self, height: int, width: int):
        self.height, self.width = height, width
        self.seq_len = height * width

    # reading boards

    def split(self, boards: Any, kind: str) -> list:
        """Tell one board from several; the rules are in the docstring of `HRMGridProcessor.__call__`."""
        if isinstance(boards, (str, Mapping)):
            return [boards]
        boards = _as_array(boards)
        if isinstance(boards, np.ndarray) and boards.dtype.kind not in "USO":
            if boards.ndim not in (2, 3):
                raise ValueError(
                    f"The {kind} is an array of shape {boards.shape}; give one board (rows, columns) or "
                    "several (boards, rows, columns)."
                )
            return [boards] if boards.ndim == 2 else self._not_empty(list(boards), kind)
        boards = _as_lists(boards)
        if not _is_list(boards):
            raise TypeError(
                f"The {kind} is {boards!r} ({type(boards).__name__}); give a string, a list of rows, a 2-D "
                "array, or a list of those."
            )
        self._not_empty(boards, kind)
        if all(isinstance(board, str) for board in boards):
            rows_of_one = (
                self.rows_may_be_text and len(boards) == self.height and all(len(row) == self.width for row in boards)
            )
            return [boards] if rows_of_one else list(boards)
        first = _as_array(boards[0])
        if not _is_list(first) and not isinstance(first, (str, Mapping)):
            raise TypeError(
                f"The {kind} is a flat list that starts with {boards[0]!r}; give the board as a string, as a "
                "list of rows or as a 2-D array."
            )
        return [boards] if _is_row_of_cells(first) else list(boards)

    @staticmethod
    def _not_empty(boards: Sequence, kind: str) -> Sequence:
        if len(boards) == 0:
            raise ValueError(f"There is no {kind}: the list is empty; give at least one.")
        return boards

    def expand(self, item: Any, kind: str) -> list:
        """The boards of one given item."""
        return [item]

    def encode(self, boards: list, names: list[str], draft: bool = False) -> np.ndarray:
        """Token ids of boards. `draft` also accepts what `decode` writes for a prediction that is not a board."""
        lines = [self.line_of(board, name) for board, name in zip(boards, names, strict=True)]
        text = "".join(lines).encode("utf-32-le", errors="surrogatepass")
        codes = np.frombuffer(text, dtype="<u4").reshape(len(lines), self.seq_len)
        tokens = self.table[np.minimum(codes, 127)]
        allowed = tokens >= 0 if draft else tokens > PAD_TOKEN
        if not allowed.all():
            row, index = np.argwhere(~allowed)[0]
            raise ValueError(
                f"{names[row]}: illegal character {lines[row][index]!r} in {_place(index, self.width)}; {self.legal}."
            )
        return tokens

    def line_of(self, board: Any, name: str) -> str:
        """One board as `height * width` characters, which may still be illegal."""
        raise NotImplementedError

    def check_rows(self, rows: Sequence, name: str) -> None:
        """Raise unless there are `height` rows of `width` cells."""
        if not _is_list(rows):
            raise TypeError(
                f"{name}: {rows!r} ({type(rows).__name__}) is not a board; give a string, a list of rows or a 2-D "
                "array."
            )
        if len(rows) != self.height:
            raise ValueError(f"{name}: it has {len(rows)} rows; {self.board} has {self.height}.")
        for number, row in enumerate(rows, start=1):
            if not _is_list(row) and not isinstance(row, str):
                raise TypeError(f"{name}: row {number} is {row!r} ({type(row).__name__}); give a list of cells.")
            if len(row) != self.width:
                raise ValueError(
                    f"{name}: row {number} has {len(row)} cells; {self.board} has {self.width} in each row."
                )

    def check_length(self, line: str, name: str) -> None:
        """Raise unless the line has one character per cell."""
        if len(line) != self.seq_len:
            raise ValueError(f"{name}: it has {len(line)} cells; {self.board} has {self.seq_len} ({self.legal}).")

    # rules

    def check_puzzles(self, puzzles: np.ndarray, names: list[str]) -> None:
        """Raise a ValueError for the first impossible puzzle."""

    def check_labels(self, puzzles: np.ndarray, answers: np.ndarray, names: list[str]) -> None:
        """Raise a ValueError for the first answer that does not belong to its puzzle."""

    def verdicts(self, puzzles: np.ndarray, answers: np.ndarray, truths: np.ndarray | None) -> list[Verdict]:
        """Check each answer against the rules of the task."""
        raise NotImplementedError

    def exact_checks(self, puzzles: np.ndarray) -> list[ExactCheck | None]:
        """Outcomes of puzzles from exact search; `None` for those to give to a model."""
        return [None] * len(puzzles)

    def remarks(self, puzzles: np.ndarray) -> list[str | None]:
        """Remarks from exact search about puzzles to give to a model."""
        return [None] * len(puzzles)

    def keep_clues(self, puzzles: torch.Tensor, predictions: torch.Tensor) -> torch.Tensor:
        """Predictions with the cells restored that an answer may not change."""
        return predictions

    def without_spare_clues(self, puzzles: np.ndarray) -> np.ndarray:
        """Nearly full puzzles, which no model was trained on, with fewer clues and the same single solution."""
        return puzzles

    def refuse_truth(self, truths: np.ndarray | None) -> None:
        """Raise if an expected answer was given for a task with rules."""
        if truths is not None:
            raise ValueError(f"{self.board.capitalize()} is checked by its rules; leave out truth.")

    # writing boards

    def grid(self, tokens: np.ndarray) -> list[list]:
        """Tokens of one board as a list of rows."""
        raise NotImplementedError

    def line(self, tokens: np.ndarray) -> str:
        """Tokens of one board as one line."""
        return "".join(self.symbols[token] for token in tokens)

    def draw(self, tokens: np.ndarray, given: np.ndarray | None) -> str:
        """Tokens of one board as a drawing of several lines."""
        raise NotImplementedError


class _Sudoku(_Codec):
    """Sudoku with 4, 6, 9 or 16 digits; 16 are written in one of `SUDOKU_NOTATIONS`."""

    BLANK = 1
    BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3), 16: (4, 4)}

    def __init__(self, size: int, box_height: int, box_width: int, notation: str | None):
        super().__init__(size, size)
        self.box_height, self.box_width = box_height, box_width
        self.vocab_size = size + 2
        self.notation = notation
        digits = SUDOKU_NOTATIONS[notation or "1-G"][:size]
        self.symbols = ".." + digits  # indexed by token id; padding and blank both mean that the cell is open
        self.board = f"a {size}x{size} Sudoku"
        blanks = "." + _BLANKS[1:] if notation == "0-F" else ".0" + _BLANKS[1:]
        kinds = f"a digit 1-{digits[-1]}"
        if size > 9:
            kinds = {"1-G": "1-9 or A-G", "0-F": "0-9 or A-F", "A-P": "A-P"}[notation or "1-G"]
        self.legal = f"a cell is {kinds}, or a blank: one of {' '.join(blanks)}"
        tokens = {digit: token for token, digit in enumerate(digits, start=2)}
        self.table = _lookup_table(
            dict.fromkeys(blanks, self.BLANK) | {d.lower(): t for d, t in tokens.items()} | tokens
        )

        cells = np.arange(self.seq_len).reshape(size, size)
        boxes = cells.reshape(size // box_height, box_height, size // box_width, box_width).swapaxes(1, 2)
        # cell indices of rows, columns and boxes, shape (3 * size, size)
        self.units = np.concatenate([cells, cells.T, boxes.reshape(size, size)])

    def line_of(self, board: Any, name: str) -> str:
        if isinstance(board, str):
            return self._in_own_notation(self._line_of_text(board, name), name)
        rows = _as_lists(board)
        self.check_rows(rows, name)
        cells = [cell for row in rows for cell in row]
        line = "".join(self._symbol(cell, index, name) for index, cell in enumerate(cells))
        return self._in_own_notation(line, name)

    def _line_of_text(self, text: str, name: str) -> str:
        lines, readings = text.splitlines(), []
        for reading in range(3):
            rows = [cells for line in lines if (cells := sudoku_cells(line, reading))]
            if len(rows) == 1 and len(rows[0]) == self.seq_len:
                return rows[0]
            if len(rows) == self.height and all(len(row) == self.width for row in rows):
                return "".join(rows)
            readings.append(rows)
        # the reading that is closest to a board gives the message
        rows = min(readings, key=lambda rows: abs(sum(map(len, rows)) - self.seq_len))
        if len(rows) > 1:
            self.check_rows(rows, name)
        self.check_length("".join(rows), name)
        return "".join(rows)

    def _in_own_notation(self, line: str, name: str) -> str:
        """A line of 16x16 cells with the digits of `1-G`, converted from any notation."""
        if self.height != 16 or self.notation is not None:
            return line
        notations = possible_notations(line)
        if len(notations) > 1 and not set(line.upper()) <= set(self.symbols):
            raise ValueError(
                f"{name}: its symbols fit the notations {' and '.join(notations)} of 16x16 Sudoku; say which one it "
                "is with the option notation."
            )
        # a line that fits none has an illegal character; decoding writes 1-G
        if not notations or "1-G" in notations:
            return line
        digits = SUDOKU_NOTATIONS[notations[0]]
        return line.upper().translate(str.maketrans(digits, SUDOKU_NOTATIONS["1-G"]))

    def _symbol(self, cell: Any, index: int, name: str) -> str:
        if cell is None or cell == "":
            return "."
        if isinstance(cell, str) and len(cell) == 1:
            return cell
        if _is_int(cell) and 0 <= cell <= self.height:
            return self.symbols[cell + 1]
        error = ValueError if _is_int(cell) or isinstance(cell, str) else TypeError
        raise error(
            f"{name}: the cell in {_place(index, self.width)} is {cell!r}; in a list or array a cell is an "
            f"integer 0-{self.height} (0: blank), None, or one character."
        )

    def check_puzzles(self, puzzles: np.ndarray, names: list[str]) -> None:
        broken = self._broken_units(puzzles)
        if broken.any():
            row, unit = np.argwhere(broken)[0]
            raise ValueError(
                f"{names[row]}: {self._describe_unit(puzzles[row], unit)}, so no answer exists; correct the clues."
            )

    def check_labels(self, puzzles: np.ndarray, answers: np.ndarray, names: list[str]) -> None:
        for name, verdict in zip(names, self.verdicts(puzzles, answers, None), strict=True):
            if not verdict.solved:
                raise ValueError(f"{name}: {verdict.reason}; a label must be the full, right solution of its puzzle.")

    def verdicts(self, puzzles: np.ndarray, answers: np.ndarray, truths: np.ndarray | None) -> list[Verdict]:
        self.refuse_truth(truths)
        changed = (puzzles > self.BLANK) & (answers != puzzles)
        missing = answers <= self.BLANK
        broken = self._broken_units(answers)
        solved = ~(changed.any(1) | missing.any(1) | broken.any(1))
        right = Verdict(True, "every clue is kept, and each row, column and box has each digit once")
        return [
            right
            if solved[i]
            else Verdict(False, self._reason(puzzles[i], answers[i], changed[i], missing[i], broken[i]))
            for i in range(len(answers))
        ]

    def exact_checks(self, puzzles: np.ndarray) -> list[ExactCheck | None]:
        broken, blank = self._broken_units(puzzles), (puzzles <= self.BLANK).any(1)
        found: list[ExactCheck | None] = [None] * len(puzzles)
        for row in np.flatnonzero(broken.any(1)):
            reason = self._describe_unit(puzzles[row], int(broken[row].argmax()))
            found[row] = ExactCheck("no solution", reason)
        for row in np.flatnonzero(~broken.any(1) & ~blank):
            found[row] = ExactCheck("solved", "the board was full, and each row, column and box has each digit once")
        asked = np.flatnonzero(~broken.any(1) & blank)
        counts = self._count_solutions(puzzles[asked])
        for row, count in zip(asked, counts, strict=True):
            if count == 0:
                reason = "an exact search found no board that keeps these clues and the rules"
                found[row] = ExactCheck("no solution", reason)
            elif count is not None and count > 1:
                reason = "an exact search found two boards that keep these clues and the rules"
                found[row] = ExactCheck("more than one solution", reason)
        return found

    def keep_clues(self, puzzles: torch.Tensor, predictions: torch.Tensor) -> torch.Tensor:
        return torch.where(puzzles > self.BLANK, puzzles, predictions)

    def without_spare_clues(self, puzzles: np.ndarray) -> np.ndarray:
        open_cells = (puzzles == self.BLANK).sum(1)
        thinned = puzzles.copy()
        for row in np.flatnonzero((open_cells > 0) & (open_cells < self.seq_len // 4)):
            # any order is as good; this one is the same in every run
            for cell in np.random.default_rng(0).permutation(np.flatnonzero(puzzles[row] > self.BLANK)):
                if (thinned[row] == self.BLANK).sum() >= self.seq_len // 2:
                    break
                clue, thinned[row, cell] = thinned[row, cell], self.BLANK
                if self._count_solutions(thinned[row, None]) != [1]:
                    thinned[row, cell] = clue
        return thinned

    def _count_solutions(self, puzzles: np.ndarray) -> list[int | None]:
        """Number of solutions of valid puzzles, 2 for more than one; `None` if undecided after `_MAX_STEPS`."""
        units, peers = self._geometry
        return [self._count_solutions_of(puzzle, units, peers) for puzzle in puzzles.tolist()]

    @cached_property
    def _geometry(self) -> tuple[list[list[int]], list[list[int]]]:
        """The cells of each unit, and those that share one with each cell, as lists for the search."""
        peers: list[set[int]] = [set() for _ in range(self.seq_len)]
        for unit in self.units.tolist():
            for cell in unit:
                peers[cell].update(unit)
        return self.units.tolist(), [sorted(cells - {cell}) for cell, cells in enumerate(peers)]

    def _count_solutions_of(self, puzzle: list[int], units: list[list[int]], peers: list[list[int]]) -> int | None:
        """Depth-first search; the bits of a mask are the possible digits of a cell."""
        full = (1 << self.height) - 1
        masks = [1 << (token - self.BLANK - 1) if token > self.BLANK else full for token in puzzle]
        clues = [cell for cell, token in enumerate(puzzle) if token > self.BLANK]
        boards, solutions, steps = [masks] if self._settle(masks, clues, units, peers) else [], 0, 0
        while boards:
            masks = boards.pop()
            choices = self._choices(masks, units)
            if not choices:
                solutions += 1
                if solutions == 2:
                    break
            for cell, bit in choices:
                steps += 1
                if steps * self.seq_len > _MAX_STEPS:
                    return None
                board = masks.copy()
                board[cell] = bit
                if self._settle(board, [cell], units, peers):
                    boards.append(board)
        return solutions

    @staticmethod
    def _choices(masks: list[int], units: list[list[int]]) -> list[tuple[int, int]]:
        """Cells and bits to try where few choices are left, in a cell or a unit; none if all cells are set."""
        open_cells = [(mask.bit_count(), cell) for cell, mask in enumerate(masks) if mask & (mask - 1)]
        if not open_cells:
            return []
        count, cell = min(open_cells)
        if count > 2:
            for unit in units:
                once = twice = thrice = 0
                for place in unit:
                    mask = masks[place]
                    thrice |= twice & mask
                    twice |= once & mask
                    once |= mask
                if pairs := twice & ~thrice:
                    bit = pairs & -pairs
                    return [(place, bit) for place in unit if masks[place] & bit]
        return [(cell, 1 << digit) for digit in range(masks[cell].bit_length()) if masks[cell] >> digit & 1]

    @staticmethod
    def _settle(masks: list[int], settled: list[int], units: list[list[int]], peers: list[list[int]]) -> bool:
        """Fill in what follows from `settled` cells (naked and hidden singles); returns whether no rule is broken."""
        while True:
            while settled:
                cell = settled.pop()
                bit = masks[cell]
                for peer in peers[cell]:
                    mask = masks[peer]
                    if mask & bit:
                        left = mask ^ bit
                        if left == 0:
                            return False
                        masks[peer] = left
                        if left & (left - 1) == 0:
                            settled.append(peer)
            for unit in units:
                once = twice = 0
                for cell in unit:
                    twice |= once & masks[cell]
                    once |= masks[cell]
                if once.bit_count() < len(unit):
                    return False
                hidden = once & ~twice
                for cell in unit:
                    single = masks[cell] & hidden
                    if single and single != masks[cell]:
                        if single & (single - 1):
                            return False
                        masks[cell] = single
                        settled.append(cell)
                if settled:
                    break
            else:
                return True

    def _broken_units(self, tokens: np.ndarray) -> np.ndarray:
        """Which rows, columns and boxes have a digit twice: bool of shape (boards, 3 * size)."""
        cells = np.sort(tokens.astype(np.int8)[:, self.units], axis=-1)
        return ((cells[..., 1:] == cells[..., :-1]) & (cells[..., 1:] > self.BLANK)).any(-1)

    def _describe_unit(self, tokens: np.ndarray, unit: int) -> str:
        kind, number = divmod(int(unit), self.height)
        first = int(self.units[unit][0])
        top, left = first // self.width + 1, first % self.width + 1
        where = (
            f"row {number + 1}",
            f"column {number + 1}",
            f"the box of rows {top}-{top + self.box_height - 1} and columns {left}-{left + self.box_width - 1}",
        )[kind]
        counts = np.bincount(tokens[self.units[unit]], minlength=self.vocab_size)
        digit = int(np.argmax(counts[self.BLANK + 1 :] > 1)) + self.BLANK + 1
        count = int(counts[digit])
        return f"{where} has {_COUNT_WORDS.get(count, count)} {self.symbols[digit]}s"

    def _reason(
        self,
        puzzle: np.ndarray,
        answer: np.ndarray,
        changed: np.ndarray,
        missing: np.ndarray,
        broken: np.ndarray,
    ) -> str:
        if changed.any():
            index = int(changed.argmax())
            now = "blank" if missing[index] else self.symbols[answer[index]]
            return f"the clue {self.symbols[puzzle[index]]} in {_place(index, self.width)} became {now}"
        if missing.any():
            first = _place(int(missing.argmax()), self.width)
            return f"{first} is blank (blank cells: {int(missing.sum())})"
        return self._describe_unit(answer, int(broken.argmax()))

    def grid(self, tokens: np.ndarray) -> list[list[int]]:
        return np.maximum(tokens - self.BLANK, 0).reshape(self.height, self.width).tolist()

    def draw(self, tokens: np.ndarray, given: np.ndarray | None) -> str:
        cells = [self.symbols[token] for token in tokens]
        if given is not None:
            cells = [
                f"[{cell}]" if clue > self.BLANK else f" {cell} " for cell, clue in zip(cells, given, strict=True)
            ]
        gap = " " if given is None else ""
        lines = []
        for start in range(0, self.seq_len, self.width):
            row = cells[start : start + self.width]
            boxes = [gap.join(row[left : left + self.box_width]) for left in range(0, self.width, self.box_width)]
            lines.append(" | ".join(boxes))
        bar = "-+-".join(["-" * len(boxes[0])] * len(boxes))
        bands = ["\n".join(lines[top : top + self.box_height]) for top in range(0, self.height, self.box_height)]
        return f"\n{bar}\n".join(bands)


class _Maze(_Codec):
    """Mazes with steps up, down, left and right. In the answer, the path cells between S and G are `o`."""

    WALL, FLOOR, START, GOAL, PATH = range(1, 6)
    symbols = "?# SGo"  # indexed by token id; predicted padding is not a cell of a maze
    vocab_size = 6
    legal = "a cell is one of # (wall), space (floor), S (start), G (goal) and, in an answer, o (path)"

    def __init__(self, height: int, width: int):
        super().__init__(height, width)
        self.board = f"a {height}x{width} maze"
        self.table = _lookup_table({symbol: token for token, symbol in enumerate(self.symbols)})

    def line_of(self, board: Any, name: str) -> str:
        if isinstance(board, str):
            # a space is floor, so only line breaks separate rows
            rows = [row for row in re.split(r"[\r\n]+", board) if row]
            if len(rows) > 1:
                self.check_rows(rows, name)
            line = "".join(rows)
            self.check_length(line, name)
            return line
        rows = _as_lists(board)
        self.check_rows(rows, name)
        for index, cell in enumerate(cell for row in rows for cell in row):
            if not isinstance(cell, str) or len(cell) != 1:
                error = ValueError if isinstance(cell, str) else TypeError
                raise error(f"{name}: the cell in {_place(index, self.width)} is {cell!r}; {self.legal}.")
        return "".join(cell for row in rows for cell in row)

    def check_puzzles(self, puzzles: np.ndarray, names: list[str]) -> None:
        for token in (self.START, self.GOAL):
            counts = (puzzles == token).sum(1)
            if (counts != 1).any():
                row = int((counts != 1).argmax())
                raise ValueError(
                    f"{names[row]}: it has {counts[row]} cells {self.symbols[token]}; a maze has exactly one "
                    "S and one G."
                )
        drawn = puzzles == self.PATH
        if drawn.any():
            row, index = np.argwhere(drawn)[0]
            raise ValueError(
                f"{names[row]}: {_place(index, self.width)} is already path (o); give the maze without its answer."
            )

    def check_labels(self, puzzles: np.ndarray, answers: np.ndarray, names: list[str]) -> None:
        changed = self._changed(puzzles, answers)
        if changed.any():
            row, index = np.argwhere(changed)[0]
            raise ValueError(
                f"{names[row]}: {self._describe_change(puzzles[row], answers[row], index)}; an answer is its "
                "maze with floor replaced by o."
            )

    def verdicts(self, puzzles: np.ndarray, answers: np.ndarray, truths: np.ndarray | None) -> list[Verdict]:
        self.refuse_truth(truths)
        self.check_puzzles(puzzles, _names("puzzle", len(puzzles)))
        changed = self._changed(puzzles, answers)
        return [
            Verdict(False, self._describe_change(puzzle, answer, int(changes.argmax())))
            if changes.any()
            else self._judge_path(puzzle, answer)
            for puzzle, answer, changes in zip(puzzles, answers, changed, strict=True)
        ]

    def exact_checks(self, puzzles: np.ndarray) -> list[ExactCheck | None]:
        found: list[ExactCheck | None] = []
        for puzzle in puzzles:
            start, goal = int((puzzle == self.START).argmax()), int((puzzle == self.GOAL).argmax())
            way = self._shortest_way(puzzle != self.WALL, start, goal)
            found.append(ExactCheck("no solution", "this maze has no path from S to G") if way is None else None)
        return found

    def remarks(self, puzzles: np.ndarray) -> list[str | None]:
        text = "this maze has several shortest paths, any of which is right"
        return [text if self._has_several_ways(puzzle) else None for puzzle in puzzles]

    def _has_several_ways(self, puzzle: np.ndarray) -> bool:
        """Whether more than one shortest path leads from S to G."""
        start, goal = int((puzzle == self.START).argmax()), int((puzzle == self.GOAL).argmax())
        passable = (puzzle != self.WALL).tolist()
        ways, front, seen = {start: 1}, [start], {start}
        while front and goal not in seen:
            reached: dict[int, int] = {}
            for cell in front:
                for neighbor in self._beside(cell):
                    if passable[neighbor] and neighbor not in seen:
                        reached[neighbor] = reached.get(neighbor, 0) + ways[cell]
            ways, front = reached, list(reached)
            seen.update(front)
        return ways.get(goal, 0) > 1

    def _beside(self, cell: int) -> list[int]:
        """The cells one step away."""
        column = cell % self.width
        # indices left of the first column and right of the last are in another row
        beside = ([cell - 1] if column else []) + ([cell + 1] if column < self.width - 1 else [])
        return beside + [other for other in (cell - self.width, cell + self.width) if 0 <= other < self.seq_len]

    def keep_clues(self, puzzles: torch.Tensor, predictions: torch.Tensor) -> torch.Tensor:
        is_path = (puzzles == self.FLOOR) & (predictions == self.PATH)
        return torch.where(is_path, self.PATH, puzzles)

    def _changed(self, puzzles: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return (answers != puzzles) & ~((answers == self.PATH) & (puzzles == self.FLOOR))

    def _describe_change(self, puzzle: np.ndarray, answer: np.ndarray, index: int) -> str:
        was, now = self.symbols[puzzle[index]], self.symbols[answer[index]]
        return f"{_place(index, self.width)} was {was!r} and became {now!r}"

    def _judge_path(self, puzzle: np.ndarray, answer: np.ndarray) -> Verdict:
        start, goal = int((puzzle == self.START).argmax()), int((puzzle == self.GOAL).argmax())
        shortest = self._shortest_way(puzzle != self.WALL, start, goal)
        if shortest is None:
            return Verdict(False, "this maze has no path from S to G")
        drawn = (answer == self.PATH) | (answer == self.START) | (answer == self.GOAL)
        way = self._shortest_way(drawn, start, goal)
        if way is None:
            return Verdict(
                False,
                f"the path does not lead from S ({_place(start, self.width)}) to G ({_place(goal, self.width)})",
            )
        drawn[way] = False
        if drawn.any():
            return Verdict(
                False,
                f"{_place(int(drawn.argmax()), self.width)} is a stray path cell (stray cells: {int(drawn.sum())})",
            )
        if len(way) > len(shortest):
            return Verdict(False, f"the path takes {len(way) - 1} steps, the shortest {len(shortest) - 1}")
        return Verdict(True, f"the path leads from S to G in the fewest steps ({len(way) - 1})")

    def _shortest_way(self, passable: np.ndarray, start: int, goal: int) -> list[int] | None:
        """Cells from start to goal, both included, by breadth-first search; None if there is no path."""
        unvisited = set(np.flatnonzero(passable).tolist()) - {start}
        previous = {start: start}
        queue = deque([start])
        while queue:
            cell = queue.popleft()
            if cell == goal:
                way = [cell]
                while way[-1] != start:
                    way.append(previous[way[-1]])
                return way[::-1]
            for neighbor in self._beside(cell):
                if neighbor in unvisited:
                    unvisited.remove(neighbor)
                    previous[neighbor] = cell
                    queue.append(neighbor)
        return None

    def grid(self, tokens: np.ndarray) -> list[list[str]]:
        return [list(row) for row in self._rows(tokens)]

    def draw(self, tokens: np.ndarray, given: np.ndarray | None) -> str:
        return "\n".join(self._rows(tokens))

    def _rows(self, tokens: np.ndarray) -> list[str]:
        line = self.line(tokens)
        return [line[start : start + self.width] for start in range(0, self.seq_len, self.width)]


def arc_canvas_side(
    demonstrations: Sequence[tuple[tuple[int, int], tuple[int, int]]],
    inputs: Sequence[tuple[int, int]],
    sides: Sequence[int],
) -> int:
    """The smallest square canvas for the known grids of an ARC task, with one spare row and column.

    If a demonstration has an output larger than its input, outputs of test pairs are expected to be larger by the same
    factor. The outputs of test pairs themselves are never used.

    Args:
        demonstrations: shapes (rows, columns) of input and output of each.
        inputs: shapes of the test inputs.
        sides: of the canvases, ascending.

    Raises:
        ValueError: if no canvas is large enough.
    """
    known = [*inputs, *(shape for pair in demonstrations for shape in pair)]
    largest = max(max(shape) for shape in known)
    ratios = [after / before for pair in demonstrations for before, after in zip(*pair, strict=True)]
    if inputs and max(ratios, default=0) > 1:
        expected = round(max(ratios) * max(max(shape) for shape in inputs))
        largest = max(largest, min(30, expected))  # no ARC grid is larger
    fitting = [side for side in sides if side > largest]
    if not fitting:
        raise ValueError(
            f"The task needs a canvas of {largest + 1} cells per side, but the largest of this model has "
            f"{max(sides)}; give smaller grids, or a model for larger ones."
        )
    return min(fitting)


class _Arc(_Codec):
    """ARC grids of colors 0 .. 9 in the top left corner of a canvas.

    With `sides` the canvas is as large as needed for the boards that are encoded together, without a border: padding
    tells where a grid ends.
    """

    END_OF_GRID = 1
    FIRST_COLOR = 2
    vocab_size = 12
    has_rules = False
    rows_may_be_text = False  # a string is JSON
    legal = "a cell is a color, an integer 0-9"

    def __init__(self, height: int, width: int, sides: Sequence[int] | None = None):
        super().__init__(height, width)
        self.sides = sides
        if sides is not None:
            height, width = height - 1, width - 1
        self.board = f"an ARC grid of at most {height}x{width}"

    def split(self, boards: Any, kind: str) -> list:
        if isinstance(boards, str):
            boards = self._load(boards, f"The {kind}")
        return super().split(boards, kind)

    @staticmethod
    def _load(text: str, name: str) -> Any:
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{name}: {text[:40]!r} is not JSON ({error}); give a grid as a list of rows, a pair or a task."
            ) from error

    def expand(self, item: Any, kind: str) -> list:
        """A grid itself, or the input (for an answer: output) of a pair or of each test pair of a task."""
        if isinstance(item, str):
            item = self._load(item, f"The {kind}")
        if not isinstance(item, Mapping):
            return [item]
        pairs = item["test"] if "test" in item else [item]
        side = "output" if kind == "answer" else "input"
        if not _is_list(pairs) or len(pairs) == 0:
            raise ValueError(f'The {kind} is a task whose "test" is {pairs!r}; give a list of at least one pair.')
        for pair in pairs:
            if not isinstance(pair, Mapping) or side not in pair:
                raise ValueError(
                    f'The {kind} has the keys {list(item)} and no "{side}"; give a pair '
                    '{"input": grid, "output": grid}, or a task with such pairs under "test".'
                )
        return [pair[side] for pair in pairs]

    def side_for(self, item: Any) -> int:
        """Side of the canvas of a given item: a grid, a pair or a task."""
        if isinstance(item, str):
            item = self._load(item, "The puzzle")
        shapes = [np.shape(_as_lists(board)) for board in self.expand(item, "puzzle")]
        demonstrations = item.get("train", []) if isinstance(item, Mapping) else []
        pairs = [tuple(np.shape(_as_lists(pair[side])) for side in ("input", "output")) for pair in demonstrations]
        return arc_canvas_side(pairs, shapes, self.sides)

    def encode(self, boards: list, names: list[str], draft: bool = False, side: int | None = None) -> np.ndarray:
        if self.sides is not None and side is None:
            side = max(self.sides)
        shape = (self.height, self.width) if side is None else (side, side)
        canvases = np.full((len(boards), *shape), PAD_TOKEN, dtype=np.int64)
        for canvas, board, name in zip(canvases, boards, names, strict=True):
            rows = _as_lists(board)
            if draft and _is_list(rows) and len(rows) == 0:
                continue  # a prediction without a grid
            self._check_grid(rows, name)
            height, width = len(rows), len(rows[0])
            canvas[:height, :width] = np.asarray(rows) + self.FIRST_COLOR
            if side is not None:
                if max(height, width) >= side:
                    raise ValueError(
                        f"{name}: the grid is {height}x{width}; its canvas has room for {side - 1}x{side - 1}."
                    )
                continue
            # build_arc_dataset.py: the border is drawn if the canvas has room for it
            if height < self.height:
                canvas[height, :width] = self.END_OF_GRID
            if width < self.width:
                canvas[:height, width] = self.END_OF_GRID
        return canvases.reshape(len(boards), -1)

    def _check_grid(self, rows: Any, name: str) -> None:
        if not _is_list(rows) or not all(_is_list(row) for row in rows):
            raise TypeError(
                f"{name}: {str(rows)[:40]!r} is not a grid; give a list of rows, and rows as lists of colors."
            )
        if len(rows) == 0 or len(rows[0]) == 0:
            raise ValueError(f"{name}: the grid is empty; give at least one row with one cell.")
        for number, row in enumerate(rows, start=1):
            if len(row) != len(rows[0]):
                raise ValueError(
                    f"{name}: row {number} has {len(row)} cells and row 1 has {len(rows[0])}; all rows must be "
                    "equally long."
                )
            for column, cell in enumerate(row, start=1):
                if not _is_int(cell) or not 0 <= cell <= 9:
                    error = ValueError if _is_int(cell) else TypeError
                    raise error(f"{name}: the cell in row {number}, column {column} is {cell!r}; {self.legal}.")
        if len(rows) > self.height or len(rows[0]) > self.width:
            raise ValueError(
                f"{name}: the grid is {len(rows)}x{len(rows[0])}; the canvas has room for at most "
                f"{self.height}x{self.width}."
            )

    def verdicts(self, puzzles: np.ndarray, answers: np.ndarray, truths: np.ndarray | None) -> list[Verdict]:
        if truths is None:
            raise ValueError("ARC has no rules to check an answer; give the expected grid as truth.")
        return [
            self._judge(self.crop(answer), self.crop(truth)) for answer, truth in zip(answers, truths, strict=True)
        ]

    @staticmethod
    def _judge(answer: np.ndarray, truth: np.ndarray) -> Verdict:
        if answer.size == 0:
            return Verdict(False, "the prediction has no grid")
        if answer.shape != truth.shape:
            size, expected = "x".join(map(str, answer.shape)), "x".join(map(str, truth.shape))
            return Verdict(False, f"the grid is {size}, expected {expected}")
        wrong = answer != truth
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            return Verdict(
                False,
                f"row {row + 1}, column {column + 1} is {answer[row, column]}, expected {truth[row, column]} "
                f"(wrong cells: {int(wrong.sum())})",
            )
        return Verdict(True, "the grid equals the expected one")

    def crop(self, tokens: np.ndarray) -> np.ndarray:
        """The largest rectangle from the top left corner that has only colors, as colors 0 .. 9.

        The rule of the original's evaluation (arc_eval.ipynb): of equally large ones, the one with the fewest rows.
        Shape (rows, columns), or (0, 0) if the corner itself is not a color.
        """
        shape = (self.height, self.width) if self.sides is None else (math.isqrt(tokens.size),) * 2
        canvas = tokens.reshape(shape)
        colored = canvas >= self.FIRST_COLOR
        widths = np.minimum.accumulate(np.cumprod(colored, axis=1).sum(axis=1))
        areas = widths * np.arange(1, len(canvas) + 1)
        best = int(areas.argmax())
        height, width = (best + 1, int(widths[best])) if areas[best] else (0, 0)
        return canvas[:height, :width] - self.FIRST_COLOR

    def grid(self, tokens: np.ndarray) -> list[list[int]]:
        return self.crop(tokens).tolist()

    def line(self, tokens: np.ndarray) -> str:
        return json.dumps(self.grid(tokens), separators=(",", ":"))

    def draw(self, tokens: np.ndarray, given: np.ndarray | None) -> str:
        return "\n".join(" ".join(map(str, row)) for row in self.grid(tokens)) or "(no grid)"


class _Grid(_Codec):
    """Grids of any kind: symbols of an alphabet in, symbols of the same alphabet out, and no rules.

    Smaller boards are in the top left corner, with padding at the right and below.
    """

    has_rules = False

    def __init__(self, height: int, width: int, symbols: list[str], answer_mask: str | None, smaller_boards: bool):
        super().__init__(height, width)
        self.alphabet, self.smaller_boards = symbols, smaller_boards
        self.vocab_size = len(symbols) + 1
        self.by_words = any(len(symbol) > 1 for symbol in symbols)
        # indexed by token id; predicted padding is not a cell
        self.symbols = [next(mark for mark in ("?", "\ufffd", "") if mark not in symbols), *symbols]
        self.tokens = {symbol: token for token, symbol in enumerate(symbols, start=1)}
        self.ignored = "".join({" ", "\t", ",", ";"} - set(symbols))
        self.row_break = "\n" if "/" in symbols else "/"
        self.board = f"a grid of {'at most ' if smaller_boards else ''}{height}x{width}"
        shown = " ".join(symbols[:40]) + (" ..." if len(symbols) > 40 else "")
        self.legal = f"a cell is one of {shown}"
        if answer_mask is not None:
            self.asked = np.frombuffer(answer_mask.encode(), dtype=np.uint8) == ord("1")

    def split(self, boards: Any, kind: str) -> list:
        boards = _as_array(boards)
        if isinstance(boards, np.ndarray) and boards.ndim > 0:
            if self.height == 1 and boards.ndim == 1 and boards.dtype.kind not in "USO":
                return [boards]
            if self.height == 1 and boards.ndim == 2:
                return self._not_empty(list(boards), kind)
            if boards.dtype.kind not in "USO":
                return super().split(boards, kind)
        boards = _as_lists(boards)
        if _is_list(boards) and len(boards) > 0:
            boards = [_as_lists(part) for part in boards]
            is_flat = not any(_is_list(part) or isinstance(part, Mapping) for part in boards)
            if is_flat and self.seq_len > 1:
                texts = [part for part in boards if isinstance(part, str)]
                # a symbol is not a board if boards have more cells, so these are the cells of one board
                if not texts or (not self.smaller_boards and all(part in self.tokens for part in texts)):
                    return [boards]
            cells = [cell for row in boards if _is_list(row) for cell in row]
            if not any(_is_list(cell) for cell in cells):
                if self.height == 1 and not is_flat:
                    return list(boards)
                if cells and all(cell in self.tokens for cell in cells if isinstance(cell, str)):
                    return [boards]
        return super().split(boards, kind)

    def encode(self, boards: list, names: list[str], draft: bool = False) -> np.ndarray:
        canvases = np.full((len(boards), self.height, self.width), PAD_TOKEN, dtype=np.int64)
        for canvas, board, name in zip(canvases, boards, names, strict=True):
            rows = self._rows_of(board, name)
            for number, row in enumerate(rows):
                for column, cell in enumerate(row):
                    token = PAD_TOKEN if draft and cell == self.symbols[PAD_TOKEN] else self.tokens.get(cell)
                    if token is None:
                        shown = "is empty" if cell == "" else f"is {cell!r}"
                        raise ValueError(
                            f"{name}: the cell in row {number + 1}, column {column + 1} {shown}; {self.legal}."
                        )
                    canvas[number, column] = token
        return canvases.reshape(len(boards), -1)

    def _rows_of(self, board: Any, name: str) -> list[list[str]]:
        if isinstance(board, str) and board.lstrip().startswith("[") and "[" not in self.tokens:
            try:
                board = json.loads(board)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"{name}: {board[:40]!r} is not JSON ({error}); give a list of rows, or one row per line."
                ) from error
        rows = grid_cells(board, name, self.by_words, self.ignored, slashes="/" not in self.tokens)
        if len(rows) == 1 and self.height > 1 and len(rows[0]) == self.seq_len:
            rows = [rows[0][start : start + self.width] for start in range(0, self.seq_len, self.width)]
        if not self.smaller_boards:
            if self.height == 1 and len(rows) == 1:
                self.check_length(rows[0], name)
            self.check_rows(rows, name)
        widths = [len(row) for row in rows]
        if len(rows) > self.height or max(widths, default=0) > self.width:
            raise ValueError(f"{name}: it has {len(rows)}x{max(widths)} cells; the model takes {self.board}.")
        if not rows or 0 in widths or len(set(widths)) > 1:
            raise ValueError(f"{name}: its rows have {widths} cells; all must have the same number, at least one.")
        return rows

    def check_labels(self, puzzles: np.ndarray, answers: np.ndarray, names: list[str]) -> None:
        differs = ((puzzles == PAD_TOKEN) != (answers == PAD_TOKEN)).any(1)
        if differs.any():
            row = int(differs.argmax())
            shapes = ["{}x{}".format(*self._shape(tokens)) for tokens in (answers[row], puzzles[row])]
            raise ValueError(
                f"{names[row]}: it has {shapes[0]} cells, but its puzzle {shapes[1]}; both must be equal."
            )

    def verdicts(self, puzzles: np.ndarray, answers: np.ndarray, truths: np.ndarray | None) -> list[Verdict]:
        if truths is None:
            raise ValueError("Grids have no rules to check an answer; give the expected one as truth.")
        counted = truths != PAD_TOKEN if self.asked is None else (truths != PAD_TOKEN) & self.asked
        return [self._judge(*parts) for parts in zip(answers, truths, counted & (answers != truths), strict=True)]

    def _judge(self, answer: np.ndarray, truth: np.ndarray, wrong: np.ndarray) -> Verdict:
        if not wrong.any():
            return Verdict(True, "every cell equals the expected one")
        index = int(wrong.argmax())
        return Verdict(
            False,
            f"{_place(index, self.width)} is {self.symbols[answer[index]]}, expected {self.symbols[truth[index]]} "
            f"(wrong cells: {int(wrong.sum())})",
        )

    def keep_clues(self, puzzles: torch.Tensor, predictions: torch.Tensor) -> torch.Tensor:
        kept = torch.where(puzzles == PAD_TOKEN, PAD_TOKEN, predictions)
        if self.asked is None:
            return kept
        return torch.where(torch.from_numpy(self.asked).to(kept.device), kept, puzzles)

    def _shape(self, tokens: np.ndarray) -> tuple[int, int]:
        """Rows and columns of the board without the padding around it."""
        if not self.smaller_boards:
            return self.height, self.width
        rows, columns = np.nonzero(tokens.reshape(self.height, self.width))
        return int(rows.max(initial=0)) + 1, int(columns.max(initial=0)) + 1

    def grid(self, tokens: np.ndarray) -> list[list[str]]:
        height, width = self._shape(tokens)
        cells = tokens.reshape(self.height, self.width)[:height, :width]
        return [[self.symbols[token] for token in row] for row in cells.tolist()]

    def line(self, tokens: np.ndarray) -> str:
        between = " " if self.by_words else ""
        return self.row_break.join(between.join(row) for row in self.grid(tokens))

    def draw(self, tokens: np.ndarray, given: np.ndarray | None) -> str:
        if self.height == 1:
            return self.line(tokens)
        width = max(map(len, self.symbols))
        between = "" if " " in self.tokens else " "
        return "\n".join(between.join(cell.rjust(width) for cell in row) for row in self.grid(tokens))


# --- processor ----------------------------------------------------------------------------------------------


class HRMGridProcessor(ProcessorMixin):
    r"""
    Turns puzzles in common notations into the input of [`HRMForGridTask`], and predictions back into boards.

    `for_sudoku`, `for_maze` and `for_arc` make one with the sizes of the published models, `for_grid` one for your own
    puzzles; a checkpoint has its own: `AutoProcessor.from_pretrained(folder, trust_remote_code=True)`.

    Args:
        task (`str`): `"sudoku"`, `"maze"`, `"arc"` or `"grid"`.
        height (`int`), width (`int`):
            Rows and columns of a board; for `"arc"` of the canvas for grids. Sudoku: both 4, 6, 9 or 16.
        box_height (`int`, *optional*), box_width (`int`, *optional*):
            Rows and columns of a Sudoku box, both or neither; 2x2, 2x3, 3x3, 4x4 by default.
        puzzle_identifiers (`dict[str, int]`, *optional*):
            Names of the puzzles that the model has an embedding for, with their identifiers, from 1 on. 0 is
            the blank identifier, "no particular puzzle"; it may be named `"<blank>"`.
        notation (`str`, *optional*):
            Digits of a 16x16 Sudoku for reading and writing: `"1-G"`, `"0-F"` or `"A-P"`. By default it is inferred
            from the symbols of a puzzle, and `"1-G"` is written.
        canvas_sides (`list[int]`, *optional*):
            ARC: sides of the square canvases of a model for boards of several sizes, ascending; the largest is
            `height` and `width`. Then `__call__` also returns the conditions of the model: symmetry 0, original
            colors.
        token_roles (`bool`, defaults to `False`):
            ARC on canvases: whether the model is told the original color of each color.
        told_views (`bool`, defaults to `True`):
            ARC on canvases: whether the model is told the symmetry of a copy and whether its colors are the original
            ones. If not, both conditions are always 0.
        shown_answers (`bool`, defaults to `False`):
            ARC on canvases: whether cells of the answer can be shown to the model. A token then stands for the cell
            of the question and, if it is shown, for that of the answer, so there are 13 times as many.
        symbols (`list[str]`, *optional*):
            Grid: what a cell can be, in the order of the token ids from 1 on; characters or words, at most 255.
        answer_mask (`str`, *optional*):
            Grid: a `1` for each cell to be filled in and a `0` for the others, row by row. The others are read, have
            no labels, and are copied from the question to an answer. By default all are to be filled in.
        smaller_boards (`bool`, defaults to `False`):
            Grid: whether boards may have fewer rows and columns than `height` and `width`.
        kind (`str`, *optional*):
            Kind of these puzzles in the package `hrm_hf`, if it is not `task`: a plugin has its rules and symmetries.

    Raises:
        ValueError, TypeError: if a value is not allowed; the message says what is.
    """

    def __init__(
        self,
        task: str,
        height: int,
        width: int,
        box_height: int | None = None,
        box_width: int | None = None,
        puzzle_identifiers: dict[str, int] | None = None,
        notation: str | None = None,
        canvas_sides: list[int] | None = None,
        token_roles: bool = False,
        told_views: bool = True,
        shown_answers: bool = False,
        symbols: list[str] | None = None,
        answer_mask: str | None = None,
        smaller_boards: bool = False,
        kind: str | None = None,
    ):
        super().__init__()
        for name, value in (("height", height), ("width", width)):
            if not _is_int(value) or value < 1:
                raise ValueError(
                    f"HRMGridProcessor: {name}={value!r} is not allowed; it must be an integer of at least 1."
                )
        if notation is not None and ((task, height) != ("sudoku", 16) or notation not in SUDOKU_NOTATIONS):
            raise ValueError(
                f"HRMGridProcessor: notation={notation!r} is not allowed for task={task!r} and height={height}; it is "
                f"only for 16x16 Sudoku, one of {', '.join(SUDOKU_NOTATIONS)}."
            )
        if task == "sudoku":
            box_height, box_width = _sudoku_boxes(height, width, box_height, box_width)
            self._codec = _Sudoku(height, box_height, box_width, notation)
        elif task in ("maze", "arc", "grid"):
            if (box_height, box_width) != (None, None):
                raise ValueError(
                    f"HRMGridProcessor: box_height={box_height!r} and box_width={box_width!r} were given for "
                    f"task={task!r}; only a Sudoku has boxes, so leave them out."
                )
            if task == "grid":
                _check_grid_options(height, width, symbols, answer_mask)
                symbols = [str(symbol) for symbol in symbols]
                self._codec = _Grid(height, width, symbols, answer_mask, bool(smaller_boards))
            else:
                self._codec = _Maze(height, width) if task == "maze" else _Arc(height, width, canvas_sides)
        else:
            raise ValueError(
                f"HRMGridProcessor: task={task!r} is not allowed; it must be 'sudoku', 'maze', 'arc' or 'grid'."
            )
        if task != "grid" and not all(value in (None, False) for value in (symbols, answer_mask, smaller_boards)):
            raise ValueError(
                f"HRMGridProcessor: symbols, answer_mask and smaller_boards are for task='grid', not for {task!r}; "
                "leave them out."
            )
        self.task, self.kind = task, kind
        # plain integers, because numpy integers cannot be saved as JSON
        self.height, self.width = int(height), int(width)
        self.box_height, self.box_width = box_height, box_width
        self.notation = notation
        if canvas_sides is not None and (
            task != "arc"
            or not _is_list(canvas_sides)
            or not all(_is_int(side) and side > 1 for side in canvas_sides)
            or list(canvas_sides) != sorted(set(canvas_sides))
            or (height, width) != (canvas_sides[-1],) * 2
        ):
            raise ValueError(
                f"HRMGridProcessor: canvas_sides={canvas_sides!r} is not allowed; it is for task='arc' and must be a "
                f"list of sides in ascending order, with height={height} and width={width} as the last."
            )
        self.canvas_sides = None if canvas_sides is None else [int(side) for side in canvas_sides]
        if canvas_sides is None and (shown_answers or not told_views):
            raise ValueError("HRMGridProcessor: told_views and shown_answers are for canvas_sides; leave them out.")
        if token_roles and shown_answers:
            raise ValueError("HRMGridProcessor: token_roles and shown_answers exclude each other; leave one out.")
        self.token_roles, self.told_views, self.shown_answers = (
            bool(token_roles),
            bool(told_views),
            bool(shown_answers),
        )
        self.symbols, self.answer_mask, self.smaller_boards = symbols, answer_mask, bool(smaller_boards)
        self.puzzle_identifiers = _checked_identifiers(puzzle_identifiers)
        self._num_puzzle_identifiers = max((self.puzzle_identifiers or {}).values(), default=0) + 1

    @classmethod
    def for_sudoku(cls, size: int = 9) -> "HRMGridProcessor":
        """Processor for Sudoku with `size` digits: 4, 6, 9 or 16. Raises ValueError for other sizes."""
        return cls("sudoku", size, size)

    @classmethod
    def for_maze(cls, height: int = 30, width: int = 30) -> "HRMGridProcessor":
        """Processor for mazes of one size; Maze-Hard has 30x30."""
        return cls("maze", height, width)

    @classmethod
    def for_arc(
        cls,
        puzzle_identifiers: dict[str, int] | None = None,
        canvas_sides: list[int] | None = None,
        token_roles: bool = False,
        told_views: bool = True,
        shown_answers: bool = False,
    ) -> "HRMGridProcessor":
        """Processor for ARC grids up to 30x30; arguments as in the class."""
        side, options = 30, {}
        if canvas_sides is not None:
            side = max(canvas_sides)
            options = {
                "canvas_sides": canvas_sides,
                "token_roles": token_roles,
                "told_views": told_views,
                "shown_answers": shown_answers,
            }
        return cls("arc", side, side, puzzle_identifiers=puzzle_identifiers, **options)

    @classmethod
    def for_grid(
        cls,
        height: int,
        width: int,
        symbols: Sequence[str],
        answer_mask: str | None = None,
        smaller_boards: bool = False,
        kind: str | None = None,
    ) -> "HRMGridProcessor":
        """Processor for your own puzzles, from a grid to a grid of the same shape; arguments as in the class."""
        return cls(
            "grid",
            height,
            width,
            symbols=list(symbols),
            answer_mask=answer_mask,
            smaller_boards=smaller_boards,
            kind=kind,
        )

    def in_notation(self, notation: str) -> "HRMGridProcessor":
        """A processor for the same 16x16 Sudoku that reads and writes another notation; see the class."""
        return type(self)(
            self.task,
            self.height,
            self.width,
            self.box_height,
            self.box_width,
            puzzle_identifiers=self.puzzle_identifiers,
            notation=notation,
        )

    @property
    def vocab_size(self) -> int:
        """Number of token ids: `vocab_size` of the model."""
        cells = self._codec.vocab_size
        return cells * (cells + 1) if self.shown_answers else cells

    @property
    def seq_len(self) -> int:
        """Tokens of a board: `max_position_embeddings` of the model."""
        return self._codec.seq_len

    @property
    def pad_token_id(self) -> int:
        """Token id of padding."""
        return PAD_TOKEN

    @property
    def has_rules(self) -> bool:
        """Whether rules tell if an answer is right. ARC and other grids only have the expected answer."""
        return self._codec.has_rules

    @property
    def num_puzzle_identifiers(self) -> int:
        """Number of identifiers with the blank one: `num_puzzle_identifiers` of the model."""
        return self._num_puzzle_identifiers

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors that `__call__` returns."""
        of_canvases = [] if self.canvas_sides is None else ["conditions", *(["token_roles"] * self.token_roles)]
        return ["input_ids", "puzzle_identifiers", "labels", *of_canvases]

    def __call__(
        self,
        puzzles: Any,
        answers: Any = None,
        identifiers: str | int | Sequence[str | int] | np.ndarray | torch.Tensor | None = None,
        return_tensors: str | None = "pt",
        check_rules: bool = True,
    ) -> BatchFeature:
        """
        Token ids of one puzzle or of a list of puzzles.

        Forms of a puzzle:

        - Sudoku: a string of digits with `.`, `0`, `_`, `-` or `*` for a blank cell. Whitespace, `|`, `+`, `=` and
          box drawing are separators, and so are `-` and `*` if that gives a full board, so a printed board can be
          given unchanged; if the cells are on several lines, these must be the rows. Or a list of rows (integers,
          `None`, `""` or one character per cell; a row may be a string), or a 2-D array or tensor of integers with 0
          for blank. 16x16: `1`-`9`, then `A`-`G`, in either case; or the digits `0`-`F` or `A`-`P`, if the symbols of
          the board tell so.
        - Maze: a string of the characters `# SGo`, with or without line breaks. Only spaces are floor. Or a list of
          rows, each a string or a list of characters, or a 2-D array of characters.
        - ARC: a list of rows of integers 0-9, a 2-D array or tensor, a pair `{"input": grid, ...}`, a task
          `{"train": [...], "test": [...]}`, which stands for the inputs of all its test pairs, or a JSON
          string of these.
        - Grid: a text with one row per line, or on one line with `/` between rows. Cells are characters, or words
          separated by whitespace or commas if a symbol has more than one character. Or a list of cells, a list of
          rows, a 2-D array or tensor, or JSON of these.

        One puzzle or several? A string or a dictionary is one; a 2-D array is one, a 3-D array several. A
        list of strings is several, except if it has `height` strings of `width` characters each: then these
        are the rows of one (for ARC, where strings are JSON, it is always several). Any other list is one
        board if its first element is a row of cells (integers, `None` or strings of at most one character),
        otherwise several.

        Args:
            puzzles: one puzzle or several.
            answers (*optional*): the same number of answers, in the same forms. From an ARC pair or task the
                outputs are used, so that `processor(task, answers=task)` makes labeled examples.
            identifiers (*optional*): name or number of the puzzle for ARC, one for all or one for each given
                puzzle. Only optional for a processor without `puzzle_identifiers`: all are 0, the blank one.
            return_tensors (`str`, *optional*, defaults to `"pt"`): `"pt"`, `"np"`, or `None` for lists.
            check_rules (`bool`, defaults to `True`): refuse a puzzle that contradicts itself and an answer
                that does not belong to its puzzle. (The form is always checked; whether a maze path is the
                shortest never.)

        Returns:
            [`BatchFeature`] of int64: `input_ids` `(puzzles, seq_len)`, `puzzle_identifiers` `(puzzles,)`
            and, with answers, `labels` `(puzzles, seq_len)`, where padding is -100.

        Raises:
            ValueError, TypeError: one sentence that names the first bad puzzle, the place in it and what is
            expected.
        """
        if return_tensors not in ("pt", "np", None):
            raise ValueError(f"return_tensors={return_tensors!r} is not allowed; it must be 'pt', 'np' or None.")
        boards, boards_per_item = self._boards(puzzles, "puzzle")
        names = _names("puzzle", len(boards))
        # boards that are given together have the same canvas
        canvas = {}
        if self.canvas_sides is not None:
            canvas["side"] = max(self._codec.side_for(item) for item in self._codec.split(puzzles, "puzzle"))
        input_ids = self._codec.encode(boards, names, **canvas)
        if check_rules:
            self._codec.check_puzzles(input_ids, names)
        item_identifiers = self._identifier_numbers(identifiers, len(boards_per_item))
        data = {"input_ids": input_ids, "puzzle_identifiers": np.repeat(item_identifiers, boards_per_item)}
        if self.canvas_sides is not None:
            data |= self._conditions(len(boards))

        if answers is not None:
            boards, _ = self._boards(answers, "answer")
            if len(boards) != len(input_ids):
                raise ValueError(
                    f"There are {len(boards)} answers for {len(input_ids)} puzzles; give one answer per puzzle."
                )
            names = _names("answer", len(boards))
            labels = self._codec.encode(boards, names, **canvas)
            if check_rules:
                self._codec.check_labels(input_ids, labels, names)
            # on canvases padding is also predicted: it tells where the grid ends
            data["labels"] = np.where(labels == PAD_TOKEN, IGNORE_INDEX, labels) if not canvas else labels
            if self._codec.asked is not None:
                data["labels"] = np.where(self._codec.asked, data["labels"], IGNORE_INDEX)

        if return_tensors is None:
            data = {name: array.tolist() for name, array in data.items()}
        return BatchFeature(data, tensor_type=return_tensors)

    def _conditions(self, count: int) -> dict[str, np.ndarray]:
        """The conditions of original boards for a model on canvases: no symmetry, and each color in its own role."""
        conditions = {"conditions": np.tile(np.array([0, int(self.told_views)]), (count, 1))}
        if self.token_roles:
            roles = np.arange(self.vocab_size) - _Arc.FIRST_COLOR
            conditions["token_roles"] = np.tile(np.maximum(roles, -1), (count, 1))
        return conditions

    def decode(self, token_ids: Sequence[int] | np.ndarray | torch.Tensor, format: str = "line") -> str | list[list]:
        """
        Board of one sequence of token ids, `(seq_len,)`; -100 counts as padding.

        Args:
            token_ids: integers, for instance one row of the predictions or of the labels.
            format (`str`, defaults to `"line"`): `"line"` is a string that can be used as a puzzle again
                (JSON for ARC), `"grid"` a list of rows (Sudoku: integers, 0 for open cells; maze: characters;
                ARC: colors; grid: symbols), `"pretty"` a drawing.

        Returns:
            The board. If a prediction does not fill a cell, Sudoku has `.` (0 in a grid) and a maze `?`. An ARC grid
            is cropped at its end of grid, and is empty (`[]`) if the prediction has none.

        Raises:
            ValueError, TypeError: for a wrong length, a token id outside the vocabulary or an unknown format.
        """
        return self.batch_decode(self._tokens(token_ids, "token_ids", ndim=1), format)[0]

    def batch_decode(self, token_ids: Any, format: str = "line") -> list:
        """Boards of token ids of shape `(boards, seq_len)`; see `decode`."""
        if format not in ("line", "grid", "pretty"):
            raise ValueError(f"format={format!r} is not allowed; it must be 'line', 'grid' or 'pretty'.")
        tokens = self._tokens(token_ids, "token_ids", ndim=2)
        if format == "grid":
            return [self._codec.grid(row) for row in tokens]
        if format == "line":
            return [self._codec.line(row) for row in tokens]
        return [self._codec.draw(row, None) for row in tokens]

    def pretty(self, board: Any, given: Any = None) -> str:
        """
        Drawing of a board of several lines, with the boxes of a Sudoku.

        Args:
            board: a puzzle or an answer in any form that the processor accepts, or from `decode`.
            given (*optional*): the puzzle; then the clues of a Sudoku are in brackets. For other tasks the drawing
                itself shows what is new in an answer.

        Raises:
            ValueError, TypeError: as in `__call__`, except for the rules.
        """
        given_tokens = None if given is None else self._one_board(given, "puzzle")[0]
        return self._codec.draw(self._one_board(board, "answer", draft=True)[0], given_tokens)

    def check(self, puzzle: Any, answer: Any, truth: Any = None) -> Verdict:
        """
        Check one answer.

        Sudoku: keeps every clue, is complete, has each digit once in each row, column and box. Maze: only changes
        floor to path, and the path leads from S to G, without stray cells and in the fewest steps. ARC and grid:
        equals `truth`.

        Args:
            puzzle, answer: in any form that the processor accepts; `answer` also from `decode`.
            truth (*optional*): the expected grid, only if there are no rules (`has_rules`).

        Raises:
            ValueError, TypeError: if a board cannot be read, or `truth` is missing or not expected.
        """
        expected = None if truth is None else self._one_board(truth, "answer")
        tokens = self._one_board(puzzle, "puzzle")
        return self._codec.verdicts(tokens, self._one_board(answer, "answer", draft=True), expected)[0]

    def check_batch(self, input_ids: Any, predictions: Any, truth: Any = None) -> list[Verdict]:
        """
        Check predictions like `check`, from token ids.

        Args:
            input_ids, predictions: token ids of shape `(puzzles, seq_len)`.
            truth (*optional*): labels of the same shape, only if there are no rules.

        Raises:
            ValueError, TypeError: if the shapes differ or a token id is outside the vocabulary.
        """
        puzzles = self._tokens(input_ids, "input_ids", ndim=2)
        arrays = {"predictions": self._tokens(predictions, "predictions", ndim=2), "truth": None}
        if truth is not None:
            arrays["truth"] = self._tokens(truth, "truth", ndim=2)
        for name, tokens in arrays.items():
            if tokens is not None and len(tokens) != len(puzzles):
                raise ValueError(
                    f"{name} has {len(tokens)} rows, but input_ids has {len(puzzles)}; they must be equal."
                )
        return self._codec.verdicts(puzzles, arrays["predictions"], arrays["truth"])

    def exact_checks(self, input_ids: Any) -> list[ExactCheck | None]:
        """
        Outcomes of puzzles from exact search, before running a model.

        A maze without a path from S to G has no solution, and neither does a Sudoku whose clues contradict each other
        or allow no board. A Sudoku that allows several boards has more than one solution; one without blank cells that
        breaks no rule is solved.

        Args:
            input_ids: token ids of shape `(puzzles, seq_len)`.

        Returns:
            One per puzzle; `None` if it is for a model, as ARC always is. This includes Sudokus that a search of a few
            seconds does not decide, such as some of 16x16.

        Raises:
            ValueError, TypeError: for a wrong shape or a token id outside the vocabulary.
        """
        return self._codec.exact_checks(self._tokens(input_ids, "input_ids", ndim=2))

    def remarks(self, input_ids: Any) -> list[str | None]:
        """
        Remarks from exact search about puzzles for a model: that a maze has several shortest paths, any of which is
        right. `None` for all others.

        Args:
            input_ids: token ids of shape `(puzzles, seq_len)`.

        Raises:
            ValueError, TypeError: for a wrong shape or a token id outside the vocabulary.
        """
        return self._codec.remarks(self._tokens(input_ids, "input_ids", ndim=2))

    def without_spare_clues(self, input_ids: torch.LongTensor) -> torch.LongTensor:
        """
        Puzzles for a model instead of nearly full ones, which it was not trained on.

        If less than a quarter of the cells of a Sudoku are open, clues are removed while it has a single solution,
        until half of the cells are open. The solution stays that of the puzzle itself. Other Sudokus, mazes and ARC do
        not change.

        Args:
            input_ids: token ids of shape `(puzzles, seq_len)`, each a puzzle with one solution.
        """
        tokens = self._codec.without_spare_clues(self._tokens(input_ids, "input_ids", ndim=2))
        return torch.from_numpy(tokens).to(input_ids.device)

    def keep_clues(self, input_ids: torch.LongTensor, predictions: torch.LongTensor) -> torch.LongTensor:
        """
        Predictions as answers, which never change a clue: the given digits of a Sudoku, the walls, S and G of a maze,
        and the cells of a grid that are not to be filled in are restored. ARC has no clues.

        Args:
            input_ids, predictions: token ids of shapes that broadcast to each other, on one device.
        """
        return self._codec.keep_clues(input_ids, predictions)

    def _boards(self, boards: Any, kind: str) -> tuple[list, list[int]]:
        """Single boards, and the number of boards of each given item."""
        expanded = [self._codec.expand(item, kind) for item in self._codec.split(boards, kind)]
        return [board for item in expanded for board in item], [len(item) for item in expanded]

    def _one_board(self, board: Any, kind: str, draft: bool = False) -> np.ndarray:
        """Tokens of exactly one board, shape (1, seq_len), without checking rules."""
        if draft and _is_list(board) and len(board) == 0:
            boards = [board]
        else:
            boards, _ = self._boards(board, kind)
        if len(boards) != 1:
            raise ValueError(f"There are {len(boards)} boards; give one {kind} here.")
        return self._codec.encode(boards, _names(kind, 1), draft=draft)

    def _tokens(self, token_ids: Any, name: str, ndim: int) -> np.ndarray:
        """Token ids as int64 of shape (boards, seq_len), with -100 as padding."""
        try:
            tokens = np.asarray(_as_array(token_ids))
        except ValueError as error:
            raise ValueError(f"{name} has rows of unequal length; each must have {self.seq_len} ids.") from error
        shape = {1: f"({self.seq_len},)", 2: f"(boards, {self.seq_len})"}[ndim]
        lengths = [self.seq_len] if self.canvas_sides is None else [side * side for side in self.canvas_sides]
        if tokens.ndim != ndim or tokens.shape[-1] not in lengths:
            raise ValueError(f"{name} has the shape {tokens.shape}; expected {shape}.")
        if tokens.dtype.kind not in "iu":
            raise TypeError(f"{name} has the type {tokens.dtype}; expected integers.")
        tokens = tokens.astype(np.int64).reshape(-1, tokens.shape[-1])
        tokens = np.where(tokens == IGNORE_INDEX, PAD_TOKEN, tokens)
        outside = (tokens < 0) | (tokens >= self._codec.vocab_size)
        if outside.any():
            raise ValueError(
                f"{name} has the token id {tokens[outside][0]}; the {self.task} vocabulary is "
                f"0-{self._codec.vocab_size - 1}, so these ids come from a model for another task or size."
            )
        return tokens

    def _identifier_numbers(self, identifiers: Any, count: int) -> np.ndarray:
        """Identifier of each given puzzle, int64 of shape (count,)."""
        if identifiers is None:
            if self.puzzle_identifiers:
                raise ValueError(
                    "No identifiers were given, but this model has named puzzles and needs to know which one it "
                    "sees; give the name or number of the puzzle (0 for none)."
                )
            return np.zeros(count, dtype=np.int64)
        identifiers = _as_lists(identifiers)
        if not _is_list(identifiers):
            identifiers = [identifiers] * count
        if len(identifiers) != count:
            raise ValueError(
                f"There are {len(identifiers)} identifiers for {count} puzzles; give one for all or one per puzzle."
            )
        return np.array([self._identifier_number(identifier) for identifier in identifiers], dtype=np.int64)

    def _identifier_number(self, identifier: Any) -> int:
        known = self.puzzle_identifiers or {}
        if isinstance(identifier, str) and identifier in known:
            return known[identifier]
        if _is_int(identifier) and 0 <= identifier < self.num_puzzle_identifiers:
            return int(identifier)
        if not _is_int(identifier) and not isinstance(identifier, str):
            raise TypeError(
                f"The identifier {identifier!r} is a {type(identifier).__name__}; give a name or a number."
            )
        raise ValueError(
            f"The puzzle identifier {identifier!r} is unknown: this model only knows "
            f"{self.num_puzzle_identifiers} identifiers (including the blank one, 0), and a model scores 0 % "
            "on ARC puzzles without an identifier; train it on this puzzle or give an identifier that it knows."
        )

    @classmethod
    def from_args_and_dict(cls, args, processor_dict: dict[str, Any], **kwargs):
        """As in transformers, but a folder that was not saved by this processor is a clear error.

        Raises:
            ValueError: if the folder has no `processor_config.json`, or one without task and size.
        """
        missing = [name for name in ("task", "height", "width") if name not in processor_dict | kwargs]
        if missing:
            raise ValueError(
                f"The folder has no processor_config.json with {', '.join(missing)}; save the "
                f"processor there with save_pretrained, or make one with {cls.__name__}.for_sudoku(), "
                "for_maze(), for_arc() or for_grid()."
            )
        return super().from_args_and_dict(args, processor_dict, **kwargs)

    def __repr__(self) -> str:
        # an ARC model has thousands of identifiers, and transformers formats its processors on every load
        boxes = f", box_height={self.box_height}, box_width={self.box_width}" if self.task == "sudoku" else ""
        return (
            f"{type(self).__name__}(task={self.task!r}, height={self.height}, width={self.width}{boxes}, "
            f"num_puzzle_identifiers={self.num_puzzle_identifiers})"
        )


def _check_grid_options(height: int, width: int, symbols: Any, answer_mask: Any) -> None:
    legal = _is_list(symbols) and 1 <= len(symbols) <= MAX_SYMBOLS and all(isinstance(part, str) for part in symbols)
    if not legal or len(set(symbols)) < len(symbols):
        raise ValueError(
            f"HRMGridProcessor: symbols={str(symbols)[:100]} is not allowed for task='grid'; give a list of 1 to "
            f"{MAX_SYMBOLS} different strings."
        )
    for symbol in symbols:
        if symbol in ("", "\n", "\r") or (len(symbol) > 1 and _BETWEEN_WORDS.search(symbol)):
            raise ValueError(
                f"HRMGridProcessor: the symbol {symbol!r} is not allowed; a symbol is a character, or a word without "
                "whitespace, commas and semicolons."
            )
    if any(len(symbol) > 1 for symbol in symbols) and not {" ", ",", ";"}.isdisjoint(symbols):
        raise ValueError(
            "HRMGridProcessor: symbols has words, which are separated by spaces, commas and semicolons; leave these "
            "out as symbols."
        )
    if answer_mask is None:
        return
    if not isinstance(answer_mask, str) or len(answer_mask) != height * width or set(answer_mask) - {"0", "1"}:
        raise ValueError(
            f"HRMGridProcessor: answer_mask={answer_mask!r} is not allowed; it must be {height * width} characters, 1 "
            "for a cell to be filled in and 0 for another."
        )
    if "1" not in answer_mask:
        raise ValueError("HRMGridProcessor: answer_mask is all 0; it must have at least one 1.")


def _sudoku_boxes(height: int, width: int, box_height: int | None, box_width: int | None) -> tuple[int, int]:
    if height != width or height not in _Sudoku.BOXES:
        raise ValueError(
            f"HRMGridProcessor: a Sudoku of height={height} and width={width} is not supported; both must be "
            "4, 6, 9 or 16."
        )
    if (box_height, box_width) == (None, None):
        return _Sudoku.BOXES[height]
    integers = _is_int(box_height) and _is_int(box_width) and box_height > 0
    if not integers or box_height * box_width != height:
        raise ValueError(
            f"HRMGridProcessor: boxes of box_height={box_height!r} and box_width={box_width!r} do not have room for "
            f"the {height} digits; give two integers with that product, or neither for the usual boxes."
        )
    return int(box_height), int(box_width)


def _checked_identifiers(puzzle_identifiers: dict[str, int] | None) -> dict[str, int] | None:
    if puzzle_identifiers is None:
        return None
    if not isinstance(puzzle_identifiers, dict):
        raise TypeError(
            f"HRMGridProcessor: puzzle_identifiers is a {type(puzzle_identifiers).__name__}; give a "
            "dictionary from puzzle names to numbers."
        )
    owners: dict[int, str] = {}
    for name, number in puzzle_identifiers.items():
        legal = isinstance(name, str) and _is_int(number) and number >= 0
        if not legal or (number == 0) != (name == "<blank>"):
            raise ValueError(
                f"HRMGridProcessor: puzzle_identifiers has {name!r}: {number!r}; a name is a string and its "
                'number an integer of at least 1 (0 belongs to "<blank>").'
            )
        if number in owners:
            raise ValueError(
                f"HRMGridProcessor: puzzle_identifiers gives {number} to {owners[number]!r} and to {name!r}; "
                "each name needs its own number."
            )
        owners[number] = name
    return {name: int(number) for number, name in owners.items()}


HRMGridProcessor.register_for_auto_class("AutoProcessor")

__all__ = ["ExactCheck", "HRMGridProcessor", "Verdict", "grid_cells"]
