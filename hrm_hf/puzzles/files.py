"""Rows of puzzle files in common formats: CSV, Parquet and JSON, with the usual names of columns.

rows = read_rows(Path("sudoku.csv"), Columns(), "stop")
rows.table["question"], rows.ratings, rows.lines
"""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import typer

from hrm_hf.data.bad_input import OnError


# names in the original (question, answer) and on Kaggle (quizzes, solutions; puzzle, solution, difficulty)
_NAMES = {
    "question": ("question", "quizzes", "quiz", "puzzle"),
    "answer": ("answer", "solutions", "solution"),
    "rating": ("rating", "difficulty"),
    "source": ("source",),
}
_COMPRESSIONS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": None}

QuestionColumn = Annotated[
    str | None, typer.Option(help="csv, hub: column of the puzzles; by default question, quizzes, quiz or puzzle.")
]
AnswerColumn = Annotated[
    str | None, typer.Option(help="csv, hub: column of the answers; by default answer, solutions or solution.")
]
RatingColumn = Annotated[
    str | None, typer.Option(help="csv, hub: column of the ratings; by default rating or difficulty, if it exists.")
]


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a file; `None` means the usual names."""

    question: str | None = None
    answer: str | None = None
    rating: str | None = None


@dataclass
class Rows:
    """The rows of a file.

    Attributes:
        table: columns `question`, `answer` and `source`, of strings.
        ratings: int64, or float64 if some have decimals, `(rows,)`; `None` if the file has none.
        lines: of the file, `(rows,)`; in Parquet and JSON the number of the row, from 1.
        bad: errors of the rows that are left out, by line.
    """

    table: pa.Table
    ratings: np.ndarray | None
    lines: np.ndarray
    bad: dict[int, str]

    @property
    def num_all(self) -> int:
        return len(self.table) + len(self.bad)


def check_file(path: Path):
    """Raise a `FileNotFoundError` if a file of puzzles does not exist."""
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no CSV file {path}; give an existing file with the columns question and answer."
        )


def read_rows(path: Path, columns: Columns, on_error: OnError, report: Callable[..., None]) -> Rows:
    """Read a file of puzzles: CSV (also with semicolons or tabs), .parquet, .json (an array of objects) or .jsonl,
    the text files also with .gz, .bz2, .xz or .zst.

    Args:
        path: the file.
        columns: names of its columns.
        on_error: `"stop"` raises at rows that lack a column, have an extra one, or a rating that is not a number.
        report: called with the line and the reason of the first such row, their number and that of all rows.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it cannot be read, or a column is missing.
    """
    check_file(path)
    bad: dict[int, str] = {}
    table, first_line = table_of(path, bad)
    found = {part: _column(path, table.column_names, part, getattr(columns, part, None)) for part in _NAMES}
    if missing := [part for part in ("question", "answer") if found[part] is None]:
        raise ValueError(
            f"{path} has no column {' and '.join(missing)}, only {', '.join(table.column_names)}; name them with "
            f"{' and '.join(f'--{part}-column' for part in missing)}."
        )
    sources = [path.name.split(".")[0]] * len(table)
    strings = {part: pc.fill_null(table[found[part]].cast(pa.string()), "") for part in found if found[part]}
    texts = pa.table({"source": sources} | strings)
    lines = np.setdiff1d(np.arange(first_line, first_line + len(table) + len(bad)), list(bad))
    if found["rating"] is None:
        if bad:
            report(*min(bad.items()), len(bad), len(table) + len(bad))
        return Rows(texts, None, lines, bad)

    is_number = pc.match_substring_regex(texts["rating"], r"^\s*-?[0-9]{1,9}(\.[0-9]{1,9})?\s*$")
    for row in np.flatnonzero(~is_number.to_numpy()):
        bad[int(lines[row])] = f"the rating {texts['rating'][int(row)].as_py()!r}, expected a number"
    if bad:
        report(*min(bad.items()), len(bad), len(table) + len(bad) - int((~is_number.to_numpy()).sum()))
    texts, lines = texts.filter(is_number), lines[is_number.to_numpy()]
    ratings = pc.utf8_trim_whitespace(texts["rating"]).cast(pa.float64()).to_numpy()
    is_whole = bool((ratings == np.floor(ratings)).all())
    return Rows(texts.drop_columns("rating"), ratings.astype(np.int64) if is_whole else ratings, lines, bad)


def _column(path: Path, names: list[str], part: str, given: str | None) -> str | None:
    """The name of a column of the file; `None` if it has none."""
    if given is not None:
        if given not in names:
            raise ValueError(
                f"{path} has no column {given!r}, only {', '.join(names)}; give one of these as --{part}-column."
            )
        return given
    return next((name for name in _NAMES[part] if name in names), None)


def table_of(path: Path, bad: dict[int, str]) -> tuple[pa.Table, int]:
    """The table of a file, and the line of its first row; notes in `bad` rows with another number of columns.

    Text files give strings, which are JSON if the file has lists.

    Raises:
        ValueError: if it cannot be read.
    """
    ending = path.suffix.lower()
    kind = path.with_suffix("").suffix.lower() if ending in _COMPRESSIONS else ending
    try:
        if kind == ".parquet":
            return pq.read_table(path), 1
        if kind in (".json", ".jsonl"):
            return _json_table(_bytes_of(path), kind), 1
        return _csv_table(_bytes_of(path), bad), 2  # the header is line 1
    except (ValueError, TypeError, OSError, EOFError, lzma.LZMAError) as error:
        # from pyarrow, JSON, decoding and compressed files
        wanted = {".parquet": "Parquet", ".json": "JSON", ".jsonl": "JSON lines"}.get(kind, "CSV")
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path} is not a {wanted} file of puzzles: {reason}") from error


def _bytes_of(path: Path) -> bytes:
    """The content of a file, which may be compressed, without a byte order mark."""
    ending = path.suffix.lower()
    if ending == ".zst":
        with pa.CompressedInputStream(str(path), "zstd") as file:
            data = file.read()
    else:
        with _COMPRESSIONS.get(ending, open)(path, "rb") as file:
            data = file.read()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16").encode()
    return data.removeprefix(b"\xef\xbb\xbf")


def _csv_table(data: bytes, bad: dict[int, str]) -> pa.Table:
    def note(row: pyarrow.csv.InvalidRow) -> str:
        bad[row.number] = f"a row of {row.actual_columns} columns, expected {row.expected_columns}"
        return "skip"

    # before rows are read, because for a bad row pyarrow only prints that it is not UTF-8
    data.decode()
    header = data.split(b"\n", 1)[0]
    delimiter = max((b",", b";", b"\t"), key=header.count).decode()
    names = [name.strip().strip('"') for name in header.decode().strip().split(delimiter)]
    return pyarrow.csv.read_csv(
        pa.BufferReader(data),
        # with several threads rows have no numbers
        read_options=pyarrow.csv.ReadOptions(use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(
            # boards may be drawn on several lines, in quotes
            delimiter=delimiter,
            invalid_row_handler=note,
            newlines_in_values=b'"' in data,
        ),
        # all as text, so that a row with a bad rating can be named and boards of digits do not become numbers
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


def _json_table(data: bytes, kind: str) -> pa.Table:
    rows = json.loads(data) if kind == ".json" else [json.loads(line) for line in data.splitlines() if line.strip()]
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError("expected objects, each a puzzle")
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: pa.array([_text_of(row.get(name)) for row in rows], pa.string()) for name in names})


def _text_of(value: Any) -> str | None:
    """A value of JSON as text: a string unchanged, lists as JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value)
