"""Run folders for the monitor: read while they are written, only new lines, and in bounded memory.

logs = RunLogs(Path("runs"))
logs.names()                        # ["demo", "final_cpu/cpu_llama", ...], latest first
run = logs.read("demo")             # once for any number of visitors
run.series["lm_loss"].points("step")
run.evaluations[-1].scores
"""

import json
import math
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hrm_hf.app.others_files import folders_with, open_regular, read_beginning, read_json_object, read_yaml_object


Axis = Literal["step", "minutes"]

_LEVELS = 3
_MAX_RUNS_KEPT = 24
_MAX_POINTS = 2000  # of a series; a longer one is thinned to half
_MAX_EVALUATIONS = 200  # with samples and boards; older ones keep their scores as points
_MAX_BYTES = 16_000_000  # of a log, per reading
_MAX_LINE = 4_000_000
_MAX_SHOWN = 12  # samples or boards of an evaluation
_MAX_RECIPE = 20_000
_MAX_NUMBER = 1e15  # larger ones are not from a real run
_SCAN_SECONDS = 2  # a list of folders stays valid for so long
_QUIET_SECONDS = 180  # a run that is silent for longer counts as stopped


class Series:
    """Values by step and minutes; a long series keeps the lowest and the highest of every few points."""

    def __init__(self):
        self._rows: list[tuple[float, float, float]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, step: float, minutes: float, value: float):
        """Add a point."""
        self._rows.append((step, minutes, value))
        if len(self._rows) > _MAX_POINTS:
            self._rows = thinned(self._rows, _MAX_POINTS // 2)

    def points(self, axis: Axis, most: int | None = None) -> tuple[list[float], list[float]]:
        """Positions and values, at most about `most` points."""
        # a copy, because the next reading may add points in the meantime
        rows = list(self._rows) if most is None else thinned(list(self._rows), most)
        column = 0 if axis == "step" else 1
        return [row[column] for row in rows], [row[2] for row in rows]


def thinned(rows: list[tuple[float, float, float]], most: int) -> list[tuple[float, float, float]]:
    """At most `most` rows: the rows with the lowest and the highest value of each of `most / 2` stretches.

    Peaks, which a mean would flatten, stay; so do the first row and the last.
    """
    if len(rows) <= most:
        return rows
    first, last, middle = rows[0], rows[-1], rows[1:-1]
    stretches = max(1, (most - 2) // 2)
    kept = [first]
    for index in range(stretches):
        stretch = middle[index * len(middle) // stretches : (index + 1) * len(middle) // stretches]
        low = min(range(len(stretch)), key=lambda row: stretch[row][2])
        high = max(range(len(stretch)), key=lambda row: stretch[row][2])
        kept += [stretch[row] for row in sorted({low, high})]
    return [*kept, last]


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a run.

    Attributes:
        step, minutes: when.
        scores: its numbers, without the `eval_` of the log.
        samples: generated texts: `prompt` and `continuation` of each.
        boards: `puzzle`, `prediction`, `answer` as lines of characters, and `segments` of each.
    """

    step: int
    minutes: float
    scores: dict[str, float]
    samples: list[dict[str, str]]
    boards: list[dict[str, Any]]


@dataclass
class RunLog:
    """What is known about a run.

    Attributes:
        name: of its folder, under the root.
        series: by the name in the log, `eval_` included.
        evaluations: the latest ones.
        last_step, last_minutes: of the last line; -1 and 0 before there is one.
        recipe: its options, as text.
        options: the same, parsed.
        result: result.json, once the run has ended.
        changed: seconds since 1970 of the last change of the log, or of the recipe if there is no log.
        version: increases whenever any of this changes.
    """

    name: str
    series: dict[str, Series] = field(default_factory=dict)
    evaluations: list[Evaluation] = field(default_factory=list)
    last_step: int = -1
    last_minutes: float = 0.0
    recipe: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    changed: float = 0.0
    version: int = 0

    @property
    def max_steps(self) -> int | None:
        """Steps of the recipe; if it counts epochs, the steps that were taken, `None` before the run has ended."""
        for value in (self.options.get("max_steps"), (self.result or {}).get("steps")):
            if isinstance(value, int) and (number := _number(value)) is not None and number > 0:
                return int(number)
        return None

    def state(self, now: float | None = None) -> Literal["finished", "running", "starting", "stopped"]:
        """Whether the run has ended, is running, or has been silent for so long that it must have stopped."""
        if self.result is not None:
            return "finished"
        age = (time.time() if now is None else now) - self.changed
        # a line comes every log_steps; an evaluation between two lines may take a while
        between = 60 * self.last_minutes / max(1, len(self.series.get("lr", ())))
        if age > max(_QUIET_SECONDS, 10 * between):
            return "stopped"
        return "running" if self.last_step >= 0 else "starting"


class RunLogs:
    """The runs under one folder. A name is looked up among those found there, never used as a path.

    Args:
        root: the folder; run folders are those with a recipe.yaml, up to 3 levels deep.
    """

    def __init__(self, root: Path):
        self.root = Path(root)
        self._lock = threading.Lock()
        self._readers: OrderedDict[str, _Reader] = OrderedDict()
        self._found: dict[str, Path] = {}
        self._scanned = -math.inf

    def names(self) -> list[str]:
        """The runs, the one written to last first."""
        self._scanned = -math.inf
        return sorted(self._folders(), key=self._last_written, reverse=True)

    def read(self, name: str) -> RunLog:
        """The current state of a run; what was read before is not read again.

        Raises:
            ValueError: if there is no such run.
        """
        folder = self._folders().get(name) if isinstance(name, str) else None
        if folder is None:
            raise ValueError(f"There is no run {str(name)[:80]!r} here; choose one from the list.")
        with self._lock:
            reader = self._readers.setdefault(name, _Reader(name, folder, self.root))
            self._readers.move_to_end(name)
            if len(self._readers) > _MAX_RUNS_KEPT:
                self._readers.popitem(last=False)
            return reader.read()

    def _folders(self) -> dict[str, Path]:
        """The run folders by name; from the last scan, if it is recent."""
        if time.monotonic() - self._scanned > _SCAN_SECONDS:
            self._found = dict(folders_with(self.root, "recipe.yaml", _LEVELS))
            self._scanned = time.monotonic()
        return self._found

    def _last_written(self, name: str) -> float:
        return max((_changed(self.root / name / file) for file in ("log.jsonl", "recipe.yaml")), default=0.0)


class _Reader:
    """Follows the files of one run."""

    def __init__(self, name: str, folder: Path, root: Path):
        self.folder, self.root = folder, root
        self.run = RunLog(name)
        self._stamps: dict[str, float] = {}
        self._forget()

    def read(self) -> RunLog:
        self._read_recipe()
        self._read_log()
        self._read_result()
        changed = _changed(self.folder / "log.jsonl") or _changed(self.folder / "recipe.yaml")
        self.run.changed = changed
        return self.run

    def _forget(self):
        """Reset to the state before the first line of the log."""
        self._offset, self._tail, self._head, self._inode, self._skipping = 0, b"", b"", None, False
        self.run.series, self.run.evaluations = {}, []
        self.run.last_step, self.run.last_minutes = -1, 0.0

    def _read_log(self):
        try:
            log = open_regular(self.folder / "log.jsonl", self.root)
        except OSError:
            if self._offset:
                self._forget()
                self.run.version += 1
            return
        with log:
            status = os.fstat(log.fileno())
            # a run that resumes or restarts rewrites its log; its first bytes show whether an inode is reused
            head = log.read(len(self._head))
            if status.st_size < self._offset or head != self._head or self._inode not in (None, status.st_ino):
                self._forget()
            self._inode = status.st_ino
            if len(self._head) < 128:
                log.seek(0)
                self._head = log.read(128)
            log.seek(self._offset)
            new = log.read(_MAX_BYTES)
        if not new:
            return
        self._offset += len(new)
        *lines, self._tail = (self._tail + new).split(b"\n")
        if len(self._tail) > _MAX_LINE:
            self._tail, self._skipping = b"", True  # not a log of a run: wait for the next line
        for line in lines:
            if self._skipping:
                self._skipping = False
                continue
            self._take(line)
        self.run.version += 1

    def _take(self, line: bytes):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):  # not JSON, or not text: a line of a run that was killed while writing
            return
        if not isinstance(record, dict):
            return
        step, minutes = _number(record.get("step")), _number(record.get("minutes"))
        if step is None or minutes is None:
            return
        self.run.last_step, self.run.last_minutes = int(step), minutes
        numbers = {name: value for name, text in record.items() if (value := _number(text)) is not None}
        for name, value in numbers.items():
            if name not in ("step", "minutes") and (name in self.run.series or len(self.run.series) < 100):
                self.run.series.setdefault(name, Series()).add(step, minutes, value)
        if any(name.startswith("eval_") for name in record):
            scores = {name.removeprefix("eval_"): value for name, value in numbers.items() if name[:5] == "eval_"}
            samples, boards = _dicts(record.get("eval_samples")), _dicts(record.get("eval_boards"))
            self.run.evaluations.append(Evaluation(int(step), minutes, scores, samples, boards))
            del self.run.evaluations[:-_MAX_EVALUATIONS]

    def _read_recipe(self):
        if self._is_new("recipe.yaml"):
            text = read_beginning(self.folder / "recipe.yaml", self.root, _MAX_RECIPE)
            self.run.recipe = text
            self.run.options = read_yaml_object(text)

    def _read_result(self):
        # a run that resumes after its end keeps its old result until it ends again
        stale = _changed(self.folder / "log.jsonl") > _changed(self.folder / "result.json") + 5
        if stale:
            if self.run.result is not None:
                self.run.version += 1
            self.run.result = None
            self._stamps.pop("result.json", None)
        elif self._is_new("result.json"):
            self.run.result = read_json_object(self.folder / "result.json", self.root) or None

    def _is_new(self, file: str) -> bool:
        stamp = _changed(self.folder / file)
        if stamp == self._stamps.get(file):
            return False
        self._stamps[file] = stamp
        self.run.version += 1
        return True


def _changed(path: Path) -> float:
    """Seconds since 1970 of the last change; 0 if there is no such file."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if abs(value) <= _MAX_NUMBER else None
    except OverflowError:
        return None


def _dicts(value: Any) -> list[dict]:
    """The first dictionaries of a list; none, if it is not such a list."""
    if not isinstance(value, list):
        return []
    return [item for item in value[:_MAX_SHOWN] if isinstance(item, dict)]
