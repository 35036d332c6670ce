"""Puzzles found in texts, and helpers for the readers of all kinds."""

import re
from dataclasses import dataclass, field


# the verdict that the command prints below a board
VERDICT = re.compile(r"(solved|not solved: .*|no solution: .*|more than one solution: .*) \((\d+) segments?.*\)")


@dataclass(frozen=True)
class PuzzleText:
    """A puzzle that was found in a text.

    Attributes:
        board: the puzzle for `HRMGridProcessor`: a Sudoku as a line with `.` for a blank cell, of 16x16 in `1-G`; a
            maze as its rows.
        task: name of its kind.
        notation: of a 16x16 Sudoku, one of `SUDOKU_NOTATIONS`; otherwise `None`.
    """

    board: str
    task: str
    notation: str | None = None

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.board.replace("\n", ""))


@dataclass
class PuzzlesRead:
    """The result of reading a text.

    Attributes:
        puzzles: in order.
        left_out: phrases that describe the rest of the text, except comments.
    """

    puzzles: list[PuzzleText] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Line:
    """A line of a text, numbered from 1."""

    number: int
    text: str


def short(text: str) -> str:
    """The start of a text, in quotes, for messages."""
    text = text.strip()
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
