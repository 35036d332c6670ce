"""Boards from tables in common formats: CSV, JSON, Parquet, npz or a data set on the Hub.

table = read_table("mine.csv")["train"]
boards = read_boards(table, "input", "output")
boards.questions[0]              # rows of cells, each a string

How a text is split into cells is decided once for all rows: JSON lists; words separated by whitespace or commas, if
the rows of almost all boards then have equally many; otherwise every character is a cell. Rows of a board are
separated by line breaks or slashes.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hrm_hf.puzzles.files import table_of
from processing_hrm import grid_cells


Rows = list[list[str]]
Cells = Literal["auto", "characters", "words"]

# usual names of columns
INPUT_NAMES = ("input", "question", "puzzle", "quizzes", "quiz", "x")
OUTPUT_NAMES = ("output", "answer", "solution", "solutions", "target", "y")
MASK_NAMES = ("mask",)
_MOST = 0.9
_ENDINGS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet", ".npz", ".gz", ".bz2", ".xz", ".zst")
FILES = ".csv, .tsv, .json, .jsonl, .parquet (text files also with .gz, .bz2, .xz or .zst) or .npz"


@dataclass(frozen=True)
class Table:
    """Columns of equal length.

    Attributes:
        name: for messages.
        columns: values by the name of their column.
        bad: errors of lines that are not rows of the table, by line.
    """

    name: str
    columns: dict[str, list[Any]]
    bad: dict[int, str]

    def column(self, given: str | None, usual: Sequence[str], option: str) -> str | None:
        """The name of a column: the given one, or the first usual one; `None` if it has none.

        Raises:
            ValueError: if it does not have the given one.
        """
        if given is None:
            return next((name for name in usual if name in self.columns), None)
        if given not in self.columns:
            raise ValueError(
                f"{self.name} has no column {given!r}, only {', '.join(self.columns)}; give one of these as {option}."
            )
        return given


@dataclass
class Boards:
    """The boards of a table.

    Attributes:
        name: of the table, for messages.
        numbers: row of each board in the table, from 1.
        questions, answers: rows of cells; cells of an answer that are not to be filled in are those of the question.
        masks: rows of `1` for a cell to be filled in and `0` for another; `None` if all are, in all boards.
        left_out: number of bad rows that are left out.
    """

    name: str
    numbers: list[int]
    questions: list[Rows]
    answers: list[Rows]
    masks: list[Rows] | None
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, rows: Iterable[int]) -> "Boards":
        """Some of the boards, by index."""
        rows = list(rows)
        parts = ([part[row] for row in rows] for part in (self.numbers, self.questions, self.answers))
        return Boards(self.name, *parts, None if self.masks is None else [self.masks[row] for row in rows])

    def place(self, row: int) -> str:
        """The place of a board, for messages."""
        return f"{self.name}, row {self.numbers[row]}"


# file, row, reason -> nothing, or a `ValueError`
Report = Callable[[str, str], None]


def read_table(source: str, config: str | None = None) -> dict[str, Table]:
    """The table of a file, as the split `train`, or the splits of a data set.

    Args:
        source: a file (CSV, JSON, Parquet, npz), or an argument for `datasets.load_dataset`.
        config: of the data set, if it has several.

    Raises:
        FileNotFoundError: if the file or data set does not exist.
        ValueError: if it cannot be read.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return {"train": _table_of_file(path)}
    is_file_name = path.suffix.lower() in _ENDINGS or source.startswith((".", "/", "~")) or source.count("/") > 1
    if not path.is_dir() and is_file_name:
        raise FileNotFoundError(f"There is no file {source}; give an existing file: {FILES}.")
    import datasets

    try:
        splits = datasets.load_dataset(source, config)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise FileNotFoundError(
            f"There is no file {source}, and no data set of this name can be opened "
            f"({' '.join(str(error).split())[:200]}); give a file ({FILES}) or a data set as owner/name."
        ) from error
    return {
        str(split): Table(f"{source}, split {split}", {name: list(rows[name]) for name in rows.column_names}, {})
        for split, rows in splits.items()
    }


def _table_of_file(path: Path) -> Table:
    if path.suffix.lower() != ".npz":
        bad: dict[int, str] = {}
        table, _ = table_of(path, bad)
        names = table.column_names
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{path} has more than one column {twice!r}; give each column its own name.")
        return Table(str(path), {name: table[name].to_pylist() for name in table.column_names}, bad)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            columns = {name: list(arrays[name]) for name in arrays.files}
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} is not an npz file of plain arrays: {str(error).splitlines()[0]}") from error
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"{path} has arrays of {lengths} rows; expected arrays of the same length.")
    return Table(str(path), columns, {})


def read_boards(
    tables: dict[str, Table],
    report: Report,
    input_column: str | None = None,
    output_column: str | None = None,
    mask_column: str | None = None,
    cells: Cells = "auto",
    height: int | None = None,
    width: int | None = None,
) -> dict[str, Boards]:
    """The boards of tables that make one data set.

    Args:
        tables: by split.
        report: called with the place and the error of a bad row; raises, or the row is left out.
        input_column, output_column, mask_column: names of the columns; by default the usual ones.
        cells: what a cell is in a text.
        height, width: rows and columns of boards given as one row; one of them is enough.

    Raises:
        ValueError: if a column is missing or there is no row; also what `report` raises.
    """
    found = {
        split: (
            table.column(input_column, INPUT_NAMES, "--input-column"),
            table.column(output_column, OUTPUT_NAMES, "--output-column"),
            table.column(mask_column, MASK_NAMES, "--mask-column"),
        )
        for split, table in tables.items()
    }
    for split, (question, answer, _) in found.items():
        missing = [name for name, column in (("input", question), ("output", answer)) if column is None]
        if missing:
            table = tables[split]
            raise ValueError(
                f"{table.name} has no column {' and '.join(missing)}, only {', '.join(table.columns)}; name them with "
                f"{' and '.join(f'--{name}-column' for name in missing)}."
            )
        if not tables[split].columns[question]:
            raise ValueError(f"{tables[split].name} has no rows; give a table with at least one.")
    pairs = [
        pair
        for split, (question, answer, _) in found.items()
        for pair in zip(tables[split].columns[question], tables[split].columns[answer], strict=True)
    ]
    read = _reader(pairs, cells)
    return {split: _boards_of(tables[split], columns, read, report, height, width) for split, columns in found.items()}


def _boards_of(
    table: Table,
    columns: tuple[str, str, str | None],
    read: Callable[[Any], Rows],
    report: Report,
    height: int | None,
    width: int | None,
) -> Boards:
    questions, answers, masks = (None if name is None else table.columns[name] for name in columns)
    boards = Boards(table.name, [], [], [], None if masks is None else [])
    for line, reason in table.bad.items():
        report(f"{table.name}, line {line}", reason)
        boards.left_out += 1
    for row in range(len(questions)):
        try:
            question = _whole_board(questions[row], columns[0], read, height, width)
            mask = None
            if masks is not None:
                mask = _mask(masks[row], columns[2], question, height, width)
            answer = _answer(answers[row], columns[1], read, question, mask, height, width)
        except (ValueError, TypeError) as error:
            report(f"{table.name}, row {row + 1}", str(error).rstrip("."))
            boards.left_out += 1
            continue
        boards.numbers.append(row + 1)
        boards.questions.append(question)
        boards.answers.append(answer)
        if mask is not None:
            boards.masks.append(mask)
    if not boards.questions:
        raise ValueError(f"{table.name} has no good rows; check the table and the options.")
    return boards


# --- one board


def _reader(pairs: list[tuple[Any, Any]], cells: Cells) -> Callable[[Any], Rows]:
    """The function that reads boards of a table, chosen by all its questions and answers."""
    values = [value for pair in pairs for value in pair]
    texts = [value for value in values if isinstance(value, str)]
    is_json = bool(texts) and all(_json_list(text) is not None for text in texts if text.strip())

    def parsed(value: Any) -> Any:
        return (_json_list(value) or value) if is_json and isinstance(value, str) else value

    def reader(by_words: bool, slashes: bool) -> Callable[[Any], Rows]:
        return lambda value: grid_cells(_plain(parsed(value)), "the board", by_words, slashes=slashes)

    with_slashes = [text for text in texts if "/" in text]
    slashes = 2 * len(with_slashes) > len(texts) and any(
        _are_rectangles(with_slashes, reader(by_words, True)) for by_words in (False, True)
    )
    if cells != "auto":
        return reader(cells == "words", slashes)
    if not texts or is_json:
        flat = (value for value in map(parsed, values) if isinstance(value, list))
        lengths = {len(cell) for value in flat for cell in value if isinstance(cell, str)}
        # strings of the same length are rows of a board
        return reader(len(lengths) > 1, slashes)
    by_words = any(_between_cells(text) for text in texts) and _are_equal_shapes(pairs, reader(True, slashes))
    return reader(by_words, slashes)


def _json_list(text: str) -> list | None:
    if not text.lstrip().startswith("["):
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def _plain(value: Any) -> Any:
    """A number as its digits, which are the cells; anything else unchanged."""
    is_number = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return str(value) if is_number else value


def _between_cells(text: str) -> bool:
    """Whether a text has word separators, except at its ends."""
    return any(separator in text.strip() for separator in " \t,;")


def _are_rectangles(texts: list[str], read: Callable[[str], Rows]) -> bool:
    """Whether the rows of almost all boards are equally long; a few bad boards do not affect how others are read."""
    good = sum(len({len(row) for row in rows}) == 1 and all(rows) for rows in map(read, texts))
    return good >= _MOST * len(texts)


def _are_equal_shapes(pairs: list[tuple[Any, Any]], read: Callable[[Any], Rows]) -> bool:
    """Whether rows are equally long in almost all boards, and answers have the shape of their questions."""
    good = 0
    for pair in pairs:
        shapes = [{len(row) for row in read(value)} | {-len(read(value))} for value in pair if isinstance(value, str)]
        good += all(len(shape) == 2 for shape in shapes) and all(shape == shapes[0] for shape in shapes)
    return good >= _MOST * len(pairs)


def _whole_board(
    value: Any, column: str, read: Callable[[Any], Rows], height: int | None, width: int | None, empty: bool = False
) -> Rows:
    """The cells of a value, a rectangle without empty cells; `empty` allows those."""
    if value is None or (isinstance(value, str) and value.strip("\r\n") == ""):
        raise ValueError(f"the column {column!r} is empty, expected a board")
    rows = read(value)
    if (height or width) and len(rows) == 1:
        cells = len(rows[0])
        rows_wanted = height or max(1, cells // width)
        columns_wanted = width or max(1, cells // rows_wanted)
        if rows_wanted * columns_wanted != cells:
            raise ValueError(
                f"the column {column!r} has {cells} cells, expected {height or 'rows'} x {width or 'columns'}"
            )
        rows = [rows[0][start : start + columns_wanted] for start in range(0, cells, columns_wanted)]
    widths = [len(row) for row in rows]
    if not rows or 0 in widths or len(set(widths)) > 1:
        raise ValueError(
            f"the column {column!r} has rows of {widths} cells, expected rows of the same length, and at least one"
        )
    if any(given and given != found for given, found in ((height, len(rows)), (width, widths[0]))):
        raise ValueError(
            f"the column {column!r} has a board of {_shape(rows)}, expected {height or 'any number of'} rows and "
            f"{width or 'any number of'} columns"
        )
    if not empty:
        for number, row in enumerate(rows, start=1):
            if "" in row:
                raise ValueError(
                    f"the column {column!r} has an empty cell in row {number}, column {row.index('') + 1} of its "
                    "board, expected a symbol in every cell"
                )
    return rows


def _mask(value: Any, column: str, question: Rows, height: int | None, width: int | None) -> Rows:
    def read(value: Any) -> Rows:
        value = (_json_list(value) or value) if isinstance(value, str) else value
        return grid_cells(value, "the mask", by_words=False, ignored=" \t,;")

    mask = _whole_board(value, column, read, height, width)
    _check_shape(mask, column, question)
    symbols = {cell for row in mask for cell in row}
    if not symbols <= {"0", "1"}:
        raise ValueError(
            f"the mask has {', '.join(map(repr, sorted(symbols - {'0', '1'})[:3]))}, expected 1 for a cell to be "
            "filled in and 0 for another"
        )
    if "1" not in symbols:
        raise ValueError("the mask is all 0, expected a 1 for at least one cell")
    return mask


def _answer(
    value: Any,
    column: str,
    read: Callable[[Any], Rows],
    question: Rows,
    mask: Rows | None,
    height: int | None,
    width: int | None,
) -> Rows:
    answer = _whole_board(value, column, read, height, width, empty=mask is not None)
    _check_shape(answer, column, question)
    if mask is None:
        return answer
    kept = [
        [cell if asked == "1" else given for cell, asked, given in zip(*rows, strict=True)]
        for rows in zip(answer, mask, question, strict=True)
    ]
    for number, row in enumerate(kept, start=1):
        if "" in row:
            raise ValueError(
                f"the column {column!r} has an empty cell in row {number}, column {row.index('') + 1} of its board, "
                "where the mask is 1"
            )
    return kept


def _check_shape(board: Rows, column: str, question: Rows):
    if _shape(board) != _shape(question):
        raise ValueError(
            f"the column {column!r} has a board of {_shape(board)} and the input one of {_shape(question)}, "
            "expected boards of the same shape"
        )


def _shape(board: Rows) -> str:
    return f"{len(board)}x{len(board[0])}"


def usual_shape(boards: Iterable[Rows]) -> tuple[int, int]:
    """The shape (rows, columns) of most boards."""
    return Counter((len(board), len(board[0])) for board in boards).most_common(1)[0][0]
