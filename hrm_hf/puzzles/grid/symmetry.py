"""Symmetries that the author of a data set declares: turned and mirrored boards, or symbols in swapped roles.

dihedral   the 8 symmetries of the square (4 for a rectangle), the same for question and answer
symbols    the symbols of answers swap their roles, the same in question and answer
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from hrm_hf.puzzles.hashing import mix_array, random_keys, shift_right
from hrm_hf.puzzles.maze.symmetry import symmetry_cells


Symmetries = Literal["none", "dihedral", "symbols", "both"]
# separates the random numbers of relabelings from those of turns
_SYMBOLS = 0x73796D626F6C


@dataclass(frozen=True)
class GridSymmetry:
    """One symmetry for each board of a batch: `new[b, i] = tokens[b, old[b, cells[b, i]]]`.

    Args:
        tokens (`torch.LongTensor` of shape `(batch, vocab_size)`): new token id of each old one.
        cells (`torch.LongTensor` of shape `(batch, cells)`): old cell that each new cell comes from.
    """

    tokens: torch.LongTensor
    cells: torch.LongTensor

    def apply(self, boards: torch.LongTensor) -> torch.LongTensor:
        """The transformed boards, `(batch, cells)`; ids below 0 (no label) are unchanged."""
        turned = boards.gather(1, self.cells)
        return torch.where(turned < 0, turned, self.tokens.gather(1, turned.clamp(min=0)))

    def undo(self, boards: torch.LongTensor) -> torch.LongTensor:
        """The inverse of `apply`."""
        old_tokens = torch.empty_like(self.tokens).scatter_(
            1, self.tokens, torch.arange(self.tokens.shape[1], device=boards.device).expand_as(self.tokens)
        )
        relabeled = torch.where(boards < 0, boards, old_tokens.gather(1, boards.clamp(min=0)))
        return torch.empty_like(boards).scatter_(1, self.cells, relabeled)


def random_symmetries(
    draws: torch.LongTensor,
    seed: int,
    height: int,
    width: int,
    vocab_size: int,
    symmetries: Symmetries,
    answer_tokens: torch.LongTensor,
) -> GridSymmetry:
    """Uniformly random symmetries; that of draw d depends only on `(seed, d)`.

    Args:
        draws (`torch.LongTensor` of shape `(batch,)`): numbers of the draws.
        seed: another seed gives independent symmetries.
        height, width: rows and columns.
        vocab_size: number of token ids.
        symmetries: which ones.
        answer_tokens: ids of the symbols that swap their roles, `(symbols,)`.
    """
    cells = torch.arange(height * width, device=draws.device).expand(len(draws), -1)
    if symmetries in ("dihedral", "both"):
        turns = symmetry_cells(height, width).to(draws.device)
        # 4 or 8 of them, so the remainder of a random number is uniform
        cells = turns[shift_right(random_keys(draws, seed, 1)[:, 0], 32) % len(turns)]
    tokens = torch.arange(vocab_size, device=draws.device).repeat(len(draws), 1)
    if symmetries in ("symbols", "both"):
        answer_tokens = answer_tokens.to(draws.device)
        orders = random_keys(draws, seed ^ _SYMBOLS, len(answer_tokens)).argsort(1)
        tokens[:, answer_tokens] = answer_tokens[orders]
    return GridSymmetry(tokens, cells)


def fingerprint(
    boards: np.ndarray, height: int, width: int, symmetries: Symmetries, answer_tokens: np.ndarray
) -> np.ndarray:
    """A number for each board that no symmetry changes.

    Different fingerprints prove that two boards are not equal up to symmetry; equal ones mean that they are, except
    with a chance of 2^-64 per pair.

    Args:
        boards: token ids `(boards, height * width)`, integers.
        height, width, symmetries, answer_tokens: as for `random_symmetries`.

    Returns:
        `(boards,)` uint64.
    """
    turns = np.arange(height * width)[None]
    if symmetries in ("dihedral", "both"):
        turns = symmetry_cells(height, width).numpy()
    places = np.arange(height * width, dtype=np.uint64) * np.uint64(1 << 32)
    marks = []
    for turn in turns:
        turned = boards[:, turn].astype(np.int64)
        if symmetries in ("symbols", "both"):
            turned = _by_first_place(turned, answer_tokens)
        marks.append(mix_array(places + turned.astype(np.uint64)).sum(1))
    return np.min(marks, axis=0)


def _by_first_place(boards: np.ndarray, answer_tokens: np.ndarray) -> np.ndarray:
    """Boards whose exchangeable symbols are named after the place of their first occurrence."""
    named = boards.copy()
    for token in answer_tokens:
        is_here = boards == token
        # above all token ids
        first = is_here.argmax(1) + 1_000
        named = np.where(is_here, first[:, None], named)
    return named
