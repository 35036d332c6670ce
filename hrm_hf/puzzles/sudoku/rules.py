"""Sudoku: geometry, text form and broken rules.

Boards are rows of small integers: `(puzzles, cells)` uint8, 0 for a blank cell, cells row by row. Sizes are 4 (2x2
boxes), 6 (2 rows by 3 columns), 9 (3x3) and 16 (4x4).
"""

import numpy as np


BOX_SHAPES = {4: (2, 2), 6: (2, 3), 9: (3, 3), 16: (4, 4)}
BLANK = "."
SYMBOLS = BLANK + "123456789ABCDEFG"

# minimum number of clues that can determine a solution: proven for 4 (exhaustion) and 9 (arXiv 1201.0749); for 6 and
# 16 the fewest known
FEWEST_CLUES = {4: 4, 6: 8, 9: 17, 16: 55}


def box_shape(size: int) -> tuple[int, int]:
    """Rows and columns of a box.

    Raises:
        ValueError: for a size that is not supported.
    """
    if size not in BOX_SHAPES:
        raise ValueError(f"size={size} is not supported; it must be one of {', '.join(map(str, BOX_SHAPES))}.")
    return BOX_SHAPES[size]


def units_of(size: int) -> np.ndarray:
    """Row, column and box of each cell, `(3, cells)` int64, each counted from 0."""
    box_height, box_width = box_shape(size)
    rows, columns = np.divmod(np.arange(size * size), size)
    boxes = rows // box_height * (size // box_width) + columns // box_width
    return np.stack((rows, columns, boxes))


def format_boards(boards: np.ndarray) -> list[str]:
    """Boards `(puzzles, cells)` as strings with `.` for a blank cell, then 1-9 and A-G."""
    symbols = np.array(list(SYMBOLS))
    return ["".join(line) for line in symbols[boards]]


def conflicts(boards: np.ndarray, size: int) -> np.ndarray:
    """Whether a digit occurs twice in a row, column or box: `(puzzles,)` bool."""
    found = np.zeros(len(boards), dtype=bool)
    for units in units_of(size):
        counts = np.zeros((len(boards), size, size + 1), dtype=np.uint8)
        np.add.at(counts, (np.arange(len(boards))[:, None], units[None, :], boards), 1)
        found |= (counts[:, :, 1:] > 1).any(axis=(1, 2))
    return found
