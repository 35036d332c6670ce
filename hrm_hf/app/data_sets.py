"""The data sets that the app shows: found under one folder, opened when first viewed.

shelf = DataShelf(Path("data"))
shelf.names()                                      # ["arc-1", "sudoku-9x9", ...]
shelf.splits("arc-1")                              # {"tasks": ["tasks"], "plans": ["train", "test"]}
split = shelf.open("sudoku-9x9", "default", "train")
split.num_rows, split.columns["rating"], split.picture(3)
"""

import io
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hrm_hf.app.context import DRAWING
from hrm_hf.app.others_files import folders_with, holds_its_own, named, read_beginning, split_card


if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hrm_hf.puzzles.arc.tasks import ArcTask

_LEVELS = 2
_MAX_OPEN = 3
_MAX_PICTURES = 200
_CARD_CHARACTERS = 6000
_DPI = 105


class OpenSplit(ABC):
    """A split that is open.

    Attributes:
        kind: in words.
        num_rows: of the split; for ARC, its tasks.
        columns: for filters and statistics, `(num_rows,)` each: `source` and `rating` if known, and others.
        rows_per_page: number of rows shown at a time.
    """

    kind: str
    num_rows: int
    columns: dict[str, np.ndarray]
    rows_per_page: int

    def __init__(self):
        self._pictures: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    @abstractmethod
    def content(self, row: int, member: int = 0) -> dict[str, Any]:
        """A row as plain values."""

    @abstractmethod
    def caption(self, row: int) -> str:
        """A row in a few words."""

    def num_members(self, row: int) -> int:
        """Number of forms of a row: for ARC, the task and its augmentations."""
        return 1

    def picture(self, row: int, member: int = 0) -> bytes:
        """A row as a PNG: its input and its label.

        Raises:
            ValueError: if there is no such row.
        """
        if (row, member) not in self._pictures:
            with DRAWING:
                buffer = io.BytesIO()
                self._figure(row, member).savefig(buffer, dpi=_DPI, facecolor="white")
            self._pictures[row, member] = buffer.getvalue()
            if len(self._pictures) > _MAX_PICTURES:
                self._pictures.popitem(last=False)
        return self._pictures[row, member]

    def alternative(self, row: int, member: int = 0) -> str:
        """The picture of a row in words."""
        return self.caption(row)

    def _figure(self, row: int, member: int) -> "Figure":
        raise ValueError(f"A row of {self.kind} has no picture; it is shown as text.")


class BoardSplit(OpenSplit):
    """Puzzles with an answer."""

    rows_per_page = 4

    def __init__(self, folder: Path, name: str, split: str):
        super().__init__()
        from hrm_hf.puzzles.sets import open_puzzles

        self.name = name
        self.puzzles = open_puzzles(str(folder), split)
        # a page must not show where the folder is on this machine
        self.puzzles.dataset = name
        processor = self.puzzles.processor
        self.kind = f"{self.puzzles.kind.name} {processor.height}x{processor.width}"
        self.num_rows = len(self.puzzles.rows)
        there = self.puzzles.rows.column_names
        names = [column for column in ("source", "rating", "clues", "steps") if column in there]
        self.columns = {column: np.asarray(self.puzzles.rows[column][:]) for column in names}

    def content(self, row: int, member: int = 0) -> dict[str, Any]:
        return self.puzzles.rows[row]

    def caption(self, row: int) -> str:
        facts = [f"{name} {values[row]}" for name, values in self.columns.items() if name != "steps"]
        if "steps" in self.columns:
            facts.append(f"path of {self.columns['steps'][row]} steps")
        return f"row {row}: {', '.join(facts)}" if facts else f"row {row}"

    def alternative(self, row: int, member: int = 0) -> str:
        content = self.puzzles.rows[row]
        if len(content["question"]) > 100:
            return f"{self.kind} with its answer, {self.caption(row)}"
        return f"{self.kind} {content['question']} with the answer {content['answer']}"

    def _figure(self, row: int, member: int) -> "Figure":
        return self.puzzles.figure([row])


class ArcTasks(OpenSplit):
    """The original tasks of an ARC data set."""

    rows_per_page = 1
    kind = "ARC tasks"

    def __init__(self, tasks: "Sequence[ArcTask]"):
        super().__init__()
        self.tasks = tasks
        self.num_rows = len(tasks)
        self.columns = {
            "source": np.array([f"{task.source}, {task.role}" for task in tasks]),
            "demonstrations": np.array([len(task.train) for task in tasks]),
            "cells of the largest grid": np.array(
                [max(grid.size for pair in (*task.train, *task.test) for grid in pair) for task in tasks]
            ),
        }

    def content(self, row: int, member: int = 0) -> dict[str, Any]:
        task = self.tasks[row]
        sides = {
            side: [{"input": pair.input.tolist(), "output": pair.output.tolist()} for pair in pairs]
            for side, pairs in (("train", task.train), ("test", task.test))
        }
        return {"name": task.name, "source": task.source, "role": task.role} | sides

    def caption(self, row: int) -> str:
        task = self.tasks[row]
        return f"row {row}: {task.name} ({task.source}, {task.role}), {len(task.train)} demonstrations"

    def alternative(self, row: int, member: int = 0) -> str:
        return f"ARC task, inputs above outputs, {self.caption(row)}"

    def _figure(self, row: int, member: int) -> "Figure":
        from hrm_hf.puzzles.arc.drawing import draw_arc_task

        return draw_arc_task(self.tasks[row])


class ArcSplit(ArcTasks):
    """The tasks of a split of an ARC data set, each with its augmentations."""

    kind = "ARC tasks with augmentations"

    def __init__(self, folder: Path, name: str, split: str):
        from hrm_hf.puzzles.arc.puzzles import load_arc

        self.name = name
        self.arc = load_arc(folder, split)
        super().__init__([self.arc.tasks[task] for task in self.arc.group_tasks])
        self.columns["forms of a task, augmentations included"] = self.arc.group_members

    def num_members(self, row: int) -> int:
        return int(self.arc.group_members[row])

    def content(self, row: int, member: int = 0) -> dict[str, Any]:
        plan = self.arc.plan(row, member)
        task = plan.apply_to_task(self.tasks[row])
        return ArcTasks([task]).content(0) | {
            "augmentation": plan.name,
            "symmetry": plan.symmetry,
            "colors": plan.colors,
        }

    def _figure(self, row: int, member: int) -> "Figure":
        from hrm_hf.puzzles.arc.drawing import draw_member

        return draw_member(self.arc, row, member, self.name)


class TextSplit(OpenSplit):
    """Blocks of text."""

    rows_per_page = 3
    kind = "text"

    def __init__(self, folder: Path, split: str):
        super().__init__()
        from hrm_hf.text.blocks import load_text_blocks, load_text_tokenizer

        self.blocks, self.tokenizer = load_text_blocks(folder, split), load_text_tokenizer(folder)
        self.num_rows = len(self.blocks)
        self.columns = {"bytes": self.blocks.num_bytes, "tokens": np.diff(self.blocks.starts)}

    def content(self, row: int, member: int = 0) -> dict[str, Any]:
        block = self.blocks[row]
        return {
            "text": self.tokenizer.decode(block["input_ids"]),
            "tokens": len(block["input_ids"]),
            "bytes": block["num_bytes"],
        }

    def caption(self, row: int) -> str:
        return f"row {row}: {self.columns['tokens'][row]:,} tokens, {self.columns['bytes'][row]:,} bytes"


class DataShelf:
    """Data set folders under one folder. A name is looked up among those found there, never used as a path.

    Args:
        root: the folder; data sets are folders with a card and a folder `data`, up to 2 levels deep.
    """

    def __init__(self, root: Path):
        self.root = Path(root)
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, str, str], OpenSplit] = OrderedDict()

    def names(self) -> list[str]:
        """The data sets."""
        return sorted(self._folders())

    def quickest(self) -> str | None:
        """The data set that opens fastest, to start with: the smallest; `None` if there are none."""
        folders = self._folders()
        sizes = {
            name: sum(file.stat().st_size for file in folder.glob("data/*.parquet"))
            for name, folder in folders.items()
        }
        # one without files or with a damaged card cannot be opened at all
        return min(sizes, key=lambda name: (sizes[name] == 0, not self._has_card(name), sizes[name]), default=None)

    def splits(self, name: str) -> dict[str, list[str]]:
        """Splits by subset, as named by the card; those with files, if it names none.

        Raises:
            ValueError: if there is no such data set, or its card cannot be read.
        """
        folder = self._folder(name)
        named = _splits_of_card(folder, self.root) or {}  # a card that hrm-hf did not write
        there = sorted({path.name.split("-")[0] for path in folder.glob("data/*.parquet")})
        if not there:
            raise ValueError(f"The data set {name} has no files data/*.parquet; build it again.")
        return named or {"default": there}

    def card(self, name: str) -> str:
        """The beginning of a data card as Markdown, without its metadata and pictures."""
        _, text = split_card(read_beginning(self._folder(name) / "README.md", self.root))
        lines = [line for line in text.splitlines() if not line.startswith("![")]
        text = "\n".join(lines).strip("- \n")
        return text if len(text) <= _CARD_CHARACTERS else text[:_CARD_CHARACTERS].rsplit("\n", 1)[0] + "\n\n..."

    def open(self, name: str, subset: str, split: str) -> OpenSplit:
        """A split; recently viewed ones stay open.

        Raises:
            ValueError, FileNotFoundError: if there is no such split, or it cannot be read.
        """
        folder, splits = self._folder(name), self.splits(name)
        if subset not in splits:
            raise ValueError(f"The data set {name} has no subset {str(subset)[:80]!r}; it has {', '.join(splits)}.")
        if split not in splits[subset]:
            raise ValueError(
                f"The subset {subset} of {name} has no split {str(split)[:80]!r}; it has {', '.join(splits[subset])}."
            )
        key = (name, subset, split)
        with self._lock:
            if key not in self._open:
                with named(folder, name):
                    self._open[key] = _open(folder, name, subset, split)
                if len(self._open) > _MAX_OPEN:
                    self._open.popitem(last=False)
            self._open.move_to_end(key)
            return self._open[key]

    def _has_card(self, name: str) -> bool:
        return _splits_of_card(self._folder(name), self.root) is not None

    def _folder(self, name: str) -> Path:
        folders = self._folders()
        if not isinstance(name, str) or name not in folders:
            raise ValueError(f"There is no data set {str(name)[:80]!r} here; choose one from the list.")
        return folders[name]

    def _folders(self) -> dict[str, Path]:
        from hrm_hf.data.folder import is_dataset_folder

        found = folders_with(self.root, "README.md", _LEVELS)
        return {
            name: folder
            for name, folder in found
            if is_dataset_folder(folder)
            and holds_its_own(folder, self.root)
            and holds_its_own(folder / "data", self.root)
        }


def _splits_of_card(folder: Path, root: Path) -> dict[str, list[str]] | None:
    """Splits by subset, as named by the card of a data set; `None` if it is damaged or names none."""
    metadata, _ = split_card(read_beginning(folder / "README.md", root))
    try:
        splits = {
            str(config["config_name"]): [str(files["split"]) for files in config["data_files"]]
            for config in metadata.get("configs") or []
        }
    except (TypeError, KeyError, AttributeError):
        return None
    return splits or None


def _open(folder: Path, name: str, subset: str, split: str) -> OpenSplit:
    if (folder / "tokenizer").is_dir():
        return TextSplit(folder, split)
    from hrm_hf.puzzles.arc.kind import ARC
    from hrm_hf.puzzles.sets import kind_of_dataset

    if kind_of_dataset(str(folder), split)[0] is ARC:
        if subset == ARC.subset:
            from hrm_hf.puzzles.arc.puzzles import arc_folder, load_arc_tasks

            return ArcTasks(load_arc_tasks(arc_folder(folder)))
        return ArcSplit(folder, name, split)
    return BoardSplit(folder, name, split)
