"""A maze generator: random walls, one shortest path with a minimum number of steps, no two mazes alike.

Mazes like those of Maze-Hard (30x30, over 110 steps; arXiv 2506.21734), which come from Lehnert et al. (arXiv
2402.14083): 30 to 50 % of the cells are random walls, and S and G are random cells far enough from each other. Theirs
may have several shortest paths, of which the answer draws one; here a few extra walls leave just one.
"""

from contextlib import closing

import numpy as np
from tqdm import tqdm

from hrm_hf.puzzles.maze.paths import PATH, search_fields
from hrm_hf.puzzles.maze.symmetry import fingerprint
from hrm_hf.utils.parallel import in_order


# minimum and maximum fraction of walls, before those that make the path unique (arXiv 2402.14083)
WALL_SHARES = (0.3, 0.5)
# of 30x30 mazes, as in Maze-Hard
_HARD_STEPS = 111
# random fields without a new maze before a request counts as impossible, and their cells: about 10 seconds
_PATIENCE_FIELDS, _PATIENCE_CELLS = 500_000, 500_000_000


def hard_steps(height: int, width: int) -> int:
    """Steps that are about as rare in mazes of this size as 111 are in those of 30x30.

    Shortest paths among random walls grow with the 1.13th power of the side at the density where walls start to cut
    the field into pieces (Herrmann and Stanley, 1988), where paths are longest. For small mazes the limit is two
    thirds of the maximum.
    """
    return max(2, min(round(_HARD_STEPS * ((height + width) / 60) ** 1.13), _most_steps(height, width) * 2 // 3))


def generate(
    num: int,
    height: int = 30,
    width: int = 30,
    min_steps: int | None = None,
    seed: int = 0,
    progress: bool = True,
    num_threads: int = 1,
    seen: set[int] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random mazes with exactly one shortest path, no two of them equal up to symmetry (or S and G exchanged).

    Each cell of a field is a wall with a probability between 30 and 50 %, drawn for the field. S is a random cell and
    G a cell at least `min_steps` from it, if there is one. While there are several shortest paths, a random cell that
    is on some but not all of them becomes a wall.

    Args:
        num: how many.
        height, width: rows and columns, at least 2.
        min_steps: minimum steps of the shortest path; by default [`hard_steps`], which is 111 for 30x30.
        seed: for everything random; equal arguments give equal mazes, a larger `num` more of the same.
        progress: show a progress bar.
        num_threads: chunks of fields to search at a time; the result is the same for any number.
        seen: fingerprints of mazes to leave out; those of the new ones are added.

    Returns:
        Mazes and answers `(num, height * width)` uint8 and steps `(num,)` int64.

    Raises:
        ValueError: if a request is impossible, or too few such mazes are found.
    """
    if num < 1:
        raise ValueError(f"num={num} is not allowed; it must be at least 1.")
    if seed < 0:
        raise ValueError(f"seed={seed} is not allowed; it must be at least 0.")
    for name, side in (("height", height), ("width", width)):
        if side < 2:
            raise ValueError(f"{name}={side} is not allowed; a maze has at least 2 rows and 2 columns.")
    min_steps = hard_steps(height, width) if min_steps is None else min_steps
    if not 2 <= min_steps <= _most_steps(height, width):
        raise ValueError(
            f"min_steps={min_steps} is not allowed for a maze of {height}x{width}; it must be from 2 to "
            f"{_most_steps(height, width)}, and mazes are fast to find up to about {hard_steps(height, width)}."
        )

    mazes, answers, longest = [], [], 0
    seen = set() if seen is None else seen
    num_made = fruitless = 0

    def make_chunk(number: int) -> tuple[np.ndarray, np.ndarray, int, int]:
        # the same chunks for any number of mazes, so that a seed always gives the same mazes; the first chunks are
        # small, because some requests are fast, the later ones of 30x30 take about 0.3 seconds
        chunk = min(256 << min(number, 7), max(1, 20_000_000 // (height * width)))
        rng = np.random.default_rng((seed, number))
        shares = rng.uniform(*WALL_SHARES, size=(chunk, 1)) * 2**16
        fields = rng.integers(2**16, size=(chunk, height * width), dtype=np.uint16) >= shares.astype(np.uint16)
        fields = fields[fields.any(1)]
        found = search_fields(fields, height, width, min_steps, int(rng.integers(2**32, dtype=np.uint32)))
        return *found, chunk

    with (
        tqdm(total=num, desc=f"generate {height}x{width}", unit="maze", disable=not progress) as bar,
        closing(in_order(make_chunk, num_threads)) as chunks,
    ):
        while num_made < num:
            new_mazes, new_answers, farthest, chunk = next(chunks)
            longest = max(longest, farthest)
            new = []
            for index, mark in enumerate(fingerprint(new_mazes, height, width).tolist()):
                if mark not in seen and num_made < num:
                    seen.add(mark)
                    new.append(index)
                    num_made += 1
            mazes.append(new_mazes[new])
            answers.append(new_answers[new])
            bar.update(len(new))
            fruitless = 0 if new else fruitless + chunk
            if fruitless >= min(_PATIENCE_FIELDS, _PATIENCE_CELLS // (height * width)):
                raise ValueError(
                    f"Only {num_made} mazes of {height}x{width} with at least {min_steps} steps were found, not "
                    f"{num}: the last {fruitless:,} random fields gave none that is new up to symmetry, and the "
                    f"longest path of all has {longest} steps; ask for fewer mazes or a smaller min_steps."
                )
    mazes, answers = np.concatenate(mazes), np.concatenate(answers)
    return mazes, answers, (answers == PATH).sum(1) + 1


def _most_steps(height: int, width: int) -> int:
    """No shortest path has more steps than this: it passes at most 3 cells of a block of 2 by 2."""
    whole_blocks = (height // 2) * (width // 2)
    cells_over = height * width - 4 * whole_blocks
    return 3 * whole_blocks + cells_over - 1
