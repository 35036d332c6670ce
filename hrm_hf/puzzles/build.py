"""Shared by the builders of puzzle data sets: rows of CSV files and of the Hub, splits without leaks, the card."""

import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from huggingface_hub import hf_hub_download
from tqdm import tqdm

from hrm_hf.data.bad_input import OnError
from hrm_hf.data.folder import CardPicture
from hrm_hf.drawing import draw_puzzles
from hrm_hf.puzzles.files import Columns, check_file, read_rows
from hrm_hf.utils.files import sha256
from processing_hrm import HRMGridProcessor


_MARKED_AT_ONCE = 2000  # puzzles, in less than a second


@dataclass
class Puzzles:
    """Puzzles of one size: boards `(puzzles, cells)` uint8, rating and source, and how many bad rows were left out."""

    questions: np.ndarray
    answers: np.ndarray
    ratings: np.ndarray
    sources: np.ndarray
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, rows) -> "Puzzles":
        return Puzzles(self.questions[rows], self.answers[rows], self.ratings[rows], self.sources[rows])


# --- options


def check_counts(num_train: int | None, num_validation: int, num_test: int | None):
    """Raise a `ValueError` for impossible numbers of puzzles."""
    for name, num in (("num_train", num_train), ("num_test", num_test)):
        if num is not None and num < 1:
            raise ValueError(f"{name}={num} is not allowed; it must be at least 1.")
    if num_validation < 0:
        raise ValueError(f"num_validation={num_validation} is not allowed; it must be at least 0.")


def check_source_options(builder: Callable, options: dict, sources: dict[str, tuple[str, ...]]):
    """Raise a `ValueError` if an option is set that the source does not use.

    Args:
        builder: function whose signature has the defaults.
        options: its arguments by name.
        sources: the sources that use an option, for options that not every source uses.
    """
    defaults = inspect.signature(builder).parameters
    for name, known_to in sources.items():
        if options["source"] not in known_to and options[name] != defaults[name].default:
            raise ValueError(
                f"{name}={options[name]} is for the source {' and '.join(known_to)}, not for {options['source']}; "
                "leave it out."
            )


# --- rows of files


def csv_files(
    source: str, hub_name: str, train_csv: Path | None, test_csv: Path | None, test_share: float | None
) -> tuple[Path, ...]:
    """The files of both splits: the given ones, train.csv and test.csv of a data set on the Hub, or one file to be
    split by a share.

    Raises:
        ValueError: if the source is `csv` and a file is not given, or a share has no use.
        FileNotFoundError: if a file does not exist.
    """
    if source == "hub":
        try:
            train_csv, test_csv = (
                Path(hf_hub_download(hub_name, file, repo_type="dataset")) for file in ("train.csv", "test.csv")
            )
            return train_csv, test_csv
        except (OSError, ValueError) as error:
            raise FileNotFoundError(
                f"train.csv and test.csv of the data set {hub_name} cannot be downloaded from the Hub: "
                f"{str(error).splitlines()[0]}"
            ) from error
    if test_share is not None:
        if not 0 < test_share < 1:
            raise ValueError(f"test_share={test_share} is not allowed; it must be above 0 and below 1.")
        if train_csv is None or test_csv is not None:
            raise ValueError(f"test_share={test_share} splits one file; give it as --train-csv, without --test-csv.")
        check_file(train_csv)
        return (train_csv,)
    if train_csv is None or test_csv is None:
        raise ValueError(
            "The source csv needs two files; give --train-csv and --test-csv, or --train-csv and --test-share."
        )
    for path in (train_csv, test_csv):
        check_file(path)
    return train_csv, test_csv


# lines of questions and answers -> boards of both `(lines, cells)` uint8, and the error of each ("" if none)
Parser = Callable[[list[str], list[str]], tuple[np.ndarray, np.ndarray, np.ndarray]]


def read_puzzle_csv(
    path: Path,
    parse: Parser,
    num: int | None = None,
    min_rating: int | None = None,
    max_rating: int | None = None,
    subset_seed: int | None = None,
    on_error: OnError = "stop",
    columns: Columns = Columns(),  # noqa: B008  it is frozen
    rate: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Puzzles:
    """Read and check puzzles of a file of `read_rows`.

    Args:
        path: the file.
        parse: reads and checks questions and answers.
        num: how many of the rows whose rating is in bounds; all by default.
        min_rating, max_rating: bounds of the rating.
        subset_seed: take `num` random rows, drawn with this seed, in the order of the file; by default the first.
        on_error: `"stop"` raises at bad rows, `"skip"` leaves them out and counts them.
        columns: names of the columns of the file.
        rate: computes ratings from questions and answers, for a file without ratings; 0 by default.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if a column is missing, there are too few rows, or a row is bad; names file, line and value.
    """
    read = read_rows(
        path,
        columns,
        on_error,
        report=lambda line, reason, number, num_rows: _report_bad_rows(path, line, reason, number, num_rows, on_error),
    )
    table, ratings, lines = read.table, read.ratings, read.lines
    if ratings is None:
        if min_rating or max_rating is not None:
            raise ValueError(f"{path} has no ratings to choose puzzles by; name their column with --rating-column.")
        wanted: np.ndarray | bool = True
    else:
        wanted = (True if min_rating is None else ratings >= min_rating) & (
            True if max_rating is None else ratings <= max_rating
        )
    rows = np.flatnonzero(np.broadcast_to(wanted, len(table)))
    if len(rows) < (1 if num is None else num):
        any_rating = not min_rating and max_rating is None
        bounds = "" if any_rating else f" with a rating from {min_rating or 0} to {max_rating or 'any'}"
        raise ValueError(f"{path} has {len(rows)} puzzles{bounds}, but {num or 'at least 1'} were asked for.")
    if num is not None and subset_seed is None and on_error == "stop":
        rows = rows[:num]
    elif num is not None and subset_seed is not None:
        rows = np.sort(np.random.default_rng(subset_seed).choice(rows, num, replace=False))
    table, lines = table.take(rows), lines[rows]

    try:
        questions, answers, errors = parse(table["question"].to_pylist(), table["answer"].to_pylist())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    bad = np.flatnonzero(errors != "")
    if len(bad):
        question = table["question"][int(bad[0])].as_py()
        reason = f"{errors[bad[0]]} ({question if len(question) <= 100 else question[:97] + '...'})"
        _report_bad_rows(path, int(lines[bad[0]]), reason, len(bad), len(rows), on_error)
    good = np.flatnonzero(errors == "")[:num]
    if num is not None and len(good) < num and subset_seed is None:
        raise ValueError(f"{path} has {len(good)} good rows, but {num} were asked for.")
    if ratings is not None:
        ratings = ratings[rows][good]
    elif rate is not None:
        ratings = rate(questions[good], answers[good])
    else:
        ratings = np.zeros(len(good), dtype=np.int64)
    return Puzzles(
        questions[good],
        answers[good],
        ratings,
        np.array(table["source"].to_pylist(), dtype=object)[good],
        left_out=len(read.bad) + len(bad),
    )


def _report_bad_rows(path: Path, line: int, reason: str, number: int, num_rows: int, on_error: OnError):
    """Raise a `ValueError` for bad rows, or print that they are left out; `line`, `reason`: of the first one."""
    if on_error == "stop":
        raise ValueError(
            f"{path}, line {line}: {reason}; {number} of {num_rows} rows are bad: fix them or leave them out with "
            "--on-error skip."
        )
    if number == num_rows:
        raise ValueError(f"{path} has no good rows; the first bad one is line {line}: {reason}.")
    print(f"{path}: left out {number} of {num_rows} rows; the first is line {line}: {reason}")


def column_of_ratings(ratings: np.ndarray) -> pa.Array:
    """Ratings as a column; integers if all are."""
    return pa.array(ratings, pa.int32() if ratings.dtype.kind in "iu" else pa.float64())


def with_equal_ratings(splits: dict[str, Puzzles]) -> dict[str, Puzzles]:
    """Splits whose ratings have the same type, so that they make one data set."""
    if any(part.ratings.dtype.kind == "f" for part in splits.values()):
        for part in splits.values():
            part.ratings = part.ratings.astype(np.float64)
    return splits


def usual_length(lines: list[str]) -> int:
    """The length of most lines, so that even a bad first line is recognized as bad."""
    return Counter(len(line) for line in lines).most_common(1)[0][0]


def parse_lines(lines: list[str], cells: int, numbers: dict[str, int], wanted: str) -> tuple[np.ndarray, np.ndarray]:
    """Boards `(lines, cells)` uint8 of lines of characters, and the error of each ("" if none).

    Args:
        lines: one board each.
        cells: number of cells per board.
        numbers: the number, from 0 to 254, of each allowed ASCII character.
        wanted: the allowed characters in words, for messages.
    """
    boards = np.zeros((len(lines), cells), dtype=np.uint8)
    errors = np.full(len(lines), "", dtype=object)
    lengths = np.array([len(line) for line in lines])
    errors[lengths != cells] = [f"a board of {length} cells, expected {cells}" for length in lengths[lengths != cells]]
    fits = np.flatnonzero(lengths == cells)

    # number of each character code; 255 is not allowed
    number_of = np.full(128, 255, dtype=np.uint8)
    for symbol, number in numbers.items():
        number_of[ord(symbol)] = number
    codes = np.array([lines[row] for row in fits], dtype=f"<U{cells}").view(np.uint32).reshape(len(fits), cells)
    boards[fits] = np.where(codes < 128, number_of[np.minimum(codes, 127)], 255)
    illegal = (boards == 255).any(1)
    for row in np.flatnonzero(illegal):
        symbol = lines[row][int((boards[row] == 255).argmax())]
        errors[row] = f"the character {symbol!r}, expected {wanted}"
    boards[illegal] = 0
    return boards, errors


def read_splits(
    files: tuple[Path, ...],
    read: Callable[[Path, int | None], Puzzles],
    num_train: int | None,
    num_validation: int,
    num_test: int | None,
    test_share: float | None = None,
    seed: int = 0,
) -> tuple[Puzzles, Puzzles]:
    """Training (and validation) and test puzzles of two files, or of one file that is split.

    Args:
        files: the training and the test file, or one file for both.
        read: reads this many puzzles of a file, or all.
        num_train, num_validation, num_test: how many; `None` for all.
        test_share: random share of the one file that is the test split.
        seed: of this random choice.

    Raises:
        ValueError: for puzzles of two sizes, or if validation would take all training puzzles.
    """
    if test_share is not None:
        train, test = _split_by_share(
            files[0], read(files[0], None), num_train, num_validation, num_test, test_share, seed
        )
        files = (files[0], files[0])
    else:
        train = read(files[0], None if num_train is None else num_train + num_validation)
        test = read(files[1], num_test)
    if train.questions.shape[1] != test.questions.shape[1]:
        raise ValueError(
            f"{files[0]} has puzzles of {train.questions.shape[1]} cells, {files[1]} of {test.questions.shape[1]}; "
            "both must have the same size."
        )
    if num_validation >= len(train):
        raise ValueError(
            f"num_validation={num_validation} leaves nothing to train on: {files[0]} gives {len(train)} puzzles."
        )
    return train, test


def _split_by_share(
    path: Path,
    puzzles: Puzzles,
    num_train: int | None,
    num_validation: int,
    num_test: int | None,
    share: float,
    seed: int,
) -> tuple[Puzzles, Puzzles]:
    """Training and test puzzles of one file, each in the order of the file; only the first ones if a number is set."""
    is_test = np.zeros(len(puzzles), dtype=bool)
    is_test[np.random.default_rng(seed).permutation(len(puzzles))[: round(share * len(puzzles))]] = True
    parts = []
    for name, rows, num in (
        ("training", ~is_test, None if num_train is None else num_train + num_validation),
        ("test", is_test, num_test),
    ):
        if rows.sum() < (num or 1):
            raise ValueError(
                f"A test_share of {share} leaves {rows.sum()} of the {len(puzzles)} puzzles of {path} for the {name} "
                f"split, but {num or 'at least 1'} were asked for."
            )
        parts.append(puzzles[np.flatnonzero(rows)[:num]])
    parts[0].left_out = puzzles.left_out
    return parts[0], parts[1]


# --- splits


def split_puzzles(train: Puzzles, test: Puzzles, num_validation: int) -> dict[str, Puzzles]:
    """The splits train, validation (if it has puzzles) and test; validation is the end of the training puzzles."""
    # so the first ones are the same with and without a validation split
    splits = {"train": train[: len(train) - num_validation]}
    if num_validation:
        splits["validation"] = train[len(train) - num_validation :]
    return splits | {"test": test}


def without_leaks(
    splits: dict[str, Puzzles], fingerprint: Callable[[np.ndarray], np.ndarray]
) -> tuple[dict[str, Puzzles], int]:
    """Remove, and count, the puzzles of a split that have the same fingerprint as a puzzle of a later split.

    Args:
        splits: puzzles by split.
        fingerprint: maps questions to `(puzzles,)` uint64, equal for puzzles that are equal up to symmetry.

    Raises:
        ValueError: if nothing is left of a split.
    """
    removed, later = 0, np.array([], dtype=np.uint64)
    clean = {}
    for name, puzzles in reversed(splits.items()):
        marks = _marks(puzzles.questions, fingerprint, name)
        leaks = np.isin(marks, later)
        removed += int(leaks.sum())
        if leaks.all():
            raise ValueError(
                f"All {len(puzzles)} puzzles of the split {name!r} are also in a later split, up to symmetry, so none "
                "is left; give splits with different puzzles."
            )
        clean[name] = puzzles[~leaks]
        later = np.concatenate((later, marks))
    return {name: clean[name] for name in splits}, removed


def _marks(questions: np.ndarray, fingerprint: Callable[[np.ndarray], np.ndarray], name: str) -> np.ndarray:
    """Fingerprints of many puzzles, in parts to bound memory and to show progress."""
    starts = range(0, max(1, len(questions)), _MARKED_AT_ONCE)
    parts = tqdm(starts, f"compare {name}", unit="part", leave=False, delay=2, disable=None)
    return np.concatenate([fingerprint(questions[start : start + _MARKED_AT_ONCE]) for start in parts])


# --- card


def files_origin(source: str, files: tuple[Path, ...]) -> list[str]:
    """Lines of the card about the files that the puzzles come from."""
    lines = [f"{'Hub' if source == 'hub' else 'CSV'} files:"]
    return lines + [f"- `{path.name}`, SHA-256 `{sha256(path)}`" for path in files]


def card_text(
    title: str,
    folder_name: str,
    form: list[str],
    recipe: str,
    statistics: list[str],
    symmetries: str,
    removed: int,
    example: list[str],
) -> str:
    """Markdown of a card.

    Args:
        title: its heading.
        folder_name: of the data set.
        form: lines about the rows.
        recipe: from `recipe_text`.
        statistics: lines of a table, and about it.
        symmetries: in words; up to these, no puzzle is in two splits.
        removed: how many puzzles were removed for that.
        example: lines that show a puzzle.
    """
    lines = [
        f"# {title}",
        "",
        *form,
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        f'puzzles = load_dataset("{folder_name}", split="train")',
        "```",
        "",
        recipe,
        "",
        "## Statistics",
        "",
        *statistics,
        "",
        "Leak check: no puzzle has the same symmetry-invariant fingerprint as a puzzle of another split",
        f"({symmetries});",
        f"{removed} puzzles of earlier splits were removed for that.",
        "",
        *example,
    ]
    return "\n".join(lines) + "\n"


def samples_picture(processor: HRMGridProcessor, questions: Sequence[str], answers: Sequence[str]) -> CardPicture:
    """Picture of the first training puzzles (at most four) with their answers.

    Args:
        processor: of the puzzles.
        questions, answers: of the training split.
    """
    inputs = processor(list(questions[:4]), list(answers[:4]))
    figure = draw_puzzles(processor, inputs["input_ids"], inputs["labels"])
    return CardPicture(figure, "The first training puzzles, each above its answer")
