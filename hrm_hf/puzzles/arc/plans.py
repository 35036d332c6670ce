"""Augmented ARC tasks as plans: one of the 8 symmetries of the square and a permutation of the colors 1 to 9.

A plan is a few bytes, while the original stores every pixel; the resulting grids are the same, and so is its name
(dataset/build_arc_dataset.py, arc_eval.ipynb): `<task>_t<symmetry>_<colors>`, or `<task>` for the original task.
"""

import re
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from hrm_hf.puzzles.arc.tasks import NUM_COLORS, ArcPair, ArcTask
from hrm_hf.puzzles.dihedral import DIHEDRAL_INVERSE, NUM_DIHEDRAL, dihedral


# tries per wanted plan, as in the original
TRIES_PER_PLAN = 5

# name of identifier 0, which belongs to no puzzle
BLANK_NAME = "<blank>"

_COLORS = "0123456789"
# TRM (Samsung's TinyRecursiveModels) writes the same names with other separators
_NAME = re.compile(r"(?P<task>.+?)(?P<sign>_|\|\|\|)t(?P<symmetry>[0-7])(?P=sign)(?P<colors>0[1-9]{9})")


@dataclass(frozen=True)
class Plan:
    """What an augmentation does to the grids of a task: colors first, then the symmetry.

    Args:
        task: name of the task.
        symmetry: number of the symmetry, 0 to 7, see `dihedral`.
        colors: the new color of each color from 0 to 9, as ten digits; 0 stays 0.

    Raises:
        ValueError: if the symmetry does not exist or `colors` is not such a permutation.
    """

    task: str
    symmetry: int = 0
    colors: str = _COLORS

    def __post_init__(self):
        if self.symmetry not in range(NUM_DIHEDRAL):
            raise ValueError(f"symmetry={self.symmetry!r} is not allowed; it must be from 0 to {NUM_DIHEDRAL - 1}.")
        if self.colors[:1] != "0" or "".join(sorted(self.colors)) != _COLORS:
            raise ValueError(
                f"colors={self.colors!r} is not allowed; it must be 0 and then the digits 1 to 9, each once."
            )

    @property
    def name(self) -> str:
        """Name of the augmented task."""
        if (self.symmetry, self.colors) == (0, _COLORS):
            return self.task
        return f"{self.task}_t{self.symmetry}_{self.colors}"

    @property
    def name_in_trm(self) -> str:
        """The name in the format of TRM."""
        if self.name == self.task:
            return self.task
        return f"{self.task}|||t{self.symmetry}|||{self.colors}"

    def apply(self, grid: np.ndarray) -> np.ndarray:
        """The augmented grid.

        Args:
            grid: colors 0 to 9, `(rows, columns)`.

        Returns:
            uint8, `(rows, columns)` or `(columns, rows)`.
        """
        return dihedral(self._table()[grid], self.symmetry)

    def invert(self, grid: np.ndarray) -> np.ndarray:
        """The inverse of `apply`: maps a prediction for the augmented task back."""
        return np.argsort(self._table()).astype(np.uint8)[dihedral(grid, DIHEDRAL_INVERSE[self.symmetry])]

    def apply_to_task(self, task: ArcTask) -> ArcTask:
        """The task with all its grids augmented, named after the plan."""
        train, test = (
            tuple(ArcPair(self.apply(pair.input), self.apply(pair.output)) for pair in pairs)
            for pairs in (task.train, task.test)
        )
        return ArcTask(self.name, task.source, task.role, train, test)

    def _table(self) -> np.ndarray:
        return color_table([self.colors])[0]


def parse_plan(name: str) -> Plan:
    """The plan with a name; also reads those of TRM, `<task>|||t<symmetry>|||<colors>`.

    Raises:
        ValueError: if the digits of the name are not a permutation of the colors.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return Plan(name)
    return Plan(match["task"], int(match["symmetry"]), match["colors"])


def color_table(colors: list[str]) -> np.ndarray:
    """The new color of each color, `(plans, 10)` uint8, from strings of ten digits."""
    digits = np.frombuffer("".join(colors).encode(), dtype=np.uint8)
    return digits.reshape(len(colors), NUM_COLORS) - np.uint8(ord("0"))


def make_plans(task: ArcTask, num_aug: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random plans that make different tasks from one: first the original task, then up to `num_aug` others.

    As in the original, a plan that repeats an earlier result is dropped, and there are 5 tries per wanted plan, so a
    task with few colors or much symmetry has fewer. The plans depend only on seed and name, not on other tasks, and a
    smaller number gives the first of them.

    Args:
        task: the task.
        num_aug: augmentations besides the task itself.
        seed: for the random numbers.

    Returns:
        Symmetries `(plans,)` uint8 and colors `(plans, 10)` uint8: the new color of each color.
    """
    name_hash = int.from_bytes(blake2b(task.name.encode(), digest_size=8).digest(), "little")
    uniform = np.random.default_rng([seed, name_hash]).random((TRIES_PER_PLAN * num_aug, NUM_COLORS))
    symmetries = np.concatenate(([0], uniform[:, 0] * NUM_DIHEDRAL)).astype(np.uint8)
    colors = np.zeros((len(symmetries), NUM_COLORS), dtype=np.uint8)
    colors[0] = np.arange(NUM_COLORS)
    colors[1:, 1:] = uniform[:, 1:].argsort(1) + 1

    images = _Images(task.train + task.test)
    known, kept = set(), []
    for number, (symmetry, table) in enumerate(zip(symmetries.tolist(), colors, strict=True)):
        digest = images.digest(symmetry, table.tobytes())
        if digest not in known:
            known.add(digest)
            kept.append(number)
            if len(kept) == num_aug + 1:
                break
    return symmetries[kept], colors[kept]


@dataclass(frozen=True)
class Plans:
    """Plans of many tasks as arrays, one row per plan; those of a task follow each other.

    Attributes:
        tasks: number of the task, `(plans,)` int32.
        symmetries: number of the symmetry, `(plans,)` uint8.
        colors: the new color of each color, `(plans, 10)` uint8.
        identifiers: puzzle identifier, from 1 on, `(plans,)` int32.
        offsets: only for data sets of the original, which fixes them: row and column of the canvas where each example
            starts, plan by plan, `(examples, 2)` uint8.
    """

    tasks: np.ndarray
    symmetries: np.ndarray
    colors: np.ndarray
    identifiers: np.ndarray
    offsets: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.tasks)

    def color_strings(self) -> list[str]:
        """`colors` as strings of ten digits."""
        digits = (self.colors + np.uint8(ord("0"))).tobytes().decode()
        return [digits[start : start + NUM_COLORS] for start in range(0, len(digits), NUM_COLORS)]


class _Images:
    """The pairs of a task under each symmetry, to be colored and hashed many times."""

    def __init__(self, pairs: tuple[ArcPair, ...]):
        self.by_symmetry = []
        for index in range(NUM_DIHEDRAL):
            images = [[dihedral(grid, index) for grid in pair] for pair in pairs]
            self.by_symmetry.append(
                [
                    (bytes((*input.shape, *output.shape)), input.tobytes() + output.tobytes())
                    for input, output in images
                ]
            )

    def digest(self, symmetry: int, colors: bytes) -> bytes:
        """Hash of the augmented pairs, independent of their order.

        Args:
            symmetry: number of the symmetry.
            colors: the new color of each color.
        """
        table = bytes.maketrans(bytes(range(NUM_COLORS)), colors)
        pairs = sorted(shapes + cells.translate(table) for shapes, cells in self.by_symmetry[symmetry])
        return blake2b(b"".join(pairs), digest_size=16).digest()
