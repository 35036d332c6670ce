"""Mazes smaller than the boards of a model: with walls around them they are as large, and the model can solve them."""

import math

from hrm_hf.puzzles.kind import Framed
from processing_hrm import HRMGridProcessor


def shape_of(maze: str) -> tuple[int, int]:
    """Rows and columns of a maze, given as rows; one line is a square or else one row. The longest of ragged rows."""
    rows = maze.split("\n")
    if len(rows) == 1:
        side = math.isqrt(len(maze))
        return (side, side) if side * side == len(maze) else (1, len(maze))
    return len(rows), max(map(len, rows))


def framed(maze: str, processor: HRMGridProcessor) -> Framed | None:
    """A maze in the top left corner of a board, with walls at the right and at the bottom.

    Args:
        maze: as rows; one line is a square or else one row.
        processor: for the board.

    Returns:
        `None` if the maze is not smaller than the board, or not a rectangle.
    """
    (height, width), board = shape_of(maze), (processor.height, processor.width)
    rows = [maze[start : start + width] for start in range(0, len(maze), width)]
    if "\n" in maze:
        rows = maze.split("\n")
    if (height, width) == board or height > board[0] or width > board[1] or {len(row) for row in rows} != {width}:
        return None
    lines = [row.ljust(board[1], "#") for row in rows] + ["#" * board[1]] * (board[0] - height)

    def cut(line: str) -> str:
        return "".join(line[row * board[1] : row * board[1] + width] for row in range(height))

    return Framed("\n".join(lines), HRMGridProcessor.for_maze(height, width), cut)
