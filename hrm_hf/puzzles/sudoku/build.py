"""Sudoku data sets: from the generator, CSV files or the Hub, as a folder for `load_dataset`."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

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
from hrm_hf.puzzles.sudoku.generator import generate
from hrm_hf.puzzles.sudoku.grids import solution_fingerprint
from hrm_hf.puzzles.sudoku.hard import generate_hard
from hrm_hf.puzzles.sudoku.kind import SUDOKU
from hrm_hf.puzzles.sudoku.neighbors import neighbors
from hrm_hf.puzzles.sudoku.rules import BOX_SHAPES, SYMBOLS, conflicts, format_boards
from hrm_hf.puzzles.sudoku.solver import solve
from hrm_hf.puzzles.sudoku.symmetry import fingerprint
from hrm_hf.utils.parallel import NumProc, num_threads_of
from processing_hrm import SUDOKU_NOTATIONS, HRMGridProcessor


_NEIGHBOR = "neighbor-of-given"
_FORM_OF_NEIGHBORS = [
    f"Rows whose `source` is `{_NEIGHBOR}` are new puzzles, made from the given training puzzles; their",
    "`rating` is from hrm_hf.puzzles.sudoku.solver, not on the scale of the file.",
]
_MAKING_OF_NEIGHBORS = [
    "",
    "Neighbors: a random clue of a given training puzzle is removed (more, if the solution stays unique), and a clue",
    "that only one of the now possible solutions has is added, never from the previous solution; unnecessary clues",
    "are removed; up to eight such exchanges follow each other. The result of an exchange is kept if it is not",
    "easier, by the solver's rating, than the given puzzle, and new up to symmetry.",
]


_MAKING_OF_RANDOM = ["Generated: random solved boards, cells removed in random order while the solution stays unique."]
_MAKING_OF_HARD = [
    "Generated: random puzzles are made harder by exchanging one clue at a time, each time continuing from the",
    "hardest puzzle found, until its rating reaches a target drawn between 15 and 80. Every clue is necessary.",
    "No two splits share a puzzle or a solution, up to symmetry.",
]


@pushes
def build_sudoku(
    output_dir: Annotated[Path, typer.Argument(help="Folder to write.")],
    source: Annotated[
        Literal["generate", "csv", "hub"], typer.Option(help="Where the puzzles come from.")
    ] = "generate",
    size: Annotated[int, typer.Option(help="generate: number of digits, 4, 6, 9 or 16.")] = 9,
    clues: Annotated[int | None, typer.Option(help="generate: given cells; by default as few as possible.")] = None,
    hard: Annotated[
        bool, typer.Option("--hard", help="generate: 9x9 puzzles made hard by a search, about 25 per second.")
    ] = False,
    num_train: Annotated[int | None, typer.Option(help="Training puzzles; generate: 1000, csv and hub: all.")] = None,
    num_validation: Annotated[
        int, typer.Option(help="Puzzles to hold out of the training source for validation.")
    ] = 0,
    num_test: Annotated[int | None, typer.Option(help="Test puzzles; generate: 1000, csv and hub: all.")] = None,
    min_rating: Annotated[int, typer.Option(help="Minimum rating (the original's min_difficulty).")] = 0,
    max_rating: Annotated[int | None, typer.Option(help="Maximum rating.")] = None,
    num_neighbors: Annotated[
        int, typer.Option(help="csv, hub: new training puzzles, made from the given ones by exchanging clues; 9x9.")
    ] = 0,
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
        bool, typer.Option(help="csv, hub: use random rows, as the original does, not the first.")
    ] = False,
    hub_name: Annotated[
        str, typer.Option(help="hub: data set with train.csv and test.csv.")
    ] = "sapientinc/sudoku-extreme",
    on_error: OnErrorOption = "stop",
    num_proc: NumProc = None,
    seed: Annotated[int, typer.Option(help="Seed for generation and random subsets.")] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing data set folder.")] = False,
) -> dict[str, int]:
    """Build a Sudoku data set with the splits train, test and, if requested, validation.

    Every puzzle has exactly one solution. No puzzle of one split is equal, up to the symmetries of Sudoku, to one of
    another: of a pair, the one in the test split stays. The symmetries themselves are drawn during training. A data
    set that the same command has made from the same files is left unchanged.

    With `hard` the generator makes its puzzles harder by exchanging clues (`hrm_hf.puzzles.sudoku.hard`): ratings of
    15 and more, 40 on average, where random puzzles have 2. Then no two splits have a solution in common either.

    `num_neighbors` new puzzles, each not easier than a given one, follow these in the training split
    (`hrm_hf.puzzles.sudoku.neighbors`). No other split has such a puzzle or its solution.

    Returns:
        Number of puzzles by split.

    Raises:
        ValueError: if a request is impossible, or a file has bad rows.
        FileNotFoundError, FileExistsError: if a CSV file is missing, or the output directory is in use.
    """
    options = dict(locals())
    check_counts(num_train, num_validation, num_test)
    if num_neighbors < 0:
        raise ValueError(f"num_neighbors={num_neighbors} is not allowed; it must be at least 0.")
    num_threads = num_threads_of(num_proc)
    check_source_options(
        build_sudoku,
        options,
        {
            "size": ("generate",),
            "clues": ("generate",),
            "hard": ("generate",),
            "train_csv": ("csv",),
            "test_csv": ("csv",),
        }
        | dict.fromkeys(("question_column", "answer_column", "rating_column"), ("csv", "hub"))
        | {"test_share": ("csv",), "random_subset": ("csv", "hub"), "on_error": ("csv", "hub"), "hub_name": ("hub",)}
        | {"num_neighbors": ("csv", "hub")},
    )

    if source == "generate":
        files = None
        origin = _MAKING_OF_HARD if hard else _MAKING_OF_RANDOM
    else:
        files = csv_files(source, hub_name, train_csv, test_csv, test_share)
        origin = files_origin(source, files) + (_MAKING_OF_NEIGHBORS if num_neighbors else [])
    recipe = recipe_text(origin, command_line("build_sudoku.py", build_sudoku, options))
    if not overwrite and (finished := finished_splits(output_dir, recipe)):
        return finished
    check_output_dir(output_dir, overwrite)

    if files is None:
        if hard and (size != 9 or clues is not None or min_rating or max_rating is not None):
            raise ValueError(
                f"--hard makes puzzles of size 9 with its own ratings, not of size={size}, clues={clues} and "
                f"ratings from {min_rating} to {max_rating}; leave these out."
            )
        num_train, num_test = num_train or 1000, num_test or 1000
        if hard:
            test, validation, train = hard_puzzles((num_test, num_validation, num_train), seed, num_threads)
            everything = joined(test, train, validation)  # the end of the training source is held out
        else:
            everything = generated_puzzles(
                num_train + num_validation + num_test, size, clues, min_rating, max_rating, seed, num_threads
            )
        test, train = everything[:num_test], everything[num_test:]
    else:
        read = partial(
            read_sudoku_csv,
            min_rating=min_rating,
            max_rating=max_rating,
            subset_seed=seed if random_subset else None,
            on_error=on_error,
            columns=Columns(question_column, answer_column, rating_column),
            num_threads=num_threads,
        )
        train, test = read_splits(files, read, num_train, num_validation, num_test, test_share, seed)
    side = math.isqrt(test.questions.shape[1])
    if num_neighbors and side != 9:
        raise ValueError(
            f"num_neighbors={num_neighbors} is for puzzles of size 9, but these have size {side}; leave it out."
        )
    splits, removed = without_leaks(with_equal_ratings(split_puzzles(train, test, num_validation)), sudoku_fingerprint)
    rows, about_neighbors = splits, []
    if num_neighbors:
        given = splits["train"]
        new, about_neighbors = neighbors_apart(splits, num_neighbors, seed, num_threads)
        splits["train"] = joined(given, new)
        others = {name: puzzles for name, puzzles in splits.items() if name != "train"}
        rows = {"train, given": given, "train, neighbors": new} | others

    example = format_boards(splits["train"].questions[:1])[0]
    write_dataset_folder(
        output_dir,
        {name: as_table(puzzles) for name, puzzles in splits.items()},
        card_text(
            title=f"Sudoku {side}x{side}",
            folder_name=output_dir.name,
            form=[
                "Each row is a puzzle with exactly one solution: `question` and `answer` cell by cell, row by row,",
                "with `.` for a blank cell; `rating` is the amount of guessing by a depth-first search solver (0:",
                f"none), from {'hrm_hf.puzzles.sudoku.solver' if source == 'generate' else 'its file'};",
                "`clues` is the number of given cells.",
                *(_FORM_OF_NEIGHBORS if num_neighbors else []),
            ],
            recipe=recipe,
            statistics=[
                *statistics_table(rows),
                *(["", *about_neighbors] if about_neighbors else []),
                *left_out_lines(train.left_out + test.left_out, "rows of the files"),
            ],
            symmetries="digits relabeled, rows, columns, bands and stacks permuted, transposed",
            removed=removed,
            example=[
                "The first training puzzle:",
                "",
                "```",
                *(" ".join(example[start : start + side]) for start in range(0, side * side, side)),
                "```",
            ],
        ),
        metadata={
            "pretty_name": f"Sudoku {side}x{side}",
            "task_categories": ["other"],
            "tags": [SUDOKU.name, "reasoning", "hrm"],
        }
        | SUDOKU.card_entry(HRMGridProcessor.for_sudoku(side))
        | ({"license": "cc0-1.0"} if source == "generate" else {}),
        overwrite=overwrite,
        pictures=[
            samples_picture(
                HRMGridProcessor.for_sudoku(side),
                format_boards(splits["train"].questions[:4]),
                format_boards(splits["train"].answers[:4]),
            )
        ],
    )
    for name, puzzles in rows.items():
        print(f"{name}: {len(puzzles)} puzzles, {(puzzles.questions > 0).sum(1).mean():.1f} clues on average")
    for line in about_neighbors:
        print(line)
    print(f"{removed} removed because they equal one of a later split up to symmetry; written to {output_dir}")
    return {name: len(puzzles) for name, puzzles in splits.items()}


def generated_puzzles(
    num: int, size: int, clues: int | None, min_rating: int, max_rating: int | None, seed: int, num_threads: int
) -> Puzzles:
    """Puzzles of [`~hrm_hf.puzzles.sudoku.generator.generate`], with the generator as source."""
    questions, answers, ratings = generate(num, size, clues, min_rating, max_rating, seed, num_threads=num_threads)
    return Puzzles(questions, answers, ratings, np.full(num, f"generated-{size}x{size}", dtype=object))


def hard_puzzles(nums: Sequence[int], seed: int, num_threads: int) -> list[Puzzles]:
    """Sets of hard puzzles (`hrm_hf.puzzles.sudoku.hard`), none with a puzzle or a solution of an earlier set, up to
    symmetry; `nums` are their sizes, which may be 0."""
    sets: list[Puzzles] = []
    for number, num in enumerate(nums):
        apart = None
        if sets:
            apart = tuple(
                np.concatenate([getattr(other, part) for other in sets]) for part in ("questions", "answers")
            )
        own_seed = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
        boards = np.zeros((0, 81), np.uint8), np.zeros((0, 81), np.uint8), np.zeros(0, np.int64)
        if num:
            boards = generate_hard(num, own_seed, num_threads, apart)
        sets.append(Puzzles(*boards, np.full(num, "generated-hard-9x9", dtype=object)))
    return sets


def neighbors_apart(splits: dict[str, Puzzles], num: int, seed: int, num_threads: int) -> tuple[Puzzles, list[str]]:
    """Neighbors of the training puzzles that share no puzzle and no solution with the other splits, up to symmetry.

    Args:
        splits: given puzzles of size 9 by split.
        num, seed, num_threads: as in [`~hrm_hf.puzzles.sudoku.neighbors.neighbors`].

    Returns:
        The neighbors, and lines about them for the card.
    """
    given = splits["train"]
    others = [puzzles for name, puzzles in splits.items() if name != "train"]
    apart = tuple(np.concatenate([getattr(other, part) for other in others]) for part in ("questions", "answers"))
    new = neighbors(given.questions, num, seed, num_threads, apart=apart)
    grids, given_grids = (
        len(np.unique(solution_fingerprint(answers, num_threads))) for answers in (new.answers, given.answers)
    )
    given_ratings = solve(given.questions, 9, num_threads=num_threads)[2]
    lines = [
        f"Ratings by the solver: neighbors {spread(new.ratings)}, given training puzzles {spread(given_ratings)}.",
        f"Solved boards up to symmetry: {grids} of {num} neighbors, {given_grids} of {len(given)} given training "
        f"puzzles. Neighbors come from {len(np.unique(new.ancestors))} given puzzles.",
        "No neighbor equals a puzzle of another split or has its solution, up to symmetry; "
        f"{new.removed} were left out for that.",
    ]
    sources = np.full(num, _NEIGHBOR, dtype=object)
    return Puzzles(new.questions, new.answers, new.ratings, sources), lines


def spread(ratings: np.ndarray) -> str:
    """A summary of ratings `(puzzles,)` in words."""
    return f"{ratings.mean():.1f} on average (median {np.median(ratings):.0f}, maximum {ratings.max()})"


def joined(*sets: Puzzles) -> Puzzles:
    """The puzzles of all sets, in this order."""
    parts = ("questions", "answers", "ratings", "sources")
    return Puzzles(*(np.concatenate([getattr(puzzles, part) for puzzles in sets]) for part in parts))


def read_sudoku_csv(
    path: Path,
    num: int | None = None,
    min_rating: int = 0,
    max_rating: int | None = None,
    subset_seed: int | None = None,
    on_error: OnError = "stop",
    columns: Columns = Columns(),  # noqa: B008  it is frozen
    num_threads: int = 1,
) -> Puzzles:
    """Read puzzles with one solution each from a CSV file; arguments and errors as in `read_puzzle_csv`.

    `num_threads` threads look for second solutions, and rate puzzles of a file without ratings.
    """
    parse = partial(parse_puzzles, num_threads=num_threads)

    def rate(questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return solve(questions, math.isqrt(questions.shape[1]), num_threads=num_threads, progress=True)[2]

    return read_puzzle_csv(path, parse, num, min_rating, max_rating, subset_seed, on_error, columns, rate)


def parse_puzzles(
    questions: list[str], answers: list[str], num_threads: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boards from lines with `.`, `0` or `_` for blank, as long as most questions, and what is wrong with each."""
    cells = usual_length(questions)
    size = math.isqrt(cells)
    if size not in BOX_SHAPES or size * size != cells:
        boards = np.zeros((len(questions), cells), dtype=np.uint8)
        wanted = ", ".join(str(known**2) for known in BOX_SHAPES)
        return boards, boards, np.full(len(questions), f"a board of {cells} cells, expected {wanted}", dtype=object)
    if size == 16:
        questions, answers = in_own_notation(questions, answers)
    digits = {symbol: digit for digit, symbol in enumerate(SYMBOLS[: size + 1])} | dict.fromkeys("0_-*", 0)
    wanted = f"1 to {SYMBOLS[size]} and . for a blank cell"
    question_boards, question_errors = parse_lines(questions, cells, digits, wanted)
    answer_boards, answer_errors = parse_lines(answers, cells, digits, wanted)
    errors = np.where(question_errors != "", question_errors, answer_errors)
    for is_wrong, reason in puzzle_errors(question_boards, answer_boards, num_threads):
        errors[(errors == "") & is_wrong] = reason
    return question_boards, answer_boards, errors


def in_own_notation(questions: list[str], answers: list[str]) -> tuple[list[str], list[str]]:
    """Lines of 16x16 Sudoku in the notation 1-G; the answers, which have all digits, show their notation."""
    digits = set("".join(answers).upper()) - set("._-*")
    for notation, own in SUDOKU_NOTATIONS.items():
        if digits == set(own) and notation != "1-G":
            blanks = str.maketrans("0", ".") if notation == "A-P" else {}
            to_own = str.maketrans(own, SUDOKU_NOTATIONS["1-G"])
            return tuple(
                [line.upper().translate(blanks).translate(to_own) for line in lines] for lines in (questions, answers)
            )
    return questions, answers


def puzzle_errors(questions: np.ndarray, answers: np.ndarray, num_threads: int):
    """Pairs of a mask `(puzzles,)` and the error where it is true: rules first, then the number of solutions."""
    size = math.isqrt(questions.shape[1])
    yield (answers == 0).any(1), "an answer with blank cells"
    yield ((questions > 0) & (questions != answers)).any(1), "an answer that changes a clue"
    broken = conflicts(answers, size)
    yield broken, "an answer with a digit twice in a row, column or box"
    counts = np.ones(len(questions), dtype=np.int64)
    counts[~broken] = solve(questions[~broken], size, num_threads=num_threads, progress=True)[1]
    yield counts > 1, "a puzzle with more than one solution"


def sudoku_fingerprint(questions: np.ndarray) -> np.ndarray:
    """[`~hrm_hf.puzzles.sudoku.symmetry.fingerprint`] of boards `(puzzles, cells)` of any size."""
    return fingerprint(questions, math.isqrt(questions.shape[1]))


def as_table(puzzles: Puzzles) -> pa.Table:
    """Columns `question`, `answer`, `rating`, `source` and `clues` (given cells)."""
    return pa.table(
        {
            "question": pa.array(format_boards(puzzles.questions), pa.string()),
            "answer": pa.array(format_boards(puzzles.answers), pa.string()),
            "rating": column_of_ratings(puzzles.ratings),
            "source": pa.array(puzzles.sources, pa.string()),
            "clues": pa.array((puzzles.questions > 0).sum(1), pa.int16()),
        }
    )


def statistics_table(splits: dict[str, Puzzles]) -> list[str]:
    """Lines of the card's table."""
    lines = ["| split | puzzles | clues: mean (min to max) | rating: mean (median, max) |", "|---|---|---|---|"]
    for name, puzzles in splits.items():
        clues, ratings = (puzzles.questions > 0).sum(1), puzzles.ratings
        lines.append(
            f"| {name} | {len(puzzles)} | {clues.mean():.1f} ({clues.min()} to {clues.max()}) | "
            f"{ratings.mean():.1f} ({np.median(ratings):.0f}, {ratings.max()}) |"
        )
    return lines
