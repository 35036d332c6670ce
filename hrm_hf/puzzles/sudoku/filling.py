"""Sudoku with further cells filled in, for training: puzzles of any number of clues up to finished boards."""

import torch

from hrm_hf.puzzles.hashing import random_keys, shift_right


# the numbers of what is filled in are others than those of symmetries
_FILLING = 0x66696C6C696E67


def fill_in(
    draws: torch.LongTensor,
    puzzles: torch.LongTensor,
    solutions: torch.LongTensor,
    seed: int,
    share: float,
    blank: int,
) -> torch.LongTensor:
    """Puzzles of which a share has further cells of the solution, what is filled in being a function of (seed, draw).

    How many cells are filled then is spread evenly from the puzzle's own clues to all cells, both included; which
    ones is random.

    Args:
        draws: numbers of the draws, `(batch,)`.
        puzzles, solutions: `(batch, cells)`.
        seed: another seed fills other cells.
        share: of the puzzles that may get further cells, from 0 to 1.
        blank: what a cell of a puzzle is that is not filled.

    Returns:
        The puzzles, `(batch, cells)`.
    """
    keys = random_keys(draws, seed ^ _FILLING, 2 + puzzles.shape[1])
    # of 32 bits, which a share and a remainder are close enough with
    chances, numbers = shift_right(keys[:, :1], 32), shift_right(keys[:, 1:2], 32)
    is_blank = puzzles == blank
    further = numbers % (is_blank.sum(1, keepdim=True) + 1)
    further = torch.where(chances < share * 2**32, further, 0)
    # blank cells first, in random order
    order = keys[:, 2:].masked_fill(~is_blank, torch.iinfo(torch.int64).max).argsort(1)
    return torch.where(is_blank & (order.argsort(1) < further), solutions, puzzles)
