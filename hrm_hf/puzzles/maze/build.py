"""Maze data sets: from the generators, CSV files or the Hub, as a folder for `load_dataset`."""

import math
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import typer

from hrm_hf.data.bad_input import OnError, OnErrorOption, left_out_lines
from hrm_hf.data.folder import check_output_dir, finished_splits, write_dataset_folder
from hrm_hf.data.publish import pushes
from hrm_hf.data.recipe import command_line, recipe_text
from hrm_hf.puzzles.build import (
    Puzzles,
    card_text,
    check_counts,
    check_source_options,
    column_of_ratings,
    csv_files,
    files_origin,
    parse_lines,
    read_puzzle_csv,
    read_splits,
    samples_picture,
    split_puzzles,
    usual_length,
    with_equal_ratings,
    without_leaks,
)
from hrm_hf.puzzles.files import AnswerColumn, Columns, QuestionColumn, RatingColumn
from hrm_hf.puzzles.kind import CARD_KEY
from hrm_hf.puzzles.maze.generator import generate
from hrm_hf.puzzles.maze.kind import MAZE
from hrm_hf.puzzles.maze.mixed import generate_mixed
from hrm_hf.puzzles.maze.paths import WALL, Paths, measure
from hrm_hf.puzzles.maze.puzzle_set import FIRST
from hrm_hf.puzzles.maze.rules import SYMBOLS, draw_maze, format_mazes, maze_errors
from hrm_hf.puzzles.maze.symmetry import fingerprint
from hrm_hf.utils.parallel import NumProc, num_threads_of
from processing_hrm import HRMGridProcessor


@pushes
def build_maze(
    output_dir: Annotated[Path, typer.Argument(help="Folder to write.")],
    source: Annotated[Literal["generate", "csv", "hub"], typer.Option(help="Where the mazes come from.")] = "generate",
    height: Annotated[int | None, typer.Option(help="Rows; generate: 30, csv and hub: a square.")] = None,
    width: Annotated[int | None, typer.Option(help="Columns; the same defaults.")] = None,
    min_steps: Annotated[
        list[int] | None,
        typer.Option(
            help="generate: minimum steps of the shortest path; by default 111 for 30x30, as in Maze-Hard, and as "
            "rare for other sizes. Given several times: equally many mazes of each."
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="generate: mazes of this kind instead, some with several shortest paths; given several times: "
            "equally many of each. walls: random walls and one shortest path; scattered: random walls; perfect: "
            "corridors without loops; rooms: rooms with doors; open: few or no walls; lines: some lines of wall."
        ),
    ] = None,
    smallest_side: Annotated[
        int | None,
        typer.Option(
            help="--kind: minimum rows and columns; half of the mazes have random sides from this to --height and "
            "--width, and walls around them fill the board."
        ),
    ] = None,
    num_train: Annotated[
        int | None, typer.Option(help="Training mazes (the original's subsample_size); generate: 1000, csv, hub: all.")
    ] = None,
    num_validation: Annotated[int, typer.Option(help="Mazes to hold out of the training source for validation.")] = 0,
    num_test: Annotated[int | None, typer.Option(help="Test mazes; generate: 1000, csv and hub: all.")] = None,
    train_csv: Annotated[
        Path | None,
        typer.Option(
            help="csv: file with question,answer and optionally rating,source; also .parquet, .json and .jsonl, "
            "and with .gz, .bz2, .xz or .zst."
        ),
    ] = None,
    test_csv: Annotated[Path | None, typer.Option(help="csv: the same for the test split.")] = None,
    test_share: Annotated[
        float | None, typer.Option(help="csv: random fraction of --train-csv for the test split instead.")
    ] = None,
    question_column: QuestionColumn = None,
    answer_column: AnswerColumn = None,
    rating_column: RatingColumn = None,
    random_subset: Annotated[
        bool, typer.Option("--random-subset", help="csv, hub: use random rows, as the original does, not the first.")
    ] = False,
    hub_name: Annotated[
        str, typer.Option(help="hub: data set with train.csv and test.csv.")
    ] = "sapientinc/maze-30x30-hard-1k",
    on_error: OnErrorOption = "stop",
    num_proc: NumProc = None,
    seed: Annotated[int, typer.Option(help="Seed for generation and random subsets.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing data set folder.")] = False,
) -> dict[str, int]:
    """Build a maze data set with the splits train, test and, if requested, validation.

    Every answer is a shortest path, in generated mazes the only one unless kinds are given. No maze of one split is
    equal, up to the 8 symmetries of the square, to one of another: of a pair, the one in the test split stays. The
    symmetries themselves (the original's aug) are drawn during training. A data set that the same command has made
    from the same files is left unchanged.

    With `kind`, the mazes alternate between the given kinds and have paths of any length
    (`hrm_hf.puzzles.maze.mixed`). Of several shortest paths the answer is the first: from S, each step goes up if a
    shortest path does, else left, else right, else down. Mazes that differ only in their place on the board then also
    count as equal.

    Returns:
        Number of mazes by split.

    Raises:
        ValueError: if a request is impossible, or a file has bad rows.
        FileNotFoundError, FileExistsError: if a CSV file is missing, or the output directory is in use.
    """
    options = dict(locals())
    check_counts(num_train, num_validation, num_test)
    num_threads = num_threads_of(num_proc)
    check_source_options(
        build_maze,
        options,
        dict.fromkeys(("min_steps", "kind", "smallest_side"), ("generate",))
        | {"train_csv": ("csv",), "test_csv": ("csv",), "hub_name": ("hub",)}
        | dict.fromkeys(("question_column", "answer_column", "rating_column"), ("csv", "hub"))
        | {"test_share": ("csv",), "random_subset": ("csv", "hub"), "on_error": ("csv", "hub")},
    )
    if kind and min_steps is not None:
        raise ValueError(f"min_steps={min_steps} is not for --kind, where paths have any length; leave it out.")
    if not kind and smallest_side is not None:
        raise ValueError(f"smallest_side={smallest_side} needs a --kind; give one, or leave it out.")
    if kind:
        files, origin = None, making_of_kinds(kind, smallest_side, height or 30, width or 30)
    elif source == "generate":
        files = None
        origin = [
            "Generated (`hrm_hf.puzzles.maze.generator`): random cells are walls, 30 to 50 %, S and G are random",
            "cells far enough from each other, and a few extra walls leave just one shortest path.",
        ]
    else:
        files = csv_files(source, hub_name, train_csv, test_csv, test_share)
        origin = files_origin(source, files)
    recipe = recipe_text(origin, command_line("build_maze.py", build_maze, options))
    if not overwrite and (finished := finished_splits(output_dir, recipe)):
        return finished
    check_output_dir(output_dir, overwrite)

    if files is None:
        height, width = (30 if side is None else side for side in (height, width))
        num_train, num_test = num_train or 1000, num_test or 1000
        num = num_train + num_validation + num_test
        if kind:
            everything = mixed_mazes(num, kind, height, width, smallest_side, seed, num_threads)
        else:
            everything = generated_mazes(num, height, width, min_steps, seed, num_threads)
        test, train = everything[:num_test], everything[num_test:]
    else:
        read = partial(
            read_maze_csv,
            height=height,
            width=width,
            subset_seed=seed if random_subset else None,
            on_error=on_error,
            columns=Columns(question_column, answer_column, rating_column),
        )
        train, test = read_splits(files, read, num_train, num_validation, num_test, test_share, seed)
        height, width = maze_shape(test.questions.shape[1], height, width)
    splits, removed = without_leaks(
        with_equal_ratings(split_puzzles(train, test, num_validation)),
        partial(fingerprint, height=height, width=width, anywhere=bool(kind)),
    )
    paths = {name: measure(part.questions, part.answers, height, width) for name, part in splits.items()}

    title = f"Mazes {'' if smallest_side is None else 'up to '}{height}x{width}"
    example = draw_maze(format_mazes(splits["train"].answers[:1])[0], width)
    write_dataset_folder(
        output_dir,
        {name: as_table(part, paths[name], height, width) for name, part in splits.items()},
        card_text(
            title=title,
            folder_name=output_dir.name,
            form=form_lines(height, width, source, paths, bool(kind)),
            recipe=recipe,
            statistics=[
                *statistics_table(splits, paths),
                *(table_of_kinds(splits, paths) if kind else []),
                *left_out_lines(train.left_out + test.left_out, "rows of the files"),
            ],
            symmetries="rotated, mirrored, S and G exchanged" + (", moved on the board" if kind else ""),
            removed=removed,
            example=["The first training maze with its answer, in a frame:", "", "```", example, "```"],
        ),
        metadata={
            "pretty_name": title,
            "task_categories": ["other"],
            "tags": [MAZE.name, "reasoning", "hrm"],
        }
        | card_entry(height, width, bool(kind))
        | ({"license": "cc0-1.0"} if source == "generate" else {}),
        overwrite=overwrite,
        pictures=[
            samples_picture(
                HRMGridProcessor.for_maze(height, width),
                format_mazes(splits["train"].questions[:4]),
                format_mazes(splits["train"].answers[:4]),
            )
        ],
    )
    for name, part in splits.items():
        steps = paths[name].steps
        print(f"{name}: {len(part)} mazes, {steps.mean():.1f} steps on average ({steps.min()} to {steps.max()})")
    print(f"{removed} removed because they equal one of a later split up to symmetry; written to {output_dir}")
    return {name: len(part) for name, part in splits.items()}


def generated_mazes(
    num: int, height: int, width: int, min_steps: list[int] | None, seed: int, num_threads: int
) -> Puzzles:
    """Mazes of [`~hrm_hf.puzzles.maze.generator.generate`], with the generator as source and steps as rating.

    With several `min_steps` they alternate, so that any part of them has equally many of each.
    """
    seen: set[int] = set()
    kinds = min_steps or [None]
    shares = [len(range(kind, num, len(kinds))) for kind in range(len(kinds))]
    made = [
        # separate random fields: seeds of users are below 2^32
        generate(share, height, width, least, seed + (kind << 32), num_threads=num_threads, seen=seen)
        for kind, (least, share) in enumerate(zip(kinds, shares, strict=True))
        if share > 0
    ]
    mazes, answers, steps = (np.concatenate(parts) for parts in zip(*made, strict=True))
    turns = np.argsort(np.concatenate([np.arange(share) for share in shares]), kind="stable")
    mazes, answers, steps = mazes[turns], answers[turns], steps[turns]
    check_made(mazes, answers, height, width)
    return Puzzles(mazes, answers, steps, np.full(num, f"generated-{height}x{width}", dtype=object))


def mixed_mazes(
    num: int,
    kinds: list[str],
    height: int,
    width: int,
    smallest_side: int | None,
    seed: int,
    num_threads: int,
) -> Puzzles:
    """Mazes of [`~hrm_hf.puzzles.maze.mixed.generate_mixed`], with their kind in the source and steps as rating."""
    made = generate_mixed(num, kinds, height, width, smallest_side, seed=seed, num_threads=num_threads)
    check_made(made.mazes, made.answers, height, width)
    return Puzzles(made.mazes, made.answers, made.steps, "generated-" + made.kinds)


def check_made(mazes: np.ndarray, answers: np.ndarray, height: int, width: int):
    """Raise a `RuntimeError` if an answer of a generator is wrong; all are `(mazes, height * width)`."""
    errors = maze_errors(mazes, answers, height, width)
    if (errors != "").any():
        raise RuntimeError(f"The generator made {errors[errors != ''][0]}; please report this with the command.")


def read_maze_csv(
    path: Path,
    num: int | None = None,
    height: int | None = None,
    width: int | None = None,
    subset_seed: int | None = None,
    on_error: OnError = "stop",
    columns: Columns = Columns(),  # noqa: B008  it is frozen
) -> Puzzles:
    """Read mazes from a CSV file whose answers are shortest paths.

    Args:
        height, width: rows and columns; by default a square with the number of cells of most mazes.
        path, num, subset_seed, on_error: as in `read_puzzle_csv`, which raises the same errors.
    """
    parse = partial(parse_mazes, height=height, width=width)
    return read_puzzle_csv(path, parse, num, subset_seed=subset_seed, on_error=on_error, columns=columns)


def parse_mazes(
    questions: list[str], answers: list[str], height: int | None, width: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mazes and answers from lines of the characters `# SGo`, and what is wrong with each pair."""
    height, width = maze_shape(usual_length(questions), height, width)
    numbers = {symbol: number for number, symbol in enumerate(SYMBOLS) if number}
    wanted = "# (wall), space (floor), S (start), G (goal) and o (path)"
    mazes, maze_line_errors = parse_lines(questions, height * width, numbers, wanted)
    paths, path_line_errors = parse_lines(answers, height * width, numbers, wanted)
    errors = np.where(maze_line_errors != "", maze_line_errors, path_line_errors)
    readable = errors == ""
    errors[readable] = maze_errors(mazes[readable], paths[readable], height, width)
    return mazes, paths, errors


def maze_shape(cells: int, height: int | None, width: int | None) -> tuple[int, int]:
    """Rows and columns of mazes with a number of cells: the given ones, derived from one of them, or a square's.

    Raises:
        ValueError: if no whole number of rows and columns fits.
    """
    if height is None and width is None:
        height = width = math.isqrt(cells)
        if height * width != cells:
            raise ValueError(f"The mazes have {cells} cells, which is not a square; give --height or --width.")
    for name, side in (("height", height), ("width", width)):
        if side is not None and (side < 1 or cells % side):
            raise ValueError(f"{name}={side} does not fit: the mazes have {cells} cells; give a divisor of that.")
    height, width = height or cells // width, width or cells // height
    if height * width != cells:
        raise ValueError(f"height={height} and width={width} do not fit: the mazes have {cells} cells.")
    return height, width


def as_table(mazes: Puzzles, paths: Paths, height: int, width: int) -> pa.Table:
    """Columns `question`, `answer`, `rating`, `source`, `steps`, and `width` unless the mazes are square."""
    columns = {
        "question": pa.array(format_mazes(mazes.questions), pa.string()),
        "answer": pa.array(format_mazes(mazes.answers), pa.string()),
        "rating": column_of_ratings(mazes.ratings),
        "source": pa.array(mazes.sources, pa.string()),
        "steps": pa.array(paths.steps, pa.int32()),
    }
    if height != width:
        columns["width"] = pa.array(np.full(len(mazes), width), pa.int32())
    return pa.table(columns)


# --- card


def card_entry(height: int, width: int, is_mixed: bool) -> dict[str, Any]:
    """The description of the mazes in the YAML of the card; for mixed ones also which shortest path is the answer."""
    entry = MAZE.card_entry(HRMGridProcessor.for_maze(height, width))
    return {CARD_KEY: entry[CARD_KEY] | {"ties": FIRST}} if is_mixed else entry


def making_of_kinds(kinds: list[str], smallest_side: int | None, height: int, width: int) -> list[str]:
    """Lines of the card on how mazes of several kinds were generated."""
    lines = [
        f"Generated (`hrm_hf.puzzles.maze.mixed`, which explains the kinds), in turn: {', '.join(kinds)}.",
        "S is a random cell, and the steps to G are uniform from 1 to those of the farthest cell. In `walls`, the",
        "minimum of steps is uniform, up to a number that is hard for the size, and a few extra walls leave just one",
        "shortest path.",
    ]
    if smallest_side is not None:
        lines += [
            f"Half of the mazes have random rows from {smallest_side} to {height} and columns from {smallest_side} to",
            f"{width}: these are anywhere on the board of {height}x{width}, with walls around them.",
        ]
    return lines


def form_lines(height: int, width: int, source: str, paths: dict[str, Paths], is_mixed: bool = False) -> list[str]:
    """Lines of the card on the columns, and on which of several shortest paths is the answer."""
    lines = [
        f"Each row is a maze of {height} rows and {width} columns with its answer: `question` and `answer` cell by",
        "cell, row by row, with `#` for a wall, a space for floor, `S` for the start and `G` for the goal. A step",
        "goes up, down, left or right; the answer is the maze with the floor of a shortest path from S to G replaced",
        "by `o`, and `steps` is the length of that path.",
        "`rating` is the same." if source == "generate" else "`rating` is as in its file.",
    ]
    if height != width:
        lines.append("`width` is the number of columns.")
    several = 1 - np.concatenate([part.is_unique for part in paths.values()]).mean()
    if several == 0 and not is_mixed:
        return [*lines, "", "Every maze has just one shortest path, so its answer is the only correct one."]
    if is_mixed:
        return [
            *lines,
            "`source` ends with the kind of the maze.",
            "",
            f"{several:.1%} of the mazes have several shortest paths: the answer is the first, where each step from S",
            "goes up if a shortest path does, else left, else right, else down. Any other is also correct by the",
            "rules, though not equal to it. In training, rotated and mirrored mazes get their own first path.",
        ]
    return [
        *lines,
        "",
        f"{several:.1%} of the mazes have several shortest paths: the answer is the one in the file, and any",
        "other is also correct by the rules, though not equal to it.",
    ]


def statistics_table(splits: dict[str, Puzzles], paths: dict[str, Paths]) -> list[str]:
    """Lines of the card's table."""
    lines = [
        "| split | mazes | steps: mean (min to max) | walls: mean (min to max) | just one shortest path |",
        "|---|---|---|---|---|",
    ]
    for name, mazes in splits.items():
        steps, walls = paths[name].steps, (mazes.questions == WALL).mean(1)
        lines.append(
            f"| {name} | {len(mazes)} | {steps.mean():.1f} ({steps.min()} to {steps.max()}) | "
            f"{walls.mean():.1%} ({walls.min():.1%} to {walls.max():.1%}) | {paths[name].is_unique.mean():.1%} |"
        )
    return lines


def table_of_kinds(splits: dict[str, Puzzles], paths: dict[str, Paths]) -> list[str]:
    """Lines of a table of the card on the kinds of generated mazes, by their source."""
    sources = np.concatenate([mazes.sources for mazes in splits.values()])
    steps, is_unique = (
        np.concatenate([getattr(part, name) for part in paths.values()]) for name in ("steps", "is_unique")
    )
    lines = [
        "",
        f"| kind | {' | '.join(splits)} | steps: mean (min to max) | just one shortest path |",
        "|---" * (len(splits) + 3) + "|",
    ]
    for source in dict.fromkeys(sources.tolist()):
        counts = " | ".join(str((mazes.sources == source).sum()) for mazes in splits.values())
        own = steps[sources == source]
        lines.append(
            f"| {source.removeprefix('generated-')} | {counts} | {own.mean():.1f} ({own.min()} to {own.max()}) | "
            f"{is_unique[sources == source].mean():.1%} |"
        )
    return lines
