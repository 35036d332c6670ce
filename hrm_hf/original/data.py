"""Data set folders as directories of the original code, and back.

A conversion there and back is equal bit for bit (see `original.layout`; dataset/build_*_dataset.py).
"""

import math
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import torch
import typer
from tqdm import tqdm

from hrm_hf.data.folder import check_output_dir, finished_splits, local_folder, parquet_path, write_dataset_folder
from hrm_hf.data.publish import pushes
from hrm_hf.data.recipe import recipe_text
from hrm_hf.original.layout import (
    OriginalSplit,
    read_identifiers,
    read_splits,
    write_identifiers,
    write_split,
)
from hrm_hf.puzzles import registry
from hrm_hf.puzzles.arc.build import card_text, leak_lines, statistics, write_arc_folder
from hrm_hf.puzzles.arc.kind import ARC
from hrm_hf.puzzles.arc.plans import BLANK_NAME, Plan, Plans, color_table, parse_plan
from hrm_hf.puzzles.arc.puzzles import (
    FIRST_COLOR,
    SPLITS,
    VOCAB_SIZE,
    ArcPuzzles,
    load_arc_tasks,
    load_plans,
    puzzle_names,
    random_offsets,
)
from hrm_hf.puzzles.arc.tasks import MAX_SIZE, ArcPair, ArcTask, find_leaks
from hrm_hf.puzzles.build import samples_picture
from hrm_hf.puzzles.kind import PuzzleKind
from hrm_hf.utils.files import sha256_of_files, whole_folder
from processing_hrm import HRMGridProcessor


_CHUNK = 10_000  # examples converted at a time


# --- export


def export_original(
    folder: Annotated[Path, typer.Argument(help="Data set folder written by `hrm-hf data`.")],
    output_dir: Annotated[Path, typer.Argument(help="Directory to write.")],
    num_aug: Annotated[
        int | None,
        typer.Option(
            help="Number of augmentations to store per training puzzle. Sudoku: random symmetries, by default none; "
            "mazes: symmetries of the square, by default none, at most 7; ARC: the first plans of each task, by "
            "default all."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed for the symmetries of Sudoku and the translations of ARC.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the directory if it exists.")] = False,
) -> dict[str, int]:
    """Write a Sudoku, maze or ARC data set folder as the arrays that the original code reads.

    Tokens are uint8 as in the original (except for its augmented Sudoku, where they are int64 with the same values).
    ARC training examples are translated as in the original: one example per puzzle stays in the corner.

    Returns:
        Number of examples by split.

    Raises:
        ValueError: for data that cannot be written, or an impossible number of augmentations.
        FileNotFoundError, FileExistsError: for a missing folder and an output directory that is in use.
    """
    if num_aug is not None and num_aug < 0:
        raise ValueError(f"num_aug={num_aug} is not allowed; it must be at least 0.")
    if output_dir.exists() and (not output_dir.is_dir() or any(output_dir.iterdir())):
        if not (output_dir / "train/dataset.json").is_file():
            raise FileExistsError(f"{output_dir} exists and has no such data; give another output directory.")
        if not overwrite:
            raise FileExistsError(f"{output_dir} already exists; give another output directory or --overwrite.")
    local = local_folder(folder, ["README.md", "data/*"], "build_sudoku.py, build_maze.py or build_arc.py")
    with whole_folder(output_dir) as partial:
        if parquet_path(local, ARC.subset).is_file():
            counts = _export_arc(local, partial, num_aug, seed)
        else:
            counts = _export_boards(local, partial, num_aug or 0, seed)
    for split, count in counts.items():
        print(f"{split}: {count:,} examples")
    print(f"written to {output_dir}")
    return counts


def _export_boards(folder: Path, output_dir: Path, num_aug: int, seed: int) -> dict[str, int]:
    # imports the package `datasets`, which ARC does not need
    from hrm_hf.puzzles.sets import open_puzzles

    counts = {}
    for split in ("train", "validation", "test"):
        if split == "validation" and not parquet_path(folder, split).is_file():
            continue  # optional in data sets
        puzzles = open_puzzles(str(folder), split)
        rows, processor = puzzles.rows, puzzles.processor
        groups = np.asarray(rows["group"]) if "group" in rows.column_names else np.arange(len(rows))
        starts = np.flatnonzero(np.diff(groups, prepend=-1))
        if num_aug and len(starts) != len(rows):
            raise ValueError(f"{folder} already has stored augmentations (column group); leave out num_aug.")
        members = 1 + (num_aug if split == "train" else 0)
        num_examples = len(rows) * members
        layout = OriginalSplit(
            vocab_size=processor.vocab_size,
            seq_len=processor.seq_len,
            num_puzzle_identifiers=1,
            puzzle_identifiers=np.zeros(num_examples),
            puzzle_indices=np.arange(num_examples + 1),
            group_indices=np.append(starts, len(rows)) * members,
        )
        write_split(output_dir / split, layout, _board_tokens(rows, split, processor, members - 1, seed))
        counts[split] = num_examples
    write_identifiers(output_dir, [BLANK_NAME])
    return counts


def _board_tokens(
    rows, split: str, processor: HRMGridProcessor, num_aug: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Inputs and labels of rows, each followed by its augmentations."""
    from hrm_hf.puzzles.rows import encode

    kind = registry.kind_of(processor)
    number = kind.num_copies(processor)
    if number is not None and num_aug >= number:
        raise ValueError(
            f"num_aug={num_aug} is not allowed; {kind.plural} of this shape have {number - 1} symmetries."
        )
    rows_at_a_time = max(1, _CHUNK // (1 + num_aug))
    for start in tqdm(range(0, len(rows), rows_at_a_time), desc=split, unit="chunk", leave=False):
        puzzles = encode(rows.select(range(start, min(start + rows_at_a_time, len(rows)))), processor)
        boards = (puzzles["input_ids"], puzzles["labels"])
        draws = torch.arange(start * num_aug, (start + len(boards[0])) * num_aug)
        numbers = 1 + torch.arange(num_aug).repeat(len(boards[0]))
        copies = kind.copies(processor, draws, numbers, seed)
        members = [
            torch.cat(
                (side.unsqueeze(1), copies.apply(side.repeat_interleave(num_aug, 0)).unflatten(0, (-1, num_aug))), 1
            )
            if num_aug
            else side.unsqueeze(1)
            for side in boards
        ]
        yield tuple(side.flatten(0, 1).numpy() for side in members)


def _export_arc(folder: Path, output_dir: Path, num_aug: int | None, seed: int) -> dict[str, int]:
    tasks = load_arc_tasks(folder)
    splits = {split: load_plans(folder, split) for split in SPLITS}
    if num_aug is not None:
        splits = _first_members(tasks, splits, 1 + num_aug)
    names = puzzle_names(tasks, splits.values())
    counts = {}
    for split, plans in splits.items():
        puzzles = ArcPuzzles(tasks, plans, split)
        layout = OriginalSplit(
            vocab_size=VOCAB_SIZE,
            seq_len=MAX_SIZE * MAX_SIZE,
            num_puzzle_identifiers=len(names),
            puzzle_identifiers=puzzles.plans.identifiers,
            puzzle_indices=np.append(0, np.cumsum(np.repeat(puzzles.group_sizes, puzzles.group_members))),
            group_indices=np.append(0, np.cumsum(puzzles.group_members)),
        )
        write_split(output_dir / split, layout, _arc_tokens(puzzles, seed))
        counts[split] = puzzles.num_examples
    write_identifiers(output_dir, names)
    return counts


def _first_members(tasks: list[ArcTask], splits: dict[str, Plans], limit: int) -> dict[str, Plans]:
    """At most this many plans per task, with identifiers that count up again, as if no more had been made."""
    kept = {}
    for split, plans in splits.items():
        starts = np.flatnonzero(np.diff(plans.tasks, prepend=-1))
        kept[split] = np.arange(len(plans)) - np.repeat(starts, np.diff(starts, append=len(plans))) < limit
    identifiers = np.unique(np.concatenate([splits[split].identifiers[kept[split]] for split in splits]))
    few = {}
    for split, plans in splits.items():
        offsets = plans.offsets
        if offsets is not None:
            sizes = np.array([len(task.pairs(split)) for task in tasks])[plans.tasks]
            offsets = offsets[np.repeat(kept[split], sizes)]
        few[split] = Plans(
            tasks=plans.tasks[kept[split]],
            symmetries=plans.symmetries[kept[split]],
            colors=plans.colors[kept[split]],
            identifiers=1 + np.searchsorted(identifiers, plans.identifiers[kept[split]]),
            offsets=offsets,
        )
    return few


def _arc_tokens(puzzles: ArcPuzzles, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Inputs and labels of all examples; those of the training split are translated."""
    for rows in _chunks(puzzles.num_examples, puzzles.split):
        place = puzzles.locate(rows)
        offsets = puzzles.stored_offsets(*place)
        if offsets is None and puzzles.split == "train":
            identifiers = torch.from_numpy(puzzles.identifiers(*place[:2]))
            offsets = random_offsets(puzzles, *place, identifiers, torch.from_numpy(rows), seed)
        batch = puzzles.batch(*place, offsets)
        # padding of labels, -100, is 0 in the original
        yield batch["input_ids"].numpy(), batch["labels"].clamp(min=0).numpy()


def _chunks(num_examples: int, split: str) -> Iterator[np.ndarray]:
    """Numbers of examples, some at a time, with a progress bar."""
    for start in tqdm(range(0, num_examples, _CHUNK), desc=split, unit="chunk", leave=False):
        yield np.arange(start, min(start + _CHUNK, num_examples))


# --- import


@pushes
def import_original(
    source: Annotated[Path, typer.Argument(help="Directory written by a build script of the original code.")],
    output_dir: Annotated[Path, typer.Argument(help="Folder to write.")],
    task: Annotated[
        str, typer.Option(help="Kind of its puzzles, for instance maze; auto infers it from the sizes.")
    ] = "auto",
    originals_only: Annotated[
        bool, typer.Option("--originals-only", help="Sudoku, mazes: leave out stored augmentations.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing data set folder.")] = False,
) -> dict[str, int]:
    """Turn a directory of the original code into a data set folder.

    Sudoku and mazes become questions and answers, with a column `group` if augmentations are stored. ARC becomes tasks
    and plans, read from the names of the puzzles; the translation of each example is kept. The original does not store
    which pairs of a training task were its test pairs, so all are demonstrations. Directories of TRM have the same
    layout and can be read too.

    Returns:
        Number of rows by split.

    Raises:
        ValueError: for files that do not match or have other contents.
        FileNotFoundError, FileExistsError: for missing files and an output directory that is in use.
    """
    splits = read_splits(source)
    kind = _kind_of(splits["train"], task)
    if kind is ARC and originals_only:
        raise ValueError(
            "originals_only is for Sudoku and mazes; ARC augmentations are plans, which take no space; leave it out."
        )
    files = sorted(path for path in source.rglob("*") if path.is_file())
    recipe = recipe_text(
        [
            f"Arrays of the original code, from the directory {source.name}: {len(files)} files; the list of their",
            f"SHA-256 has the SHA-256 `{sha256_of_files(source, files)}`.",
        ],
        import_command(source, output_dir, task, originals_only),
    )
    if not overwrite and (finished := finished_splits(output_dir, recipe)):
        return finished
    check_output_dir(output_dir, overwrite)
    if kind is ARC:
        counts = _import_arc(source, splits, output_dir, recipe, overwrite)
    else:
        counts = _import_boards(splits, kind, originals_only, output_dir, recipe, overwrite)
    for split, count in counts.items():
        print(f"{split}: {count:,} rows")
    print(f"written to {output_dir}")
    return counts


def import_command(source: Path, output_dir: Path, task: str, originals_only: bool) -> str:
    """The command that repeats an import, with paths without their folders."""
    words = ["python", "dataset_scripts/convert_original.py", "import", source.name, output_dir.name]
    words += [] if task == "auto" else ["--task", task]
    words += ["--originals-only"] if originals_only else []
    return shlex.join(words)


def _kind_of(split: OriginalSplit, task: str) -> PuzzleKind:
    """The kind of a split: the given one, if the sizes fit, or the one that fits.

    Raises:
        ValueError: if the sizes do not fit, or fit two kinds.
    """
    side = math.isqrt(split.seq_len)
    is_square = side * side == split.seq_len
    wanted = None if task == "auto" else registry.get(task)
    fitting = [kind for kind in registry.kinds() if is_square and kind.fits(split.vocab_size, side)]
    sizes = f"{split.path} has {split.seq_len} tokens of a vocabulary of {split.vocab_size}"
    if not fitting:
        raise ValueError(f"{sizes}, unlike Sudoku, square mazes and ARC, so it cannot be imported.")
    if wanted is None and len(fitting) > 1:
        names = " and ".join(kind.name for kind in fitting)
        raise ValueError(f"{sizes}, which fits {names}; say which it is with --task.")
    if wanted is not None and wanted not in fitting:
        raise ValueError(f"{sizes}, which is {fitting[0].name} and not {task}; leave out --task.")
    return wanted or fitting[0]


def _import_boards(
    splits: dict[str, OriginalSplit],
    kind: PuzzleKind,
    originals_only: bool,
    output_dir: Path,
    recipe: str,
    overwrite: bool,
) -> dict[str, int]:
    side = math.isqrt(splits["train"].seq_len)
    processor = kind.processor({"height": side, "width": side})
    has_groups = not originals_only and any(
        len(split.group_indices) - 1 != len(split.puzzle_identifiers) for split in splits.values()
    )
    tables = {}
    for name, split in splits.items():
        if len(split.puzzle_identifiers) != split.num_examples or split.puzzle_identifiers.any():
            raise ValueError(
                f"{split.path} has puzzles with several examples or with identifiers, unlike Sudoku and mazes."
            )
        rows = split.group_indices[:-1] if originals_only else np.arange(split.num_examples)
        questions, answers = [], []
        for start in tqdm(range(0, len(rows), _CHUNK), desc=name, unit="chunk", leave=False):
            lines = _board_lines(split, rows[start : start + _CHUNK], processor)
            questions += lines[0]
            answers += lines[1]
        columns = {"question": pa.array(questions, pa.string()), "answer": pa.array(answers, pa.string())}
        if has_groups:
            sizes = np.diff(split.group_indices)
            columns["group"] = pa.array(np.repeat(np.arange(len(sizes), dtype=np.int32), sizes))
        tables[name] = pa.table(columns)

    title = f"{kind.plural[0].upper()}{kind.plural[1:]} {side}x{side}"
    card = [f"# {title}", "", "Each row is a puzzle: `question` and `answer` cell by cell, row by row."]
    if has_groups:
        card += ["Rows with the same `group` are augmentations of one puzzle, which comes first."]
    counts = {name: table.num_rows for name, table in tables.items()}
    card += ["", recipe, "", *(f"- {name}: {count:,} rows" for name, count in counts.items())]
    metadata = {"pretty_name": title, "task_categories": ["other"], "tags": [kind.name, "reasoning", "hrm"]}
    metadata |= kind.card_entry(processor)
    first = next(iter(tables.values())).slice(0, 4)
    samples = samples_picture(processor, first["question"].to_pylist(), first["answer"].to_pylist())
    write_dataset_folder(output_dir, tables, "\n".join(card) + "\n", metadata, overwrite, [samples])
    return counts


def _board_lines(split: OriginalSplit, rows: np.ndarray, processor: HRMGridProcessor) -> tuple[list[str], list[str]]:
    """Questions and answers of some rows.

    Raises:
        ValueError: if one is not a puzzle with its answer.
    """
    boards = [side[rows].astype(np.int64) for side in (split.inputs, split.labels)]
    kind = registry.kind_of(processor)
    for side, tokens in zip(("inputs", "labels"), boards, strict=True):
        is_bad = (tokens < 1) | (tokens >= processor.vocab_size)
        if is_bad.any():
            row, cell = np.argwhere(is_bad)[0]
            raise ValueError(
                f"{split.path}, row {rows[row]} of the {side}: the token {tokens[row, cell]}; {kind.plural} "
                f"have tokens from 1 to {processor.vocab_size - 1}."
            )
    errors = kind.errors(processor, *boards)
    bad = np.flatnonzero(errors != "")
    if len(bad):
        raise ValueError(
            f"{split.path}, row {rows[bad[0]]} is not valid for {kind.plural} with their answers: {errors[bad[0]]}."
        )
    return processor.batch_decode(boards[0]), processor.batch_decode(boards[1])


def _import_arc(
    source: Path, splits: dict[str, OriginalSplit], output_dir: Path, recipe: str, overwrite: bool
) -> dict[str, int]:
    if splits.keys() != set(SPLITS):
        raise ValueError(f"{source} has the splits {', '.join(splits)}; ARC data sets have train and test.")
    plans_by_name = [parse_plan(name) for name in read_identifiers(source)]
    groups = {name: _groups_by_task(split, plans_by_name) for name, split in splits.items()}
    # all pairs of a training task are demonstrations, since its test pairs are not marked
    names = list(dict.fromkeys([*groups["train"], *groups["test"]]))
    pairs = {
        split: {name: _pairs_of_group(splits[split], group, plans_by_name) for name, group in groups[split].items()}
        for split in SPLITS
    }
    tasks = [
        ArcTask(
            name=name,
            source=source.name,
            role="evaluation" if name in groups["test"] else "training",
            train=pairs["train"].get(name, ()),
            test=pairs["test"].get(name, ()),
        )
        for name in names
    ]
    numbers = {name: number for number, name in enumerate(names)}
    offsets = {name: _offsets(split) for name, split in splits.items()}
    if not any(offset.any() for offset in offsets.values()):
        offsets = dict.fromkeys(splits)  # nothing is translated, so there is nothing to keep
    puzzles = {}
    for name, split in splits.items():
        plans = [plans_by_name[identifier] for identifier in split.puzzle_identifiers]
        table = Plans(
            tasks=np.array([numbers[plan.task] for plan in plans], dtype=np.int32),
            symmetries=np.array([plan.symmetry for plan in plans], dtype=np.uint8),
            colors=color_table([plan.colors for plan in plans]),
            identifiers=split.puzzle_identifiers.astype(np.int32),
            offsets=offsets[name],
        )
        puzzles[name] = ArcPuzzles(tasks, table, name)
        _check_pixels(split, puzzles[name])

    notes = [
        "",
        "The original does not store which pairs of a training task were its test pairs; all are demonstrations here.",
    ]
    if puzzles["train"].plans.offsets is not None:
        notes += [
            "The column `offsets` of the plans has the row and column of the canvas at which each example starts,",
            "as in the arrays; it is used on reading.",
        ]
    num_aug = int(puzzles["train"].group_members.max()) - 1
    leaks = leak_lines(find_leaks(tasks, tasks))
    card = card_text(output_dir.name, recipe, [*statistics(puzzles, num_aug), *notes], leaks, tasks[0])
    write_arc_folder(
        output_dir, tasks, {name: part.plans for name, part in puzzles.items()}, card, overwrite=overwrite
    )
    return {"tasks": len(tasks)} | {name: len(part.plans) for name, part in puzzles.items()}


def _groups_by_task(split: OriginalSplit, plans_by_name: list[Plan]) -> dict[str, int]:
    """Group of each task, in order.

    Raises:
        ValueError: if the puzzles of a group are of several tasks or sizes, or a task has two groups.
    """
    if split.puzzle_identifiers.min() < 1 or split.puzzle_identifiers.max() >= len(plans_by_name):
        raise ValueError(f"{split.path} has puzzles without a name in identifiers.json.")
    sizes = np.diff(split.puzzle_indices)
    groups: dict[str, int] = {}
    for group, (start, end) in enumerate(zip(split.group_indices, split.group_indices[1:], strict=False)):
        tasks = {plans_by_name[identifier].task for identifier in split.puzzle_identifiers[start:end]}
        if len(tasks) != 1 or (sizes[start:end] != sizes[start]).any() or tasks & groups.keys():
            raise ValueError(
                f"{split.path}, group {group} has puzzles of {', '.join(sorted(tasks)[:3])}; expected all "
                "augmentations of one ARC task, named <task>_t<symmetry>_<colors>, with equally many examples."
            )
        groups[tasks.pop()] = group
    return groups


def _pairs_of_group(split: OriginalSplit, group: int, plans_by_name: list[Plan]) -> tuple[ArcPair, ...]:
    """The pairs of a task, from the first member of its group."""
    puzzle = split.group_indices[group]
    plan = plans_by_name[split.puzzle_identifiers[puzzle]]
    rows = range(split.puzzle_indices[puzzle], split.puzzle_indices[puzzle + 1])
    pairs = []
    for row in rows:
        grids = []
        for side in (split.inputs, split.labels):
            canvas = np.asarray(side[row]).reshape(MAX_SIZE, MAX_SIZE)
            is_colored = canvas >= FIRST_COLOR
            lines, columns = is_colored.any(1), is_colored.any(0)
            if not lines.any() or canvas.max() >= VOCAB_SIZE:
                raise ValueError(f"{split.path}, row {row} has no ARC grid.")
            grid = canvas[np.ix_(lines, columns)]
            grids.append(np.ascontiguousarray(plan.invert(np.maximum(grid, FIRST_COLOR) - FIRST_COLOR)))
        pairs.append(ArcPair(*grids))
    return tuple(pairs)


def _offsets(split: OriginalSplit) -> np.ndarray:
    """Where on the canvas each example starts, `(examples, 2)` uint8."""
    offsets = np.empty((split.num_examples, 2), dtype=np.uint8)
    for rows in _chunks(split.num_examples, f"{split.path.name}: translations"):
        is_colored = split.inputs[rows].reshape(-1, MAX_SIZE, MAX_SIZE) >= FIRST_COLOR
        for axis in range(2):
            offsets[rows, axis] = is_colored.any(2 - axis).argmax(1)
    return offsets


def _check_pixels(split: OriginalSplit, puzzles: ArcPuzzles):
    """Raise a `ValueError` unless tasks and plans make every pixel of a split."""
    for rows in _chunks(split.num_examples, f"{split.path.name}: pixels"):
        place = puzzles.locate(rows)
        batch = puzzles.batch(*place, puzzles.stored_offsets(*place))
        tokens = {"inputs": batch["input_ids"].numpy(), "labels": batch["labels"].clamp(min=0).numpy()}
        for side, drawn in tokens.items():
            differs = (drawn != getattr(split, side)[rows]).any(1)
            if differs.any():
                row = int(rows[differs.argmax()])
                group, member, _ = (int(number[0]) for number in puzzles.locate(np.array([row])))
                raise ValueError(
                    f"{split.path}, row {row} of the {side} is not the puzzle {puzzles.plan(group, member).name} of "
                    "its task; names and arrays are from different data sets."
                )
