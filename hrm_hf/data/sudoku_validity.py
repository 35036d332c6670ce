"""Does a Sudoku have exactly one solution? For what to say of a puzzle that a model has not solved."""

import numpy as np

from hrm_hf.data.sudoku_rules import box_shape


# an exact search of a 16x16 board may take hours
LARGEST_SIZE = 9


def can_count(size: int, box_height: int, box_width: int) -> bool:
    """Whether `count_solutions` is for boards of this kind: the usual boxes, and no more than 9 digits."""
    return size <= LARGEST_SIZE and (box_height, box_width) == box_shape(size)


def count_solutions(boards: np.ndarray, size: int) -> np.ndarray:
    """How many solutions puzzles have, by exact search: 0, 1, or 2 for more than one.

    Args:
        boards: `(puzzles, cells)` uint8, 0 for a blank cell.
        size: number of digits, at most 9.

    Returns:
        `(puzzles,)` int64.

    Raises:
        ValueError: for a larger size.
    """
    if size > LARGEST_SIZE:
        raise ValueError(f"size={size} is not allowed; solutions are counted for at most {LARGEST_SIZE} digits.")
    # numba compiles or loads the solver, which takes a second that a solved puzzle does not need
    from hrm_hf.data.sudoku_solver import solve

    return solve(boards, size, limit=2)[1]
