"""Questions to a model of grids as users write them: on the command line, in files, on stdin."""

import json
import re

from hrm_hf.puzzles.found import PuzzleText
from hrm_hf.puzzles.grid.reading import INPUT_NAMES
from processing_hrm import HRMGridProcessor


def read_questions(text: str, name: str, processor: HRMGridProcessor) -> list[PuzzleText]:
    """The questions of a text: one per line if a line is a board, otherwise boards separated by blank lines.

    A line may also be a JSON object with the board under one of the usual names of an input column.

    Args:
        text: with questions.
        name: of the text in messages, such as a file name.
        processor: of the model, which knows shape and alphabet.

    Raises:
        ValueError: if there is none, or a JSON object has no board.
    """
    where = f"{name}, " if name else ""
    lines = re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff"))
    if lines and all(line.lstrip().startswith("{") for line in lines if line.strip()):
        boards = [_board_of(line, f"{where}line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    elif processor.height == 1 or all("/" in line for line in lines if line.strip("\n")):
        boards = [line for line in lines if line]
    else:
        blocks = re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))
        boards = [block for block in blocks if block]
    if not boards:
        raise ValueError(f"{where or 'The text: '}there is no question; give one.")
    return [PuzzleText(board, "grid") for board in boards]


def _board_of(line: str, where: str) -> str:
    """The board of a JSON object, as text for the processor."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is not a JSON object ({error}).") from error
    key = next((name for name in INPUT_NAMES if name in row), None)
    if key is None:
        raise ValueError(
            f"{where} has no {', '.join(INPUT_NAMES)}, only {', '.join(row)}; give the board under one of these names."
        )
    return row[key] if isinstance(row[key], str) else json.dumps(row[key])
