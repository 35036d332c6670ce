# Copyright 2026 The hrm-hf authors. Licensed under the Apache License, Version 2.0.
"""Fraction of maze answers that draw a shortest path; needs no reference answer. A single file."""

import math
from collections import deque

import datasets
import evaluate


_DESCRIPTION = """\
Fraction of maze answers that leave the maze unchanged and draw a path from S to G, without stray cells and with the \
fewest steps up, down, left and right. It checks the rules, so it needs no reference answer; if there are several \
shortest paths, any of them is correct.
"""

_INPUTS = """
Args:
    predictions: an answer for each maze, row by row: a string of one character per cell (# wall, space floor, S start,
        G goal, o path, ? no cell), with or without line breaks, or a list of token ids (0 or -100 padding, 1 to 5 for
        the characters "# SGo").
    references: the mazes without a path, in the same form; not the answers.
    width (int): cells per row, if the mazes are not square and have no line breaks.

Returns:
    maze_validity (float): fraction of answers that solve their maze, 0 to 1.
    n (int): mazes.

Raises:
    ValueError: if there is no maze, or one is not a rectangle, does not have one S and one G, has an invalid
        character or token id, or has another size than its answer.

Examples:
    >>> metric = evaluate.load("metrics/maze_validity")
    >>> metric.compute(predictions=["S #oo##oG", "S #ooo#oG"], references=["S #  ## G", "S #   # G"])
    {'maze_validity': 0.5, 'n': 2}
"""

_CITATION = ""

_SYMBOLS = "?# SGo"  # by token id


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class MazeValidity(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        kinds = (datasets.Sequence(datasets.Value("int64")), datasets.Value("string"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=[datasets.Features({"predictions": kind, "references": kind}) for kind in kinds],
        )

    def add_batch(self, *, predictions=None, references=None):
        """Add answers and mazes; both or neither."""
        counts = ["no" if given is None else len(given) for given in (predictions, references)]
        if "no" in counts or counts[0] != counts[1]:
            raise ValueError(
                f"There are {counts[0]} predictions and {counts[1]} references; give an answer and a maze each."
            )
        if counts[0] == 0:
            raise ValueError("There is no maze to score; give at least one.")
        super().add_batch(predictions=predictions, references=references)

    def _compute(self, predictions: list, references: list, width: int | None = None) -> dict[str, float | int]:
        num_valid = 0
        for number, (prediction, reference) in enumerate(zip(predictions, references, strict=True), start=1):
            maze = _rows(reference, width, f"Maze {number}")
            answer = _rows(prediction, width, f"Prediction {number}")
            if [len(row) for row in answer] != [len(row) for row in maze]:
                raise ValueError(
                    f"Prediction {number} is {len(answer)}x{len(answer[0])}, its maze {len(maze)}x{len(maze[0])}; "
                    "they must be equal."
                )
            cells = "".join(maze)
            if (cells.count("S"), cells.count("G")) != (1, 1) or set(cells) & set("o?"):
                raise ValueError(f"Maze {number} is {cells!r}; a maze has one S and one G, and no path (o) yet.")
            num_valid += _is_valid(maze, answer)
        return {"maze_validity": num_valid / len(references), "n": len(references)}


def _rows(board: str | list[int], width: int | None, name: str) -> list[str]:
    """The rows of a board as strings of equal length."""
    if isinstance(board, str):
        lines = [line for line in board.replace("\r", "\n").split("\n") if line]
        board = "".join(lines)
        if len(lines) > 1:
            width = len(lines[0])
            if any(len(line) != width for line in lines):
                raise ValueError(f"{name} has rows of {sorted({len(line) for line in lines})} cells; make all equal.")
    else:
        unknown = [token for token in board if token != -100 and not 0 <= token < len(_SYMBOLS)]
        if unknown:
            raise ValueError(f"{name} has the token id {unknown[0]}; those of a maze are 0 to {len(_SYMBOLS) - 1}.")
        board = "".join(_SYMBOLS[max(token, 0)] for token in board)
    if set(board) - set(_SYMBOLS):
        raise ValueError(f"{name} has the character {min(set(board) - set(_SYMBOLS))!r}; a cell is one of '# SGo'.")
    if width is None:
        width = math.isqrt(len(board))
        if width * width != len(board):
            raise ValueError(f"{name} has {len(board)} cells, which is not a square; give the width of the mazes.")
    if width < 1 or len(board) == 0 or len(board) % width:
        raise ValueError(f"{name} has {len(board)} cells, which make no rows of {width}; give the width of the mazes.")
    return [board[start : start + width] for start in range(0, len(board), width)]


def _is_valid(maze: list[str], answer: list[str]) -> bool:
    before, after = "".join(maze), "".join(answer)
    if any(new != old and (old, new) != (" ", "o") for old, new in zip(before, after, strict=True)):
        return False
    drawn = _steps(answer, "SoG")
    # a path of minimum length that covers all drawn cells has no stray cells
    return drawn is not None and drawn == _steps(maze, "S G") == after.count("o") + 1


def _steps(board: list[str], passable: str) -> int | None:
    """Fewest steps from S to G over passable cells; None if there is no path."""
    cells = {
        (row, column): cell for row, line in enumerate(board) for column, cell in enumerate(line) if cell in passable
    }
    start = next(place for place, cell in cells.items() if cell == "S")
    distances, queue = {start: 0}, deque([start])
    while queue:
        row, column = place = queue.popleft()
        if cells[place] == "G":
            return distances[place]
        for neighbor in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if neighbor in cells and neighbor not in distances:
                distances[neighbor] = distances[place] + 1
                queue.append(neighbor)
    return None
