"""Data sets of grids of any kind, from a table with a column of inputs and a column of outputs."""

import inspect
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer

from hrm_hf.data.bad_input import OnError, OnErrorOption, left_out_lines
from hrm_hf.data.folder import check_output_dir, finished_splits, write_dataset_folder
from hrm_hf.data.publish import pushes
from hrm_hf.data.recipe import recipe_text
from hrm_hf.puzzles.build import samples_picture
from hrm_hf.puzzles.grid.description import GridDescription
from hrm_hf.puzzles.grid.reading import Boards, Cells, Rows, read_boards, read_table, usual_shape
from hrm_hf.puzzles.grid.symmetry import Symmetries, fingerprint
from hrm_hf.utils.files import sha256
from processing_hrm import MAX_SYMBOLS, HRMGridProcessor


_SYMMETRIES = {
    "none": "none",
    "dihedral": "boards turned and mirrored",
    "symbols": "symbols of answers swapped",
    "both": "boards turned and mirrored, symbols of answers swapped",
}


@dataclass(frozen=True)
class _Report:
    """What happens to a bad row: an error, or it is left out; the first one is printed."""

    on_error: OnError
    told: list[str]

    def __call__(self, place: str, reason: str):
        if self.on_error == "stop":
            raise ValueError(f"{place}: {reason}; fix the row, or leave out such rows with --on-error skip.")
        if not self.told:
            print(f"{place}: left out, {reason}")
        self.told.append(place)


@pushes
def build_grid(
    source: Annotated[
        str,
        typer.Argument(
            help="Table with a column of inputs and a column of outputs: .csv, .json, .jsonl, .parquet or .npz, or a "
            "data set for datasets.load_dataset."
        ),
    ],
    output_dir: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    input_column: Annotated[
        str | None, typer.Option(help="Column of the inputs; by default input, question, puzzle, quizzes or x.")
    ] = None,
    output_column: Annotated[
        str | None, typer.Option(help="Column of the outputs; by default output, answer, solution(s), target or y.")
    ] = None,
    mask_column: Annotated[
        str | None,
        typer.Option(
            help="Column that marks with 1 the cells to be filled in, and with 0 the others, which are only read; by "
            "default mask, if it exists."
        ),
    ] = None,
    height: Annotated[int | None, typer.Option(help="Rows of a board, if they cannot be read from the text.")] = None,
    width: Annotated[
        int | None, typer.Option(help="Columns of a board, if they cannot be read from the text.")
    ] = None,
    cells: Annotated[
        Cells,
        typer.Option(help="What a cell is in a text: a character, or a word separated by whitespace or commas."),
    ] = "auto",
    validation: Annotated[
        str, typer.Option(help="Share of the rows for the validation split, or a table for it; 0 for none.")
    ] = "0.1",
    test: Annotated[str, typer.Option(help="Share of the rows for the test split, or a table for it.")] = "0.1",
    config: Annotated[str | None, typer.Option(help="Configuration, if the data set has several.")] = None,
    pad: Annotated[
        bool, typer.Option("--pad", help="Allow boards of several shapes; smaller ones are padded.")
    ] = False,
    symmetries: Annotated[
        Symmetries,
        typer.Option(
            help="What leaves the puzzle equivalent: boards turned and mirrored, symbols of answers swapped. Training "
            "draws such copies, and no two splits have copies of the same input."
        ),
    ] = "none",
    kind: Annotated[str, typer.Option(help="Name of your own kind of puzzle, if a plugin has its rules.")] = "grid",
    on_error: OnErrorOption = "stop",
    seed: Annotated[int, typer.Option(help="Seed for the choice of rows for a split.")] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing data set folder.")] = False,
) -> dict[str, int]:
    """Build a data set for your own puzzle: a grid in, a grid of the same shape out.

    A board is a text (one character or word per cell; rows separated by line breaks or slashes), a list of cells or a
    list of rows; a sequence is a board with one row. The card of the folder says how large boards are and what a cell
    can be; training, evaluation and solving use this.

    Example: hrm-hf data grid mine.csv --out data/mine

    Returns:
        Number of boards by split.

    Raises:
        ValueError: for a bad row, column or share, with file and row.
        FileNotFoundError, FileExistsError: for a missing table, and for an output directory that is in use.
    """
    options = dict(locals())
    for name, value in (("height", height), ("width", width)):
        if value is not None and value < 1:
            raise ValueError(f"{name}={value} is not allowed; it must be at least 1.")
    shares = {name: _share(name, value) for name, value in (("validation", validation), ("test", test))}
    files = [
        source,
        *(value for value, share in zip((validation, test), shares.values(), strict=True) if share is None),
    ]
    recipe = recipe_text(_origin(files), _command(options))
    if not overwrite and (finished := finished_splits(output_dir, recipe)):
        return finished
    check_output_dir(output_dir, overwrite)

    tables = read_table(source, config)
    if "train" not in tables:
        raise ValueError(f"{source} has no split 'train', only {', '.join(tables)}; give the table of one of them.")
    # splits of the data set itself take precedence over shares
    tables = {name: tables[name] for name in ("train", "validation", "test") if name in tables}
    for name, value in (("validation", validation), ("test", test)):
        if shares[name] is None:
            tables[name] = next(iter(read_table(value, config).values()))
    report = _Report(on_error, [])
    boards = read_boards(tables, report, input_column, output_column, mask_column, cells, height, width)
    num_given = sum(len(part) + part.left_out for part in boards.values())
    boards = {name: _of_one_shape(part, pad, report, boards["train"]) for name, part in boards.items()}
    repeated = 0
    for name in boards:
        boards[name], number = _without_repeats(boards[name], report)
        repeated += number
    splits = _with_shares(boards, shares, seed)
    description = _describe(splits, pad, symmetries, kind)
    splits = {name: _with_known_symbols(name, part, description, report) for name, part in splits.items()}
    splits, removed = _without_leaks(splits, description)

    lines = {name: _lines(part, description) for name, part in splits.items()}
    shape = f"{description.height}x{description.width}"
    left_out = len(report.told)
    write_dataset_folder(
        output_dir,
        {name: pa.table(columns) for name, columns in lines.items()},
        _card(output_dir.name, description, recipe, lines, repeated, removed, left_out),
        metadata={
            "pretty_name": f"{output_dir.name}: grids of {shape}",
            "task_categories": ["other"],
            "tags": ["grid", "reasoning", "hrm"],
        }
        | description.as_metadata(),
        overwrite=overwrite,
        pictures=[
            samples_picture(description.processor(), lines["train"]["question"][:4], lines["train"]["answer"][:4])
        ],
    )
    _tell(output_dir, description, splits, num_given, repeated, removed, left_out)
    return {name: len(part) for name, part in splits.items()}


# --- options


def _share(name: str, value: str) -> float | None:
    """The share given by an option, or `None` if it names a table.

    Raises:
        ValueError: for a number that is not a share.
    """
    try:
        share = float(value)
    except ValueError:
        return None
    if not 0 <= share < 1 or (share == 0 and name == "test"):
        least = "above 0" if name == "test" else "at least 0"
        raise ValueError(f"--{name} {value} is not allowed; it must be {least} and below 1, or a table.")
    return share


def _origin(files: Sequence[str]) -> list[str]:
    """Lines of the card about the tables that the boards come from."""
    lines = ["Tables:"]
    for name in files:
        path = Path(name).expanduser()
        lines.append(f"- `{path.name}`, SHA-256 `{sha256(path)}`" if path.is_file() else f"- the data set `{name}`")
    return lines


def _command(options: dict) -> str:
    """The command that repeats a build, without folders of this machine."""

    def shown(value: object) -> str:
        path = Path(str(value)).expanduser()
        return path.name if path.is_file() else str(value)

    words = ["hrm-hf", "data", "grid", shown(options["source"]), "--out", options["output_dir"].name]
    defaults = inspect.signature(build_grid).parameters
    for name, value in options.items():
        if name in ("source", "output_dir", "overwrite") or value == defaults[name].default:
            continue
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [shown(value)])]
    return shlex.join(words)


# --- boards


def _of_one_shape(boards: Boards, pad: bool, report: _Report, train: Boards) -> Boards:
    """The boards with the shape of most training boards; all boards with `pad`."""
    if pad:
        return boards
    wanted = usual_shape(train.questions)
    kept = []
    for row, question in enumerate(boards.questions):
        shape = (len(question), len(question[0]))
        if shape == wanted:
            kept.append(row)
            continue
        report(
            boards.place(row),
            f"a board of {shape[0]}x{shape[1]}, expected boards of one shape, and most are {wanted[0]}x{wanted[1]} "
            "(--pad allows several shapes)",
        )
    return _some(boards, kept)


def _some(boards: Boards, kept: list[int]) -> Boards:
    if not kept:
        raise ValueError(f"{boards.name} has no good rows; check the table and the options.")
    return boards[kept]


def _without_repeats(boards: Boards, report: _Report) -> tuple[Boards, int]:
    """The boards without repeated inputs, and the number of repeats."""
    first: dict[tuple, int] = {}
    kept, repeated = [], 0
    for row in range(len(boards)):
        key = _key(boards.questions[row]), None if boards.masks is None else _key(boards.masks[row])
        earlier = first.setdefault(key, row)
        if earlier == row:
            kept.append(row)
        elif boards.answers[earlier] == boards.answers[row]:
            repeated += 1
        else:
            report(
                boards.place(row),
                f"the input of row {boards.numbers[earlier]} with another output, expected one output per input",
            )
    return boards[kept], repeated


def _key(board: Rows) -> tuple:
    return tuple(map(tuple, board))


def _with_shares(boards: dict[str, Boards], shares: dict[str, float | None], seed: int) -> dict[str, Boards]:
    """The splits: those with their own tables, and shares of the training table."""
    train = boards["train"]
    order = np.random.default_rng(seed).permutation(len(train))
    parts, start = {}, 0
    for name in ("test", "validation"):
        if name in boards:
            parts[name] = boards[name]
        elif shares[name]:
            number = max(1, round(shares[name] * len(train)))
            parts[name] = train[sorted(order[start : start + number].tolist())]
            start += number
    if start >= len(train):
        raise ValueError(
            f"{train.name} has {len(train)} different rows, and the other splits take {start} of them; give a table "
            "with more rows, or smaller shares."
        )
    parts["train"] = train[sorted(order[start:].tolist())]
    return {name: parts[name] for name in ("train", "validation", "test") if name in parts}


def _describe(splits: dict[str, Boards], pad: bool, symmetries: Symmetries, kind: str) -> GridDescription:
    """The description of the grids, from the training split; their shape from all splits."""
    train = splits["train"]
    symbols: dict[str, None] = {}
    for row in range(len(train)):
        for cell in (cell for part in (train.questions[row], train.answers[row]) for line in part for cell in line):
            symbols.setdefault(cell)
            if len(symbols) > MAX_SYMBOLS:
                raise ValueError(
                    f"{train.place(row)}: the cell {cell!r} is symbol number {len(symbols)}, expected at most "
                    f"{MAX_SYMBOLS} different symbols; say with --cells what a cell is, or use fewer symbols."
                )
    _check_words(train, symbols)
    shapes = [(len(board), len(board[0])) for part in splits.values() for board in part.questions]
    height, width = (max(sides) for sides in zip(*shapes, strict=True))
    masks = {_key(mask) for part in splits.values() for mask in part.masks or []}
    all_have_masks = all(part.masks is not None for part in splits.values())
    is_fixed = all_have_masks and len(masks) == 1 and len(set(shapes)) == 1
    answers = {
        cell
        for row in range(len(train))
        for number, line in enumerate(train.answers[row])
        for column, cell in enumerate(line)
        if train.masks is None or train.masks[row][number][column] == "1"
    }
    smaller = pad and len(set(shapes)) > 1
    if smaller and symmetries in ("dihedral", "both"):
        raise ValueError(
            f"--symmetries {symmetries} is for boards of one shape, and these have {len(set(shapes))}; leave it out."
        )
    ordered = sorted(symbols, key=_order)
    return GridDescription(
        height=height,
        width=width,
        symbols=ordered,
        answer_symbols=[symbol for symbol in ordered if symbol in answers],
        answer_mask="".join(cell for line in masks.pop() for cell in line) if is_fixed else None,
        smaller_boards=smaller,
        symmetries=symmetries,
        kind=kind,
    )


def _order(symbol: str) -> tuple:
    """Integers by value, then everything else."""
    try:
        return (0, int(symbol), symbol)
    except ValueError:
        return (1, 0, symbol)


def _check_words(boards: Boards, symbols: dict[str, None]):
    """Raise a `ValueError` for a symbol that cannot be written in a text."""
    try:
        HRMGridProcessor.for_grid(1, 1, list(symbols))
    except ValueError as error:
        raise ValueError(f"{boards.name}: {str(error).removeprefix('HRMGridProcessor: ')}") from error


def _with_known_symbols(name: str, boards: Boards, description: GridDescription, report: _Report) -> Boards:
    """The boards of a split without those that have a symbol unknown to the training split."""
    known, kept = set(description.symbols), []
    for row in range(len(boards)):
        cells = (cell for part in (boards.questions[row], boards.answers[row]) for line in part for cell in line)
        unknown = next((cell for cell in cells if cell not in known), None)
        if unknown is None:
            kept.append(row)
            continue
        report(
            boards.place(row),
            f"the symbol {unknown!r} in the {name} split is not in any training row, so a model cannot know it",
        )
    return _some(boards, kept)


def _without_leaks(splits: dict[str, Boards], description: GridDescription) -> tuple[dict[str, Boards], int]:
    """Remove, and count, the boards of a split whose input is also in a later split, up to the symmetries."""
    processor = description.processor()
    answer_tokens = np.array([1 + description.symbols.index(symbol) for symbol in description.answer_symbols])
    removed, later = 0, np.array([], dtype=np.uint64)
    clean = {}
    for name, boards in reversed(splits.items()):
        tokens = processor(boards.questions, return_tensors="np")["input_ids"]
        marks = fingerprint(tokens, description.height, description.width, description.symmetries, answer_tokens)
        leaks = np.isin(marks, later)
        if leaks.all():
            raise ValueError(
                f"All {len(boards)} inputs of the split {name!r} are also in a later split, up to the symmetries "
                f"{description.symmetries}; give splits with different inputs."
            )
        removed += int(leaks.sum())
        clean[name] = boards[np.flatnonzero(~leaks).tolist()]
        later = np.concatenate((later, marks))
    return {name: clean[name] for name in splits}, removed


def _lines(boards: Boards, description: GridDescription) -> dict[str, list[str]]:
    """The columns of a split, with boards as the processor writes them."""
    processor = description.processor()

    def texts(of: HRMGridProcessor, parts: list[Rows]) -> list[str]:
        return of.batch_decode(of(parts)["input_ids"])

    columns = {"question": texts(processor, boards.questions), "answer": texts(processor, boards.answers)}
    if boards.masks is not None:
        marks = HRMGridProcessor.for_grid(
            description.height, description.width, ["0", "1"], smaller_boards=description.smaller_boards
        )
        columns["mask"] = texts(marks, boards.masks)
    source = Path(boards.name.split(", split")[0]).name.split(".")[0]
    return columns | {"source": [source] * len(boards)}


# --- card and output


def _card(
    name: str,
    description: GridDescription,
    recipe: str,
    lines: dict[str, dict[str, list[str]]],
    repeated: int,
    removed: int,
    left_out: int,
) -> str:
    """Markdown of the card."""
    processor = description.processor()
    first = lines["train"]
    counted = first["mask"][0].count("1") if "mask" in first else processor.seq_len
    are_words = any(len(symbol) > 1 for symbol in description.symbols)
    text = [
        f"# {name}",
        "",
        f"Each row is an input `question` and its output `answer`, grids of {'at most ' * description.smaller_boards}"
        f"{description.height}x{description.width}.",
        f"`/` stands between rows; a cell is a {'word, with a space between two' if are_words else 'character'}.",
        *(["Only cells with `1` in `mask` are to be filled in; the others are unchanged."] * ("mask" in first)),
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        f'rows = load_dataset("{name}", split="train")',
        "```",
        "",
        recipe,
        "",
        "## Statistics",
        "",
        "| split | rows |",
        "| --- | --- |",
        *(f"| {split} | {len(columns['question']):,} |" for split, columns in lines.items()),
        "",
        f"{len(description.symbols)} symbols: `{' '.join(description.symbols)}`; "
        f"{len(description.answer_symbols)} in answers. Cells to be filled in in the first row: {counted}.",
        "",
        f"Symmetries, as declared by the author: {_SYMMETRIES[description.symmetries]}.",
        f"No two splits have the same input, up to these: {removed} rows of earlier splits were removed for that.",
        f"{repeated} repeated rows were left out.",
        *left_out_lines(left_out, "rows of the tables"),
        "",
        "The first training rows:",
        "",
        "```",
        *(
            f"{processor.pretty(question)}\n->\n{processor.pretty(answer)}\n"
            for question, answer in zip(first["question"][:2], first["answer"][:2], strict=True)
        ),
        "```",
    ]
    return "\n".join(text) + "\n"


def _tell(
    output_dir: Path,
    description: GridDescription,
    splits: dict[str, Boards],
    num_given: int,
    repeated: int,
    removed: int,
    left_out: int,
):
    """Print how the tables were read, so that mistakes are noticed."""
    shape = f"{description.height}x{description.width}"
    shown = " ".join(description.symbols[:40]) + (" ..." if len(description.symbols) > 40 else "")
    at_most = "at most " if description.smaller_boards else ""
    print(f"boards of {at_most}{shape}, {len(description.symbols)} symbols: {shown}")
    if description.height == 1 and description.width > 3 and not description.smaller_boards:
        print("boards of one row; if that is wrong, give --height or --width")
    train = splits["train"]
    processor = description.processor()
    for title, board in (("input", train.questions[0]), ("output", train.answers[0])):
        print(f"first {title}: {processor.decode(processor(board)['input_ids'][0])}")
    print(", ".join(f"{name}: {len(part):,}" for name, part in splits.items()))
    for number, reason in (
        (repeated, "repeated"),
        (removed, "the input of a later split"),
        (left_out, "bad"),
    ):
        if number:
            print(f"{number:,} of {num_given:,} rows left out: {reason}")
    print(f"written to {output_dir}")
