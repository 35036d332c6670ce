"""Augmented ARC tasks for training and evaluation: pixels are made on reading.

A group is a task, its members are the task and its augmentations (see `arc_plans`), and every member has the same
number of examples. An example is identified by three numbers (group, member, example), and drawn on the canvas of the
processor: padding 0, end of grid 1 along the right and bottom border, colors 2 to 11.

Reads only with pyarrow, so training does not need `datasets`.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numba
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from hrm_hf.data.folder import local_folder, parquet_path
from hrm_hf.puzzles.arc.plans import BLANK_NAME, Plan, Plans, color_table
from hrm_hf.puzzles.arc.tasks import MAX_SIZE, NUM_COLORS, ArcPair, ArcTask
from hrm_hf.puzzles.dihedral import IS_TURNED, NUM_DIHEDRAL, dihedral
from hrm_hf.puzzles.draws import GroupedDraws
from hrm_hf.puzzles.hashing import random_keys, shift_right
from processing_hrm import IGNORE_INDEX


SPLITS = ("train", "test")
# tokens; those of the colors follow each other
END_OF_GRID, FIRST_COLOR = 1, 2
VOCAB_SIZE = FIRST_COLOR + NUM_COLORS

_TASK_COLUMNS = ("name", "source", "role", "train", "test")
_PLAN_COLUMNS = ("task", "symmetry", "colors", "identifier")
# new names of columns in data sets of version 0.1
_NEW_NAMES = {"colours": "colors"}


class PackedGrids:
    """Grids in one array, drawn on canvases by compiled code.

    Args:
        grids: colors 0 to 9, `(rows, columns)` uint8 each.

    Attributes:
        shapes: rows and columns of each, `(grids, 2)` int64.

    Raises:
        ValueError: if a grid is larger than 30x30 or has another color.
    """

    def __init__(self, grids: list[np.ndarray]):
        cells = np.array([grid.size for grid in grids])
        self.shapes = np.array([grid.shape for grid in grids], dtype=np.int64)
        self._cells = np.concatenate([grid.reshape(-1) for grid in grids])
        self._starts = cells.cumsum() - cells
        # the compiled code does not check its indices
        if self._cells.max() >= NUM_COLORS or self.shapes.max() > MAX_SIZE:
            raise ValueError(f"There are grids over {MAX_SIZE}x{MAX_SIZE} or colors over 9; build the data set again.")

    def draw(
        self,
        numbers: np.ndarray,
        symmetries: np.ndarray,
        colors: np.ndarray,
        canvases: np.ndarray,
        offsets: np.ndarray | None = None,
        border: bool = False,
    ) -> None:
        """Draw grids on canvases, in place.

        Args:
            numbers: which grids, `(batch,)`.
            symmetries, colors: applied to each, `(batch,)` and `(batch, 10)` uint8.
            canvases: to draw on, `(batch, side, side)` int64.
            offsets: row and column where each starts, `(batch, 2)`; by default the top left corner.
            border: whether to mark the end of the grid where the canvas has room.

        Raises:
            ValueError: if a grid does not fit.
        """
        offsets = np.zeros((len(numbers), 2), dtype=np.int64) if offsets is None else offsets
        views = _views()[self.shapes[numbers, 0], self.shapes[numbers, 1], symmetries]
        if ((offsets < 0) | (offsets + views[:, :2] > canvases.shape[1])).any():
            raise ValueError("An offset leaves no room for its grid; it must be below the result of rooms().")
        _draw(self._cells, self._starts[numbers], views, colors, offsets, canvases, border)


class ArcPuzzles:
    """The puzzles of a split: groups of members of examples.

    Args:
        tasks: all tasks of the data set.
        plans: the members of all groups, those of a group one after the other; the original task comes first.
        split: `"train"` or `"test"`.

    Attributes:
        tasks, plans, split: as given.
        group_tasks: number of the task of each group, `(groups,)` int64.
        group_members: members of each group, `(groups,)` int64.
        group_sizes: examples of each member, `(groups,)` int64.

    Raises:
        ValueError: if there is no plan, the plans of a task do not follow each other, a task has no pairs, or a grid
            or a plan is not valid for ARC.
    """

    def __init__(self, tasks: list[ArcTask], plans: Plans, split: str):
        if len(plans) == 0:
            raise ValueError(f"The split {split!r} has no plans; build the data set again.")
        self.tasks, self.plans, self.split = tasks, plans, split
        starts = np.flatnonzero(np.diff(plans.tasks, prepend=-1))
        self.group_tasks = plans.tasks[starts].astype(np.int64)
        self.group_members = np.diff(starts, append=len(plans))
        self._group_plans = starts  # first plan of each group
        if len(np.unique(self.group_tasks)) != len(starts):
            raise ValueError(f"The plans of the split {split!r} are not sorted by task; build the data set again.")

        pairs = [tasks[task].pairs(split) for task in self.group_tasks]
        self.group_sizes = np.array([len(group) for group in pairs])
        if not self.group_sizes.all():
            name = tasks[self.group_tasks[self.group_sizes.argmin()]].name
            raise ValueError(
                f"The task {name} has plans in the split {split!r} but no pairs; build the data set again."
            )
        self._group_pairs = self.group_sizes.cumsum() - self.group_sizes  # first pair of each group
        self._group_examples = (self.group_sizes * self.group_members).cumsum()  # after each group
        self._grids = PackedGrids([grid for group in pairs for pair in group for grid in pair])
        # the compiled code does not check its indices
        if plans.symmetries.max() >= NUM_DIHEDRAL or plans.colors.max() >= NUM_COLORS:
            raise ValueError(f"The split {split!r} has colors over 9 or symmetries over 7; build the data set again.")

    @property
    def num_groups(self) -> int:
        """Number of groups, which are tasks."""
        return len(self.group_tasks)

    @property
    def num_examples(self) -> int:
        """Number of examples of all members."""
        return int(self._group_examples[-1])

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Group, member and example of rows counted over all examples, group by group, member by member.

        Args:
            rows: from 0 to `num_examples - 1`, `(batch,)`.

        Raises:
            IndexError: if there is no such row.
        """
        rows = np.asarray(rows)
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.num_examples:
            raise IndexError(
                f"There are {self.num_examples} examples, but {rows.min()} to {rows.max()} were requested."
            )
        groups = np.searchsorted(self._group_examples, rows, side="right")
        sizes = self.group_sizes[groups]
        members, examples = np.divmod(
            rows - (self._group_examples[groups] - sizes * self.group_members[groups]), sizes
        )
        return groups, members, examples

    def plan(self, group: int, member: int) -> Plan:
        """The plan that makes a member from the task of a group; maps predictions back."""
        row = self._group_plans[group] + member
        colors = "".join(map(str, self.plans.colors[row]))
        return Plan(self.tasks[self.group_tasks[group]].name, int(self.plans.symmetries[row]), colors)

    def rooms(self, groups: np.ndarray, members: np.ndarray, examples: np.ndarray) -> np.ndarray:
        """Number of rows and columns where each example can start so that both grids fit: `(batch, 2)` int64."""
        sizes = self._grids.shapes.reshape(-1, 2, 2)[self._group_pairs[groups] + examples].max(1)
        is_turned = IS_TURNED[self.plans.symmetries[self._group_plans[groups] + members]]
        return MAX_SIZE + 1 - np.where(is_turned[:, None], sizes[:, ::-1], sizes)

    def stored_offsets(self, groups: np.ndarray, members: np.ndarray, examples: np.ndarray) -> np.ndarray | None:
        """The offsets stored in the data set, `(batch, 2)` int64, or `None` if they are to be drawn."""
        if self.plans.offsets is None:
            return None
        sizes = self.group_sizes[groups]
        firsts = self._group_examples[groups] - sizes * self.group_members[groups]
        return self.plans.offsets[firsts + members * sizes + examples].astype(np.int64)

    def identifiers(self, groups: np.ndarray, members: np.ndarray) -> np.ndarray:
        """Puzzle identifiers of members, `(batch,)` int64."""
        return self.plans.identifiers[self._group_plans[groups] + members].astype(np.int64)

    def batch(
        self, groups: np.ndarray, members: np.ndarray, examples: np.ndarray, offsets: np.ndarray | None = None
    ) -> dict[str, torch.Tensor]:
        """Draw examples.

        Args:
            groups, members, examples: which ones, `(batch,)` each.
            offsets: row and column of the canvas where each starts, `(batch, 2)`; by default the top left corner.

        Returns:
            `input_ids` and `labels`, `(batch, 900)` int64, with -100 for padding of labels; `puzzle_identifiers`,
            `(batch,)` int64.

        Raises:
            ValueError: if a grid does not fit at its offset.
        """
        rows = self._group_plans[groups] + members
        shape = (len(rows), MAX_SIZE, MAX_SIZE)
        input_ids, labels = np.zeros(shape, dtype=np.int64), np.full(shape, IGNORE_INDEX, dtype=np.int64)
        for part, canvases in enumerate((input_ids, labels)):
            self._grids.draw(
                2 * (self._group_pairs[groups] + examples) + part,
                self.plans.symmetries[rows],
                self.plans.colors[rows],
                canvases,
                offsets,
                border=True,
            )
        return {
            "input_ids": torch.from_numpy(input_ids).flatten(1),
            "labels": torch.from_numpy(labels).flatten(1),
            "puzzle_identifiers": torch.from_numpy(self.identifiers(groups, members)),
        }


@cache
def _views() -> np.ndarray:
    """How each symmetry reads a grid of each shape, `(31, 31, 8, 5)` int64.

    Rows and columns of the image, and where its cell (r, c) comes from: `first + r * row_step + c * column_step`.
    """
    views = np.zeros((MAX_SIZE + 1, MAX_SIZE + 1, NUM_DIHEDRAL, 5), dtype=np.int64)
    for rows in range(1, MAX_SIZE + 1):
        for columns in range(1, MAX_SIZE + 1):
            cells = np.arange(rows * columns).reshape(rows, columns)
            for index in range(NUM_DIHEDRAL):
                image = dihedral(cells, index)
                steps = (step // cells.itemsize for step in image.strides)
                views[rows, columns, index] = (*image.shape, image[0, 0], *steps)
    return views


@numba.njit(cache=True)
def _draw(cells, starts, views, colors, offsets, canvases, border):
    """Draw grids on canvases.

    Args:
        cells: of all grids, uint8.
        starts: first cell of each grid to draw, `(batch,)`.
        views: how each is read, as a row of `_views`, `(batch, 5)`.
        colors: `(batch, 10)`.
        offsets: `(batch, 2)`.
        canvases: to draw on, `(batch, side, side)`.
        border: whether to mark the end of the grid.
    """
    side = canvases.shape[1]
    for item in range(len(starts)):
        top, left = offsets[item, 0], offsets[item, 1]
        rows, columns, first, row_step, column_step = views[item]
        canvas = canvases[item]
        for row in range(rows):
            cell = starts[item] + first + row * row_step
            for column in range(columns):
                canvas[top + row, left + column] = FIRST_COLOR + colors[item, cells[cell]]
                cell += column_step
        if border and top + rows < side:
            canvas[top + rows, left : left + columns] = END_OF_GRID
        if border and left + columns < side:
            canvas[top : top + rows, left + columns] = END_OF_GRID


# --- sampling


class ArcDraws(GroupedDraws):
    """The training examples of a run, in order, as in the original: one random member of each group per epoch.

    Translation is also as in the original, but drawn at every visit of a member instead of once when the data set is
    built: one random example stays in the corner of the canvas; the others start at any place where both grids fit.
    Offsets stored in a data set are kept.

    Args:
        puzzles: of the training split.
        num_draws: length of the run in examples.
        seed: for order, members and translations.
        translate: whether to translate at all.
    """

    def __init__(self, puzzles: ArcPuzzles, num_draws: int, seed: int, translate: bool = True):
        super().__init__(
            torch.from_numpy(puzzles.group_sizes), torch.from_numpy(puzzles.group_members), num_draws, seed
        )
        self.puzzles = puzzles
        self.translate = translate

    def __getitems__(self, draws: list[int]) -> dict[str, torch.Tensor]:
        """One batch from `ArcPuzzles.batch`."""
        visits = self.visits(draws)
        place = (visits.groups.numpy(), visits.members.numpy(), visits.examples.numpy())
        offsets = None
        if self.translate:
            offsets = self.puzzles.stored_offsets(*place)
            if offsets is None:
                offsets = random_offsets(self.puzzles, *place, visits.numbers, torch.tensor(draws), self.epochs.seed)
        return self.puzzles.batch(*place, offsets)


def random_offsets(
    puzzles: ArcPuzzles,
    groups: np.ndarray,
    members: np.ndarray,
    examples: np.ndarray,
    member_numbers: torch.LongTensor,
    example_numbers: torch.LongTensor,
    seed: int,
) -> np.ndarray:
    """Random translations: one example of each member stays in the corner.

    Args:
        puzzles: with the examples.
        groups, members, examples: which examples, `(batch,)` each.
        member_numbers: equal for the examples of one visit of a member, and different for others, `(batch,)`.
        example_numbers: different for all examples, `(batch,)`.
        seed: the offsets depend only on it and the numbers.

    Returns:
        Row and column where each example starts, `(batch, 2)` int64.
    """
    # GroupedDraws chooses the member by the first key of a visit
    corner_keys = shift_right(random_keys(member_numbers, seed, 2)[:, 1], 1).numpy()
    offset_keys = shift_right(random_keys(example_numbers, seed, 4)[:, 2:], 1).numpy()
    offsets = offset_keys % puzzles.rooms(groups, members, examples)
    offsets[corner_keys % puzzles.group_sizes[groups] == examples] = 0
    return offsets


# --- folders


def load_arc(folder: str | Path, split: str) -> ArcPuzzles:
    """The puzzles of a split of an ARC data set.

    Args:
        folder: a folder written by `dataset_scripts/build_arc.py`, or the name of such a data set on the Hub.
        split: `"train"` or `"test"`.

    Raises:
        FileNotFoundError: if the data set does not exist.
        ValueError: if it does not have ARC tasks, or no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"ARC data sets have the splits train and test, but no split {split!r}.")
    local = arc_folder(folder)
    return ArcPuzzles(load_arc_tasks(local), load_plans(local, split), split)


def arc_folder(folder: str | Path) -> Path:
    """The local folder of an ARC data set; raises the errors of `load_arc`."""
    local = local_folder(folder, ["data/*"], "build_arc.py")
    for name in ("tasks", *SPLITS):
        if not parquet_path(local, name).is_file():
            raise ValueError(
                f"The data set {folder} has no file data/{parquet_path(local, name).name}, so it does not have ARC "
                "tasks; give a folder written by dataset_scripts/build_arc.py."
            )
    return local


def num_puzzle_identifiers(folder: str | Path) -> int:
    """Number of identifiers of an ARC data set with the blank one: `num_puzzle_identifiers` of a model for it."""
    local = arc_folder(folder)
    return 1 + max(_max_identifier(parquet_path(local, split)) for split in SPLITS)


def puzzle_names(tasks: list[ArcTask], splits: Iterable[Plans]) -> list[str]:
    """Names of the puzzles by their identifiers, as in the original's identifiers.json; that of 0 is `<blank>`.

    Args:
        tasks: of the data set.
        splits: its plans.
    """
    splits = list(splits)
    names = [BLANK_NAME] * (1 + max(int(plans.identifiers.max()) for plans in splits))
    for plans in splits:
        columns = (plans.tasks, plans.symmetries.tolist(), plans.color_strings(), plans.identifiers)
        for task, symmetry, colors, identifier in zip(*columns, strict=True):
            names[identifier] = Plan(tasks[task].name, symmetry, colors).name
    return names


def _max_identifier(path: Path) -> int:
    return int(_read(path, ("identifier",))["identifier"].to_numpy().max())


def load_arc_tasks(folder: Path) -> list[ArcTask]:
    """The tasks of a local folder."""
    table = _read(parquet_path(folder, "tasks"), _TASK_COLUMNS).combine_chunks()
    columns = [table[name].to_pylist() for name in ("name", "source", "role")]
    columns += [_pairs(table[name].combine_chunks()) for name in ("train", "test")]
    return [ArcTask(*row) for row in zip(*columns, strict=True)]


def load_generated(folder: Path, tasks: list[ArcTask]) -> list[ArcTask]:
    """The tasks with their generated pairs.

    Args:
        folder: a local folder.
        tasks: from `load_arc_tasks`.

    Raises:
        ValueError: if the data set has no generated pairs.
    """
    path = parquet_path(folder, "generated")
    if not path.is_file():
        raise ValueError(
            f"{folder} has no generated pairs; build it again with build_arc.py --generated, or set "
            "arc_share_generated to 0."
        )
    table = _read(path, ("task", "pairs")).combine_chunks()
    generated = dict(zip(table["task"].to_pylist(), _pairs(table["pairs"].combine_chunks()), strict=True))
    return [replace(task, generated=generated.get(number, ())) for number, task in enumerate(tasks)]


def _pairs(column: pa.ListArray) -> list[tuple[ArcPair, ...]]:
    """The pairs of each task, from a column of lists of structs of lists of lists of cells."""
    structs = column.flatten()
    inputs, outputs = (_grids(structs.field(side)) for side in ("input", "output"))
    pairs = [ArcPair(*pair) for pair in zip(inputs, outputs, strict=True)]
    ends = np.cumsum(column.value_lengths().to_numpy())
    return [tuple(pairs[start:end]) for start, end in zip(np.append(0, ends), ends, strict=False)]


def _grids(column: pa.ListArray) -> list[np.ndarray]:
    """The grids of a column of lists of rows; views of one array."""
    rows = column.flatten()
    cells = rows.flatten().to_numpy()
    grid_rows, row_cells = column.value_lengths().to_numpy(), rows.value_lengths().to_numpy()
    # an unknown output has neither rows nor columns
    columns = np.zeros_like(grid_rows)
    columns[grid_rows > 0] = row_cells[(np.cumsum(grid_rows) - grid_rows)[grid_rows > 0]]
    ends = np.cumsum(grid_rows * columns)
    return [
        part.reshape(shape)
        for part, shape in zip(np.split(cells, ends[:-1]), zip(grid_rows, columns, strict=True), strict=True)
    ]


def load_plans(folder: Path, split: str) -> Plans:
    """The plans of a split of a local folder."""
    path = parquet_path(folder, split)
    has_offsets = "offsets" in pq.read_schema(path).names
    table = _read(path, (*_PLAN_COLUMNS, *(["offsets"] if has_offsets else [])))
    colors = table["colors"].to_pylist()
    if any(len(text) != NUM_COLORS for text in colors):
        raise ValueError(f"{path} has colors that are not ten digits; build the data set again.")
    offsets = None
    if has_offsets:
        offsets = table["offsets"].combine_chunks().flatten().flatten().to_numpy().reshape(-1, 2)
    return Plans(
        tasks=table["task"].to_numpy(),
        symmetries=table["symmetry"].to_numpy(),
        colors=color_table(colors),
        identifiers=table["identifier"].to_numpy(),
        offsets=offsets,
    )


def _read(path: Path, columns: tuple[str, ...]) -> pa.Table:
    there = [_NEW_NAMES.get(name, name) for name in pq.read_schema(path).names]
    if missing := [name for name in columns if name not in there]:
        raise ValueError(
            f"{path} has no column {' and '.join(missing)}, only {', '.join(there)}; give a folder written by "
            "dataset_scripts/build_arc.py."
        )
    return pq.read_table(path).rename_columns(there).select(list(columns))
