"""Mazes in texts: as a line or drawn, with or without a frame, one or several in a row."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hrm_hf.puzzles.found import VERDICT, Line, PuzzleText


NAME = "maze"
SYMBOLS = set("# SGo")


@dataclass(frozen=True)
class Mazes:
    """Mazes that follow each other in a text, each as its rows."""

    boards: list[str]

    def puzzles(self) -> list[PuzzleText]:
        """The same, as found puzzles."""
        return [PuzzleText(board, NAME) for board in self.boards]


def without_frames(lines: list[Line]) -> Iterator[Line]:
    """Lines of text; mazes in a frame of + - | lose their frame."""
    index = 0
    while index < len(lines):
        if re.fullmatch(r"\+-+\+", lines[index].text):
            end = index + 1
            while end < len(lines) and re.fullmatch(r"\|[# SGo]+\|", lines[end].text):
                end += 1
            if end > index + 1 and end < len(lines) and lines[end].text == lines[index].text:
                yield from (Line(line.number, line.text[1:-1]) for line in lines[index + 1 : end])
                yield Line(lines[end].number, "")
                index = end + 1
                continue
        yield lines[index]
        index += 1


def parts_of(lines: list[Line]) -> Iterator["list[Line] | Mazes"]:
    """Mazes, and the lines between them, in order.

    A line with `#` belongs to a maze only if it and the lines around it consist of cells of a maze, including S and G.
    Otherwise it is a comment, unless there are only such lines.
    """
    others: list[Line] = []
    index, is_empty = 0, not any(set(line.text) - SYMBOLS for line in lines)
    while index < len(lines):
        end = index
        while end < len(lines) and _continues_maze(lines[index:end], lines[end].text):
            end += 1
        run = lines[index:end]
        boards = _mazes_of([line.text for line in run], is_empty) if run else []
        if boards:
            if end < len(lines) and VERDICT.fullmatch(lines[end].text):
                # an answer printed by the command: the maze is the board without the path
                boards = [board.replace("o", " ") for board in boards]
                end += 1
            if any(line.text.strip() for line in others):
                yield others
            others = []
            yield Mazes(boards)
            index = end
        else:
            others += run or [lines[index]]
            index = max(end, index + 1)
    if any(line.text.strip() for line in others):
        yield others


def _continues_maze(run: list[Line], text: str) -> bool:
    if not text:
        return False
    if set(text) <= SYMBOLS:
        return True
    # a row with a wrong character, which must not count as a comment
    same_width = bool(run) and len(run[-1].text) == len(text) and len(text) > 4
    return same_width and "#" in text and sum(cell in SYMBOLS for cell in text) >= 0.75 * len(text)


def _mazes_of(rows: list[str], is_all: bool) -> list[str]:
    """The mazes of rows of cells, as boards; none if they are not mazes."""
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


def maze_of_rows(rows: list) -> PuzzleText | None:
    """The maze of a list of rows, each a string or a list of cells; `None` if there are other characters."""
    lines = ["".join(map(str, row)) for row in rows]
    return PuzzleText("\n".join(lines), NAME) if set("".join(lines)) <= SYMBOLS else None
