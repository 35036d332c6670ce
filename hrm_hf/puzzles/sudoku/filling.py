"""Sudoku with more cells filled in, for training: puzzles with any number of clues up to finished boards."""

import torch

from hrm_hf.puzzles.hashing import random_keys, shift_right


# random numbers for filling differ from those for symmetries
_FILLING = 0x66696C6C696E67


def fill_in(
    draws: torch.LongTensor,
    puzzles: torch.LongTensor,
    solutions: torch.LongTensor,
    seed: int,
    share: float,
    blank: int,
) -> torch.LongTensor:
    """Puzzles, a fraction of which have more cells of the solution filled in, as a function of (seed, draw).

    The number of filled cells is uniform from the puzzle's own clues to all cells, both included; the cells are
    random.

    Args:
        draws: numbers of the draws, `(batch,)`.
        puzzles, solutions: `(batch, cells)`.
        seed: another seed fills other cells.
        share: fraction of puzzles that may get more cells, from 0 to 1.
        blank: value of a blank cell of a puzzle.

    Returns:
        The puzzles, `(batch, cells)`.
    """
    keys = random_keys(draws, seed ^ _FILLING, 2 + puzzles.shape[1])
    # 32 bits are precise enough for a fraction and a remainder
    chances, numbers = shift_right(keys[:, :1], 32), shift_right(keys[:, 1:2], 32)
    is_blank = puzzles == blank
    further = numbers % (is_blank.sum(1, keepdim=True) + 1)
    further = torch.where(chances < share * 2**32, further, 0)
    # blank cells first, in random order
    order = keys[:, 2:].masked_fill(~is_blank, torch.iinfo(torch.int64).max).argsort(1)
    return torch.where(is_blank & (order.argsort(1) < further), solutions, puzzles)
