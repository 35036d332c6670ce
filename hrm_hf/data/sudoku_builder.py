"""Sudoku data sets: from the generator, from CSV files or from the Hub, as a folder that `load_dataset` opens."""

import inspect
import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import typer
from huggingface_hub import hf_hub_download

from hrm_hf.data.folder import check_output_dir, sha256, write_dataset_folder
from hrm_hf.data.sudoku_generator import generate
from hrm_hf.data.sudoku_rules import BOX_SHAPES, SYMBOLS, conflicts, format_boards
from hrm_hf.data.sudoku_solver import solve
from hrm_hf.data.sudoku_symmetry import fingerprint


@dataclass
class SudokuPuzzles:
    """Puzzles of one size: boards `(puzzles, cells)` uint8, 0 for blank, and what is known of each."""

    questions: np.ndarray
    answers: np.ndarray
    ratings: np.ndarray
    sources: np.ndarray

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, rows) -> "SudokuPuzzles":
        return SudokuPuzzles(self.questions[rows], self.answers[rows], self.ratings[rows], self.sources[rows])

    def as_table(self) -> pa.Table:
        """Columns `question`, `answer`, `rating`, `source` and `clues` (given cells)."""
        return pa.table(
            {
                "question": pa.array(format_boards(self.questions), pa.string()),
                "answer": pa.array(format_boards(self.answers), pa.string()),
                "rating": pa.array(self.ratings, pa.int32()),
                "source": pa.array(self.sources, pa.string()),
                "clues": pa.array((self.questions > 0).sum(1), pa.int16()),
            }
        )


def build_sudoku(
    output_dir: Annotated[Path, typer.Argument(help="Folder to write.")],
    source: Annotated[
        Literal["generate", "csv", "hub"], typer.Option(help="Where the puzzles come from.")
    ] = "generate",
    size: Annotated[int, typer.Option(help="generate: number of digits, 4, 6, 9 or 16.")] = 9,
    clues: Annotated[int | None, typer.Option(help="generate: given cells; by default as few as can be.")] = None,
    num_train: Annotated[int | None, typer.Option(help="Training puzzles; generate: 1000, csv and hub: all.")] = None,
    num_validation: Annotated[int, typer.Option(help="Puzzles kept aside of the training source.")] = 0,
    num_test: Annotated[int | None, typer.Option(help="Test puzzles; generate: 1000, csv and hub: all.")] = None,
    min_rating: Annotated[int, typer.Option(help="Least rating (the original's min_difficulty).")] = 0,
    max_rating: Annotated[int | None, typer.Option(help="Greatest rating.")] = None,
    train_csv: Annotated[Path | None, typer.Option(help="csv: file with source,question,answer,rating.")] = None,
    test_csv: Annotated[Path | None, typer.Option(help="csv: the same for the test split; .gz works.")] = None,
    random_subset: Annotated[
        bool, typer.Option(help="csv, hub: take random rows, as the original does, not the first.")
    ] = False,
    hub_name: Annotated[
        str, typer.Option(help="hub: data set with train.csv and test.csv.")
    ] = "sapientinc/sudoku-extreme",
    skip_bad_rows: Annotated[bool, typer.Option(help="csv, hub: leave out bad rows instead of stopping.")] = False,
    seed: Annotated[int, typer.Option(help="Of generation and random subsets.")] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace a data set folder that is there.")] = False,
) -> dict[str, int]:
    """Build a Sudoku data set with the splits train, test and, if wanted, validation.

    Every puzzle has exactly one solution. No puzzle of one split is equal, up to the symmetries of Sudoku, to one of
    another: of a pair the one in the test split stays. The symmetries themselves are drawn while training.

    Returns:
        Number of puzzles by split.

    Raises:
        ValueError: for an impossible wish, or a file with bad rows.
        FileNotFoundError, FileExistsError: for a missing CSV file and an output directory that is in use.
    """
    options = dict(locals())
    check_output_dir(output_dir, overwrite)
    for name in ("num_train", "num_test"):
        if options[name] is not None and options[name] < 1:
            raise ValueError(f"{name}={options[name]} is not allowed; it must be at least 1.")
    if num_validation < 0:
        raise ValueError(f"num_validation={num_validation} is not allowed; it must be at least 0.")

    if source == "generate":
        num_train, num_test = num_train or 1000, num_test or 1000
        everything = generated_puzzles(
            num_train + num_validation + num_test, size, clues, min_rating, max_rating, seed
        )
        test, train = everything[:num_test], everything[num_test:]
        origin = ["Generated: random solved boards, cells removed in random order while the solution stays unique."]
    else:
        if source == "hub":
            train_csv, test_csv = (
                Path(hf_hub_download(hub_name, file, repo_type="dataset")) for file in ("train.csv", "test.csv")
            )
        elif train_csv is None or test_csv is None:
            raise ValueError("The source csv needs two files; give --train-csv and --test-csv.")
        wanted_train = None if num_train is None else num_train + num_validation
        subset_seed = seed if random_subset else None
        ratings = (min_rating, max_rating)
        train = read_sudoku_csv(train_csv, wanted_train, *ratings, subset_seed, skip_bad_rows)
        test = read_sudoku_csv(test_csv, num_test, *ratings, subset_seed, skip_bad_rows)
        if train.questions.shape[1] != test.questions.shape[1]:
            raise ValueError(
                f"{train_csv} has puzzles of {train.questions.shape[1]} cells, {test_csv} of "
                f"{test.questions.shape[1]}; both must be of one size."
            )
        if num_validation >= len(train):
            raise ValueError(
                f"num_validation={num_validation} leaves nothing to train on: {train_csv} gives {len(train)} puzzles."
            )
        origin = [f"{'Hub' if source == 'hub' else 'CSV'} files:"]
        origin += [f"- `{path.name}`, SHA-256 `{sha256(path)}`" for path in (train_csv, test_csv)]

    # the last rows are kept aside, so that the first ones are the same with and without a validation split
    splits = {"train": train[: len(train) - num_validation]}
    if num_validation:
        splits["validation"] = train[len(train) - num_validation :]
    splits["test"] = test
    splits, removed = without_leaks(splits)
    write_dataset_folder(
        output_dir,
        {name: puzzles.as_table() for name, puzzles in splits.items()},
        card_text(splits, removed, origin, options),
        metadata={
            "pretty_name": f"Sudoku {math.isqrt(test.questions.shape[1])}x{math.isqrt(test.questions.shape[1])}",
            "task_categories": ["other"],
            "tags": ["sudoku", "reasoning", "hrm"],
        }
        | ({"license": "cc0-1.0"} if source == "generate" else {}),
        overwrite=overwrite,
    )
    for name, puzzles in splits.items():
        print(f"{name}: {len(puzzles)} puzzles, {(puzzles.questions > 0).sum(1).mean():.1f} clues on average")
    print(f"{removed} removed because they equal one of a later split up to symmetry; written to {output_dir}")
    return {name: len(puzzles) for name, puzzles in splits.items()}


def generated_puzzles(
    num: int, size: int, clues: int | None, min_rating: int, max_rating: int | None, seed: int
) -> SudokuPuzzles:
    """Puzzles of [`~hrm_hf.data.sudoku_generator.generate`], with the generator as their source."""
    questions, answers, ratings = generate(num, size, clues, min_rating, max_rating, seed)
    return SudokuPuzzles(questions, answers, ratings, np.full(num, f"generated-{size}x{size}", dtype=object))


def read_sudoku_csv(
    path: Path,
    num: int | None = None,
    min_rating: int = 0,
    max_rating: int | None = None,
    subset_seed: int | None = None,
    skip_bad_rows: bool = False,
) -> SudokuPuzzles:
    """Read and check puzzles of the original's form: `source,question,answer,rating`, plain or gzipped.

    Args:
        path: the file.
        num: how many of the rows that have a wanted rating; all by default.
        min_rating, max_rating: bounds of the rating.
        subset_seed: take `num` random rows, drawn with this seed, in the order of the file; by default the first.
        skip_bad_rows: leave out rows that are no puzzle with one solution instead of raising.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a column is missing, there are too few rows, or a row is bad; names file, line and value.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no CSV file {path}.")
    columns = {"source": pa.string(), "question": pa.string(), "answer": pa.string(), "rating": pa.int64()}
    try:
        table = pyarrow.csv.read_csv(path, convert_options=pyarrow.csv.ConvertOptions(column_types=columns))
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is not a CSV file of puzzles: {str(error).splitlines()[0]}") from error
    if missing := columns.keys() - set(table.column_names):
        raise ValueError(f"{path} has no column {' and '.join(sorted(missing))}; wanted are {', '.join(columns)}.")

    ratings = table["rating"].to_numpy()
    rows = np.flatnonzero((ratings >= min_rating) & (True if max_rating is None else ratings <= max_rating))
    if len(rows) < (1 if num is None else num):
        raise ValueError(
            f"{path} has {len(rows)} puzzles with a rating from {min_rating} to {max_rating or 'any'}, but "
            f"{num or 'at least 1'} were asked for."
        )
    if num is not None and subset_seed is None and not skip_bad_rows:
        rows = rows[:num]
    elif num is not None and subset_seed is not None:
        rows = np.sort(np.random.default_rng(subset_seed).choice(rows, num, replace=False))
    table = table.take(rows)

    questions, question_errors = parse_boards(table["question"].to_pylist())
    answers, answer_errors = parse_boards(table["answer"].to_pylist(), cells=questions.shape[1])
    errors = np.where(question_errors != "", question_errors, answer_errors)
    for wrong, reason in puzzle_errors(questions, answers):
        errors[(errors == "") & wrong] = reason
    bad = np.flatnonzero(errors != "")
    if len(bad) and not skip_bad_rows:
        # the header is line 1
        raise ValueError(
            f"{path}, line {rows[bad[0]] + 2}: {errors[bad[0]]} ({table['question'][bad[0]]}); {len(bad)} of "
            f"{len(rows)} rows are bad: mend them or leave them out with --skip-bad-rows."
        )
    if len(bad):
        print(
            f"{path}: left out {len(bad)} of {len(rows)} rows; the first is line {rows[bad[0]] + 2}: {errors[bad[0]]}"
        )
    good = np.flatnonzero(errors == "")[:num]
    if num is not None and len(good) < num and subset_seed is None:
        raise ValueError(f"{path} has {len(good)} good rows, but {num} were asked for.")
    return SudokuPuzzles(
        questions[good],
        answers[good],
        table["rating"].to_numpy()[good],
        np.array(table["source"].to_pylist(), dtype=object)[good],
    )


def parse_boards(lines: list[str], cells: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Boards `(lines, cells)` of strings with `.`, `0` or `_` for blank, and what is wrong with each ("" if nothing).

    Args:
        lines: one board each.
        cells: of every board; by default as many as the first line has.
    """
    cells = len(lines[0]) if cells is None else cells
    size = math.isqrt(cells)
    boards = np.zeros((len(lines), cells), dtype=np.uint8)
    errors = np.full(len(lines), "", dtype=object)
    if size not in BOX_SHAPES or size * size != cells:
        errors[:] = f"a board of {cells} cells, wanted are " + ", ".join(str(known**2) for known in BOX_SHAPES)
        return boards, errors
    lengths = np.array([len(line) for line in lines])
    errors[lengths != cells] = [
        f"a board of {length} cells, wanted are {cells}" for length in lengths[lengths != cells]
    ]
    fits = np.flatnonzero(lengths == cells)

    # digit of each character code; 255 is not allowed
    digit_of = np.full(128, 255, dtype=np.uint8)
    for digit, symbol in enumerate(SYMBOLS[: size + 1]):
        digit_of[ord(symbol)] = digit
    digit_of[[ord("0"), ord("_")]] = 0
    codes = np.array([lines[row] for row in fits], dtype=f"<U{cells}").view(np.uint32).reshape(len(fits), cells)
    boards[fits] = np.where(codes < 128, digit_of[np.minimum(codes, 127)], 255)
    illegal = (boards == 255).any(1)
    for row in np.flatnonzero(illegal):
        symbol = lines[row][int((boards[row] == 255).argmax())]
        errors[row] = f"the character {symbol!r}, wanted are 1 to {SYMBOLS[size]} and . for a blank cell"
    boards[illegal] = 0
    return boards, errors


def puzzle_errors(questions: np.ndarray, answers: np.ndarray):
    """Pairs of a mask `(puzzles,)` and what is wrong where it is true: rules first, then the number of solutions."""
    size = math.isqrt(questions.shape[1])
    if size not in BOX_SHAPES:
        return
    yield (answers == 0).any(1), "an answer with blank cells"
    yield ((questions > 0) & (questions != answers)).any(1), "an answer that changes a clue"
    broken = conflicts(answers, size)
    yield broken, "an answer with a digit twice in a row, column or box"
    counts = np.ones(len(questions), dtype=np.int64)
    counts[~broken] = solve(questions[~broken], size)[1]
    yield counts > 1, "a puzzle with more than one solution"


def without_leaks(splits: dict[str, SudokuPuzzles]) -> tuple[dict[str, SudokuPuzzles], int]:
    """Remove the puzzles of a split that are equal, up to symmetry, to one of a later split; and count them."""
    removed, later = 0, np.array([], dtype=np.uint64)
    clean = {}
    for name, puzzles in reversed(splits.items()):
        marks = fingerprint(puzzles.questions, math.isqrt(puzzles.questions.shape[1]))
        leaks = np.isin(marks, later)
        removed += int(leaks.sum())
        clean[name] = puzzles[~leaks]
        later = np.concatenate((later, marks))
    return {name: clean[name] for name in splits}, removed


def card_text(splits: dict[str, SudokuPuzzles], removed: int, origin: list[str], options: dict) -> str:
    """Markdown of the data set's card: form, origin, command, statistics, leak check and one puzzle."""
    size = math.isqrt(splits["test"].questions.shape[1])
    lines = [
        f"# Sudoku {size}x{size}",
        "",
        "Each row is a puzzle with exactly one solution: `question` and `answer` cell by cell, row by row, with `.`",
        "for a blank cell; `rating` is how much guessing it takes a solver by depth-first search (0: none), in the",
        f"count of {'the file it comes from' if options['source'] != 'generate' else 'hrm_hf.data.sudoku_solver'};",
        "`clues` counts the given cells.",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        f'puzzles = load_dataset("{options["output_dir"].name}", split="train")',
        "```",
        "",
        "## How it was made",
        "",
        *origin,
        "",
        "```",
        command_line(options),
        "```",
        "",
        "## Statistics",
        "",
        "| split | puzzles | clues: mean (least to most) | rating: mean (median, most) |",
        "|---|---|---|---|",
    ]
    for name, puzzles in splits.items():
        clues, ratings = (puzzles.questions > 0).sum(1), puzzles.ratings
        lines.append(
            f"| {name} | {len(puzzles)} | {clues.mean():.1f} ({clues.min()} to {clues.max()}) | "
            f"{ratings.mean():.1f} ({np.median(ratings):.0f}, {ratings.max()}) |"
        )
    example = format_boards(splits["train"].questions[:1])[0]
    lines += [
        "",
        "Leak check: no puzzle of one split has the symmetry-invariant fingerprint of a puzzle of another split",
        "(digits relabelled, rows, columns, bands and stacks permuted, transposed);",
        f"{removed} puzzles of earlier splits were removed for that.",
        "",
        "The first training puzzle:",
        "",
        "```",
        *(" ".join(example[start : start + size]) for start in range(0, size * size, size)),
        "```",
    ]
    return "\n".join(lines) + "\n"


def command_line(options: dict) -> str:
    """The command that repeats a build: every option that differs from its default; paths without their folders."""
    words = ["python", "dataset_scripts/build_sudoku.py", options["output_dir"].name]
    defaults = inspect.signature(build_sudoku).parameters
    for name, value in options.items():
        if name in ("output_dir", "overwrite") or value == defaults[name].default:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(value.name if isinstance(value, Path) else str(value))
    return shlex.join(words)
