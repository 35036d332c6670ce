"""Mazes: text form, and errors in answers.

Mazes are rows of small integers: `(mazes, cells)` uint8, cells row by row, numbered like the tokens of the processor.
A step goes up, down, left or right; an answer is its maze with the floor of a shortest path from S to G replaced by o.
"""

import numpy as np

from hrm_hf.puzzles.maze.paths import FLOOR, GOAL, PATH, START, measure


# of each number; no cell is 0
SYMBOLS = "?# SGo"


def format_mazes(mazes: np.ndarray) -> list[str]:
    """Mazes `(mazes, cells)` as strings of the characters `# SGo`."""
    symbols = np.array(list(SYMBOLS))
    return ["".join(line) for line in symbols[mazes]]


def draw_maze(line: str, width: int) -> str:
    """A maze as text of several lines, with a frame, because floor at the border is invisible without one."""
    frame = f"+{'-' * width}+"
    rows = [f"|{line[first : first + width]}|" for first in range(0, len(line), width)]
    return "\n".join([frame, *rows, frame])


def maze_errors(mazes: np.ndarray, answers: np.ndarray, height: int, width: int) -> np.ndarray:
    """What is wrong with each maze and its answer: `(mazes,)` strings, "" if nothing is.

    The same verdicts as `HRMGridProcessor.check`, for many mazes at once: any shortest path is correct.

    Args:
        mazes, answers: `(mazes, height * width)`.
        height, width: rows and columns.
    """
    errors = np.full(len(mazes), "", dtype=object)
    for cell in (START, GOAL):
        counts = (mazes == cell).sum(1)
        for index in np.flatnonzero((errors == "") & (counts != 1)):
            errors[index] = f"a maze with {counts[index]} cells {SYMBOLS[cell]}, expected one"
    errors[(errors == "") & (mazes == PATH).any(1)] = "a maze with cells o, which belong in its answer"
    changed = (answers != mazes) & ~((answers == PATH) & (mazes == FLOOR))
    for index in np.flatnonzero((errors == "") & changed.any(1)):
        cell = int(changed[index].argmax())
        errors[index] = (
            f"an answer with {SYMBOLS[answers[index, cell]]!r} in row {cell // width + 1}, column {cell % width + 1}, "
            f"where its maze has {SYMBOLS[mazes[index, cell]]!r}; expected the maze with floor replaced by o"
        )

    fits = np.flatnonzero(errors == "")
    paths = measure(mazes[fits], answers[fits], height, width)
    for number, index in enumerate(fits):
        steps, drawn_steps, stray_cells = paths.steps[number], paths.drawn_steps[number], paths.stray_cells[number]
        if steps < 0:
            errors[index] = "a maze without a path from S to G"
        elif drawn_steps < 0:
            errors[index] = "an answer whose path does not lead from S to G"
        elif stray_cells:
            errors[index] = f"an answer with {stray_cells} cells o beside the path from S to G"
        elif drawn_steps > steps:
            errors[index] = f"an answer whose path takes {drawn_steps} steps, expected the fewest, {steps}"
    return errors
