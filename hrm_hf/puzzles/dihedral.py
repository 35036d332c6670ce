"""The 8 symmetries of the square on grids, numbered as in the original (dataset/common.py).

0 identity    1, 2, 3 rotation by 90, 180, 270 degrees counterclockwise
4 columns reversed    5 rows reversed    6 transpose    7 transpose along the other diagonal
"""

import numpy as np


NUM_DIHEDRAL = 8
# the inverse of each
DIHEDRAL_INVERSE = (0, 3, 2, 1, 4, 5, 6, 7)
# whether each swaps rows and columns
IS_TURNED = np.array([False, True, False, True, False, False, True, True])


def dihedral(grids: np.ndarray, index: int) -> np.ndarray:
    """Apply a symmetry to grids.

    Args:
        grids: of shape `(..., rows, columns)`.
        index: which of the symmetries, 0 to 7.

    Returns:
        A view of `grids`; with shape `(..., columns, rows)` for the odd rotations and the transposes.

    Raises:
        ValueError: if the symmetry does not exist.
    """
    if index in (0, 1, 2, 3):
        return np.rot90(grids, k=index, axes=(-2, -1))
    if index == 4:
        return grids[..., :, ::-1]
    if index == 5:
        return grids[..., ::-1, :]
    if index == 6:
        return grids.swapaxes(-2, -1)
    if index == 7:
        return np.rot90(grids, k=1, axes=(-2, -1))[..., :, ::-1]
    raise ValueError(f"There is no symmetry {index} of the square; they are 0 to {NUM_DIHEDRAL - 1}.")
