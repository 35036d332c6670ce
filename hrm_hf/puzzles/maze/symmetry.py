"""Symmetries of mazes: random ones for training, and a fingerprint that is invariant to all of them.

These are the 8 symmetries of the square (see `dihedral`); a maze that is not square has the 4 that keep its shape.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from hrm_hf.puzzles.dihedral import NUM_DIHEDRAL, dihedral
from hrm_hf.puzzles.hashing import mix_array, random_keys, shift_right
from hrm_hf.puzzles.maze.paths import GOAL, START, WALL


@cache
def symmetry_cells(height: int, width: int) -> torch.LongTensor:
    """The old cell that each new cell comes from, `(symmetries, height * width)`; the identity is the first."""
    cells = np.arange(height * width).reshape(height, width)
    images = [dihedral(cells, index) for index in range(NUM_DIHEDRAL)]
    return torch.from_numpy(np.stack([image.reshape(-1) for image in images if image.shape == (height, width)]))


@dataclass(frozen=True)
class MazeSymmetry:
    """One symmetry for each maze of a batch: `new[b, i] = old[b, cells[b, i]]`.

    Args:
        cells (`torch.LongTensor` of shape `(batch, height * width)`): old cell that each new cell comes from.
    """

    cells: torch.LongTensor

    def apply(self, mazes: torch.LongTensor) -> torch.LongTensor:
        """The transformed mazes, `(batch, height * width)`."""
        return mazes.gather(1, self.cells)

    def undo(self, mazes: torch.LongTensor) -> torch.LongTensor:
        """The mazes that `apply` turns into these."""
        return torch.empty_like(mazes).scatter_(1, self.cells, mazes)


def random_symmetries(draws: torch.LongTensor, seed: int, height: int, width: int) -> MazeSymmetry:
    """Uniformly random symmetries; that of draw d is a pure function of `(seed, d)`.

    So a batch can be split, ordered or distributed over processes in any way. Works on the device of `draws`.

    Args:
        draws (`torch.LongTensor` of shape `(batch,)`): numbers of the draws.
        seed: another seed gives independent symmetries.
        height, width: rows and columns.
    """
    cells = symmetry_cells(height, width).to(draws.device)
    # 4 or 8 symmetries, so that the remainder of a random number is uniform
    return MazeSymmetry(cells[shift_right(random_keys(draws, seed, 1)[:, 0], 32) % len(cells)])


def fingerprint(mazes: np.ndarray, height: int, width: int, anywhere: bool = False) -> np.ndarray:
    """A number for each maze that is invariant to symmetries and to an exchange of S and G, which keeps the path.

    It is the minimum of the hashes of the symmetric mazes. Different fingerprints prove that two mazes are not equal
    up to symmetry; equal ones mean that they are equal, except with a probability of 2^-64 per pair.

    Args:
        mazes: `(mazes, height * width)` of small integers.
        height, width: rows and columns.
        anywhere: whether a maze with walls around it is the same anywhere on the board.

    Returns:
        `(mazes,)` uint64.
    """
    ends_alike = np.where(mazes == GOAL, START, mazes)
    # a random number for every possible value of a cell
    places = np.arange(height * width, dtype=np.uint64)[:, None] * np.uint64(256)
    hashes = mix_array(places + np.arange(int(ends_alike.max(initial=0)) + 1, dtype=np.uint64))
    cells = np.arange(height * width)
    images = (ends_alike[:, old] for old in symmetry_cells(height, width).numpy())
    if anywhere:
        images = (_in_the_corner(image, height, width) for image in images)
    return np.min([hashes[cells, image].sum(1) for image in images], axis=0)


def _in_the_corner(mazes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Mazes `(mazes, height * width)` with their first rows and columns, if only walls, moved to the other end."""
    boards = mazes.reshape(-1, height, width)
    for axis, side in ((1, height), (2, width)):
        first = (boards != WALL).any(3 - axis).argmax(1)
        old = (np.arange(side) + first[:, None]) % side
        boards = np.take_along_axis(boards, np.expand_dims(old, 3 - axis), axis)
    return boards.reshape(mazes.shape)
