"""ARC in a form that is fast to learn: one identifier per task, symmetry and colors as conditions, small canvases.

`puzzles` follows the original (a row of the puzzle table per augmentation, a 30x30 canvas). Here

- a task has one identifier; the symmetry of an example (one of 8), and whether its colors are the original ones, are
  separate conditions;
- colors are permuted at every visit. The model is either told the original color of each color (token roles), or it
  is not, and then black and the colors that occur only in outputs do not change, because it could not know them;
- a task has a square canvas with one of a few sides, with at least one row and one column of padding at the right and
  at the bottom. The size depends only on the demonstrations and the inputs, never on the output of a test pair.

Tokens are those of the processor (padding 0, colors 2 to 11) without the end-of-grid border: padding is a label like
any other, and tells where an output ends.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from hrm_hf.puzzles.arc.plans import BLANK_NAME, Plan
from hrm_hf.puzzles.arc.puzzles import FIRST_COLOR, VOCAB_SIZE, PackedGrids, arc_folder, load_arc_tasks, load_generated
from hrm_hf.puzzles.arc.tasks import NUM_COLORS, ArcPair, ArcTask
from hrm_hf.puzzles.dihedral import IS_TURNED, NUM_DIHEDRAL
from hrm_hf.puzzles.draws import Draws, EpochOrder
from hrm_hf.puzzles.hashing import random_keys, shift_right
from processing_hrm import IGNORE_INDEX, HRMGridProcessor, arc_canvas_side


# sides of the canvases of the recipes, one more than the largest grid
SIDES = (11, 17, 23, 31)
# number of values of the conditions: symmetry, whether colors are the original ones
CONDITION_SIZES = (NUM_DIHEDRAL, 2)

# token ids of a model that can be shown cells of the answer: of a cell of the question alone, and of it together with
# each cell of the answer, question + VOCAB_SIZE * (1 + answer)
SHOWN_VOCAB_SIZE = VOCAB_SIZE * (1 + VOCAB_SIZE)
# random numbers of a draw: symmetry, whether colors stay, whether it is translated, row, column, order of the colors,
# whether to take a generated pair, which one
_KEYS = 7 + NUM_COLORS
_UNIT = 2.0**-63


@dataclass(frozen=True)
class View:
    """How a copy of an example looks.

    Attributes:
        symmetries: of the square, `(batch,)` uint8.
        colors: the new color of each color, `(batch, 10)` uint8.
        as_given: whether the colors are the original ones, `(batch,)` bool.
    """

    symmetries: np.ndarray
    colors: np.ndarray
    as_given: np.ndarray


def canvas_side(task: ArcTask, sides: Sequence[int]) -> int:
    """Side of the canvas of a task, from its demonstrations and the inputs of its test pairs.

    Raises:
        ValueError: if no canvas is large enough.
    """
    try:
        return arc_canvas_side(
            [(pair.input.shape, pair.output.shape) for pair in task.train],
            [pair.input.shape for pair in task.test],
            sides,
        )
    except ValueError as error:
        raise ValueError(f"{task.name}: {error}") from error


def movable_colors(task: ArcTask) -> np.ndarray:
    """Which colors may be permuted without a hint, `(10,)` bool: not black, and none that is only in known outputs.

    The outputs of test pairs of an evaluation task are not known.
    """
    known = [pair.output for pair in task.train + (() if task.role == "evaluation" else task.test)]
    inputs = [pair.input for pair in task.train + task.test]
    in_outputs, in_inputs = (np.unique(np.concatenate([grid.ravel() for grid in grids])) for grids in (known, inputs))
    movable = np.ones(NUM_COLORS, dtype=bool)
    movable[0] = False
    movable[np.setdiff1d(in_outputs, in_inputs)] = False
    return movable


class ArcCanvases:
    """The pairs of ARC tasks on canvases.

    Args:
        tasks: all tasks of the data set, in the order of their identifiers from 1 on.
        sides: of the canvases, ascending.
        with_roles: whether the model is told the original color of each color, so that all except black may move.
        tells_views: whether the model is told the symmetry of a copy and whether its colors are the original ones;
            otherwise both conditions are 0 for all copies.

    Attributes:
        tasks, sides, with_roles, tells_views: as given.
        task_sides: side of the canvas of each task, `(tasks,)` int64.
    """

    def __init__(
        self,
        tasks: Sequence[ArcTask],
        sides: Sequence[int] = SIDES,
        with_roles: bool = False,
        tells_views: bool = True,
    ):
        if list(sides) != sorted(set(sides)) or not sides:
            raise ValueError(
                f"arc_canvases={list(sides)} is not allowed; give sides in ascending order, such as {SIDES}."
            )
        self.tasks, self.sides, self.with_roles = list(tasks), tuple(sides), with_roles
        self.tells_views = tells_views
        self.task_sides = np.array([canvas_side(task, sides) for task in tasks])
        self._movable = np.stack([movable_colors(task) for task in tasks])
        if with_roles:
            self._movable[:, 1:] = True

    @classmethod
    def for_model(
        cls, tasks: Sequence[ArcTask], processor: HRMGridProcessor, sides: Sequence[int] | None = None
    ) -> "ArcCanvases":
        """Tasks in the form for a model on canvases.

        Args:
            tasks: as in the class.
            processor: of the model.
            sides: of the canvases; by default all of the model.
        """
        return cls(tasks, sides or processor.canvas_sides, processor.token_roles, processor.told_views)

    @property
    def names(self) -> dict[str, int]:
        """Identifier of each task by its name; 0 is the blank one."""
        return {BLANK_NAME: 0} | {task.name: number for number, task in enumerate(self.tasks, start=1)}

    def pairs(self, split: str) -> "CanvasPairs":
        """The training pairs, or the test pairs of evaluation tasks."""
        return CanvasPairs(self, split)

    def views(self, tasks: np.ndarray, symmetries: np.ndarray, order: np.ndarray, as_given: np.ndarray) -> View:
        """Copies of examples of some tasks.

        Args:
            tasks: numbers of the tasks, `(batch,)`.
            symmetries: `(batch,)`.
            order: random numbers that sort the movable colors, `(batch, 10)`.
            as_given: whether the colors stay, `(batch,)` bool.
        """
        movable = self._movable[tasks] & ~as_given[:, None]
        ranks = np.arange(NUM_COLORS)
        # the movable colors in order of their numbers are mapped to the same colors in random order
        places = np.argsort(np.where(movable, ranks, NUM_COLORS + ranks), axis=1, kind="stable")
        images = np.argsort(np.where(movable, order, 2.0 + ranks), axis=1, kind="stable")
        colors = np.empty(movable.shape, dtype=np.uint8)
        np.put_along_axis(colors, places, images.astype(np.uint8), axis=1)
        return View(symmetries.astype(np.uint8), colors, as_given)

    def plans(self, tasks: np.ndarray, numbers: np.ndarray) -> list[Plan]:
        """The plans of copies of tasks that vote: first the 8 symmetries with the original colors, then these with one
        permutation of the colors, and so on. They depend only on task and number.

        Args:
            tasks: numbers of the tasks, `(batch,)`.
            numbers: of the copies, from 0 on, `(batch,)`.
        """
        view = self._copy_views(tasks, numbers)
        return [
            Plan(self.tasks[task].name, int(symmetry), "".join(map(str, colors)))
            for task, symmetry, colors in zip(tasks, view.symmetries, view.colors, strict=True)
        ]

    def _copy_views(self, tasks: np.ndarray, numbers: np.ndarray) -> View:
        colorings = torch.from_numpy(numbers // NUM_DIHEDRAL)
        keys = random_keys(colorings * len(self.tasks) + torch.from_numpy(tasks), 0, NUM_COLORS)
        order = shift_right(keys, 1).numpy() * _UNIT
        return self.views(tasks, numbers % NUM_DIHEDRAL, order, numbers < NUM_DIHEDRAL)


class CanvasPairs:
    """The pairs of one split.

    Args:
        canvases: with the tasks.
        split: `"train"` or `"test"`.
        source: only tasks of this source; all by default.

    Attributes:
        canvases: with the tasks.
        split: `"train"` or `"test"`.
        pair_tasks: number of the task of each pair, `(pairs and generated pairs,)`.
        pair_sides: side of the canvas of each pair, the same shape.
        num_left_out: training pairs that are left out because their output does not fit on the canvas of their task.
        generated_starts: number of the first generated pair of each task, `(tasks,)`; they follow the given pairs.
        num_generated: number of generated pairs of each task that fit on its canvas, `(tasks,)`.
    """

    def __init__(self, canvases: ArcCanvases, split: str, source: str | None = None):
        self.canvases, self.split = canvases, split
        kept: list[tuple[int, ArcPair]] = []
        self.num_left_out = 0
        for number, task in enumerate(canvases.tasks):
            if source not in (None, task.source):
                continue
            for pair in task.pairs(split):
                if split == "train" and max(pair.output.shape) >= canvases.task_sides[number]:
                    self.num_left_out += 1
                    continue
                kept.append((number, pair))
        if not kept:
            of_source = "" if source is None else f" of the source {source!r}"
            raise ValueError(f"The split {split!r} has no pairs{of_source}; give a data set with some.")
        self._num_given = len(kept)
        self.num_generated = np.zeros(len(canvases.tasks), dtype=np.int64)
        for number, task in enumerate(canvases.tasks if split == "train" else ()):
            side = canvases.task_sides[number]
            fitting = [pair for pair in task.generated if max(*pair.input.shape, *pair.output.shape) < side]
            self.num_generated[number] = len(fitting)
            kept += [(number, pair) for pair in fitting]
        self.generated_starts = self._num_given + np.cumsum(self.num_generated) - self.num_generated
        self.pair_tasks = np.array([number for number, _ in kept])
        self.pair_sides = canvases.task_sides[self.pair_tasks]
        self._grids = PackedGrids([grid for _, pair in kept for grid in pair])

    def __len__(self) -> int:
        """Number of given pairs."""
        return self._num_given

    @cached_property
    def numbers_in_task(self) -> np.ndarray:
        """Index of each given pair within its task, `(pairs,)`."""
        starts = np.flatnonzero(np.diff(self.pair_tasks[: len(self)], prepend=-1))
        return np.arange(len(self)) - np.repeat(starts, np.diff(starts, append=len(self)))

    def rooms(self, pairs: np.ndarray, view: View) -> np.ndarray:
        """Number of rows and columns where each pair can start, with room for both grids and padding: `(batch, 2)`."""
        sizes = self._grids.shapes.reshape(-1, 2, 2)[pairs].max(1)
        sizes = np.where(IS_TURNED[view.symmetries][:, None], sizes[:, ::-1], sizes)
        return self.pair_sides[pairs, None] - sizes

    def batch(
        self, pairs: np.ndarray, view: View, with_labels: bool = True, offsets: np.ndarray | None = None
    ) -> dict[str, torch.Tensor]:
        """Draw pairs of one canvas size.

        Args:
            pairs: numbers of the pairs, `(batch,)`.
            view: of each pair.
            with_labels: whether to draw the outputs, which must fit.
            offsets: row and column where each starts, `(batch, 2)`; by default the top left corner.

        Returns:
            `input_ids` and `labels`, `(batch, side * side)` int64; `puzzle_identifiers`, `(batch,)`; `conditions`,
            `(batch, 2)`; with roles also `token_roles`, `(batch, 12)`.
        """
        (side,) = set(self.pair_sides[pairs].tolist())
        drawn = {"input_ids": 0, "labels": 1} if with_labels else {"input_ids": 0}
        batch = {}
        for name, part in drawn.items():
            canvas = np.zeros((len(pairs), side, side), dtype=np.int64)
            self._grids.draw(2 * pairs + part, view.symmetries, view.colors, canvas, offsets)
            batch[name] = torch.from_numpy(canvas).flatten(1)
        batch["puzzle_identifiers"] = torch.from_numpy(self.pair_tasks[pairs] + 1)
        conditions = np.column_stack((view.symmetries, view.as_given)).astype(np.int64)
        batch["conditions"] = torch.from_numpy(conditions * self.canvases.tells_views)
        if self.canvases.with_roles:
            roles = np.full((len(pairs), VOCAB_SIZE), -1, dtype=np.int64)
            roles[:, FIRST_COLOR:] = view.colors.argsort(axis=1)
            batch["token_roles"] = torch.from_numpy(roles)
        return batch

    def copies(self, pairs: np.ndarray, numbers: np.ndarray) -> dict[str, torch.Tensor]:
        """Inputs of copies of test pairs of one canvas size, see `ArcCanvases.copies`; without labels."""
        return self.batch(pairs, self.canvases._copy_views(self.pair_tasks[pairs], numbers), with_labels=False)


def show_cells(input_ids: torch.LongTensor, answers: torch.LongTensor, shown: torch.Tensor) -> torch.LongTensor:
    """Questions with some cells of their answers, for a model that can be shown them.

    Args:
        input_ids: of questions alone, `(..., cells)`, below `VOCAB_SIZE`.
        answers: of the same shape, below `VOCAB_SIZE`.
        shown: which cells to show, bool, of the same shape.
    """
    return torch.where(shown, input_ids + VOCAB_SIZE * (1 + answers), input_ids)


def _along_a_line(directions: torch.Tensor, num_cells: int) -> torch.Tensor:
    """How far the cells of a square canvas are along lines, as shares of the cells that come before: `(batch, cells)`.

    Args:
        directions: of the lines, `(batch, 1)`, from 0 to 1 for a full turn.
    """
    side = math.isqrt(num_cells)
    rows, columns = (torch.arange(side, dtype=directions.dtype) for _ in range(2))
    angles = 2 * math.pi * directions[:, :, None]
    distances = (angles.sin() * rows[:, None] + angles.cos() * columns).flatten(1)
    return distances.argsort(dim=1).argsort(dim=1) / num_cells


class CanvasDraws(Draws):
    """The training examples of a run: each step has boards of one side, and about the same number of tokens.

    Draw `step * most + i` is example i of a step, where `most` is the size of the largest batch; it depends only on
    the seed and its number. Every pair of a canvas size is visited once before any is visited again.

    Args:
        pairs: of the training split.
        batch_tokens: positions per step, including the prefix.
        num_prefix: prefix positions of a sequence.
        num_steps: length of the run.
        seed: for everything.
        share_as_given: share of the visits with the original colors.
        share_translated: share of the visits whose two grids start at a random place where both fit, instead of the
            corner.
        share_generated: share of the visits to tasks with generated pairs that take a random one of these. It does not
            change how often a task is visited.
        share_shown: share of the visits that show a random part of the answer: in half of them, each cell with a
            probability that is itself random, in the others, all cells on one side of a random line. Only the other
            cells have labels.
        weights: how often pairs of each side are visited, relative to each other.
        multiple_of: batch sizes are a multiple of this (processes times parts of a batch).
    """

    def __init__(
        self,
        pairs: CanvasPairs,
        batch_tokens: int,
        num_prefix: int,
        num_steps: int,
        seed: int,
        share_as_given: float = 0.35,
        share_translated: float = 0.0,
        share_generated: float = 0.0,
        share_shown: float = 0.0,
        weights: Sequence[float] | None = None,
        multiple_of: int = 1,
    ):
        self.pairs, self.seed = pairs, seed
        self.share_as_given, self.share_translated = share_as_given, share_translated
        self.share_generated, self.share_shown = share_generated, share_shown
        sides = pairs.canvases.sides
        weights = [1.0] * len(sides) if weights is None else list(weights)
        if len(weights) != len(sides) or min(weights) < 0 or not any(weights):
            raise ValueError(
                f"arc_canvas_weights={weights} is not allowed; give a number of at least 0 for each of the canvases "
                f"{list(sides)}, not all 0."
            )
        self.sizes = np.array([batch_tokens // (side * side + num_prefix) for side in sides])
        self.sizes -= self.sizes % multiple_of
        if self.sizes.min() < 1:
            raise ValueError(
                f"batch_tokens={batch_tokens} is too small for {multiple_of} boards of {sides[-1]}x{sides[-1]}; give "
                f"at least {multiple_of * (sides[-1] ** 2 + num_prefix)}."
            )
        self.most = int(self.sizes.max())
        super().__init__(len(pairs), num_steps * self.most, seed)
        self._members = [np.flatnonzero(pairs.pair_sides[: len(pairs)] == side) for side in sides]
        self._orders = [
            EpochOrder(len(members), seed * len(sides) + number) if len(members) else None
            for number, members in enumerate(self._members)
        ]
        counts = np.array([len(members) for members in self._members])
        shares = counts * np.array(weights) / self.sizes
        keys = shift_right(random_keys(torch.arange(num_steps), seed + 1, 1)[:, 0], 1).numpy() * _UNIT
        # canvas size of each step, and how many earlier steps had the same
        self._buckets = np.searchsorted(np.cumsum(shares / shares.sum())[:-1], keys, side="right")
        self._before = np.zeros(num_steps, dtype=np.int64)
        for number in range(len(sides)):
            is_here = self._buckets == number
            self._before[is_here] = np.arange(is_here.sum())

    def of_step(self, step: int, batch_size: int) -> range:
        return range(step * self.most, step * self.most + int(self.sizes[self._buckets[step]]))

    def __getitems__(self, draws: list[int]) -> dict[str, torch.Tensor]:
        """Examples of one step."""
        numbers = torch.as_tensor(draws)
        (step,) = set((numbers // self.most).tolist())
        bucket = self._buckets[step]
        serial = numbers % self.most + int(self._before[step] * self.sizes[bucket])
        pairs = self._members[bucket][self._orders[bucket].items(serial).numpy()]
        keys = shift_right(random_keys(numbers, self.seed, _KEYS), 1).numpy()
        if self.share_generated:
            pairs = np.where(keys[:, -2] * _UNIT < self.share_generated, self._generated(pairs, keys[:, -1]), pairs)
        view = self.pairs.canvases.views(
            self.pairs.pair_tasks[pairs],
            keys[:, 0] % NUM_DIHEDRAL,
            keys[:, 5 : 5 + NUM_COLORS] * _UNIT,
            keys[:, 1] * _UNIT < self.share_as_given,
        )
        offsets = keys[:, 3:5] % self.pairs.rooms(pairs, view)
        offsets[keys[:, 2] * _UNIT >= self.share_translated] = 0
        batch = self.pairs.batch(pairs, view, offsets=offsets)
        if self.share_shown:
            self._show(batch, numbers)
        return batch

    def _show(self, batch: dict[str, torch.Tensor], numbers: torch.LongTensor):
        """Show cells of the answers in a share of the examples."""
        labels = batch["labels"]
        num_cells = labels.shape[1]
        keys = shift_right(random_keys(numbers, self.seed + 2, 4 + num_cells), 1) * _UNIT
        shares = torch.where(keys[:, :1] < self.share_shown, keys[:, 1:2], 0.0)
        # scattered cells can be guessed from their neighbors; the rest of a half-seen answer cannot
        places = torch.where(keys[:, 2:3] < 0.5, keys[:, 4:], _along_a_line(keys[:, 3:4], num_cells))
        shown = places < shares
        batch["input_ids"] = show_cells(batch["input_ids"], labels, shown)
        batch["labels"] = labels.masked_fill(shown, IGNORE_INDEX)

    def _generated(self, pairs: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """A random generated pair of the task of each pair, or the pair itself if there is none."""
        tasks = self.pairs.pair_tasks[pairs]
        counts = self.pairs.num_generated[tasks]
        return np.where(counts > 0, self.pairs.generated_starts[tasks] + keys % np.maximum(counts, 1), pairs)


def load_canvases(
    dataset: str | Path,
    sides: Sequence[int] = SIDES,
    with_roles: bool = False,
    without: Sequence[str] = (),
    with_generated: bool = False,
    tells_views: bool = True,
) -> ArcCanvases:
    """The tasks of an ARC data set on canvases.

    Args:
        dataset: a folder written by `dataset_scripts/build_arc.py`, or the name of such a data set on the Hub.
        sides, with_roles, tells_views: as in `ArcCanvases`.
        without: names of tasks to leave out.
        with_generated: whether to read generated pairs too.

    Raises:
        FileNotFoundError: if the data set does not exist.
        ValueError: if it does not have ARC tasks, has no generated pairs, or a name is unknown.
    """
    folder = arc_folder(dataset)
    tasks = load_arc_tasks(folder)
    if with_generated:
        tasks = load_generated(folder, tasks)
    if unknown := set(without) - {task.name for task in tasks}:
        raise ValueError(f"{dataset} has no task {sorted(unknown)[0]}; only existing tasks can be left out.")
    kept = [task for task in tasks if task.name not in set(without)]
    return ArcCanvases(kept, sides, with_roles, tells_views)
