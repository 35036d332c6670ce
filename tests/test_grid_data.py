"""Grids of any kind: common forms of tables, the folders of the builder, and refused input."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import load_dataset

from hrm_hf.puzzles.grid.build import build_grid
from hrm_hf.puzzles.grid.description import GridDescription
from hrm_hf.puzzles.grid.questions import read_questions
from hrm_hf.puzzles.grid.symmetry import fingerprint, random_symmetries
from hrm_hf.puzzles.sets import kind_of_dataset, open_puzzles
from processing_hrm import HRMGridProcessor


def read_description(folder: str) -> GridDescription:
    """The card of a folder."""
    _, entry = kind_of_dataset(folder, "train")
    return GridDescription.of_entry(entry)


def sequences(number: int = 40, length: int = 4) -> list[tuple[str, str]]:
    """Different strings of digits, and their digits in order."""
    rows = [f"{7919 * place % 10**length:0{length}d}" for place in range(1, number + 1)]
    return [(row, "".join(sorted(row))) for row in rows]


@pytest.fixture
def write(tmp_path):
    """Write a CSV file of rows with a header; gives its path."""

    def to_file(rows, header=("input", "output"), name="mine.csv") -> Path:
        path = tmp_path / name
        lines = [",".join(f'"{cell}"' for cell in row) for row in (header, *rows)]
        path.write_text("\n".join(lines) + "\n")
        return path

    return to_file


@pytest.fixture
def built(tmp_path):
    """Build a data set from a file; gives its folder."""

    def build(source, **options) -> Path:
        build_grid(str(source), output_dir=tmp_path / "built", overwrite=True, **options)
        return tmp_path / "built"

    return build


# --- forms of a table


def test_a_table_becomes_a_folder_that_load_dataset_opens(write, built):
    folder = built(write(sequences()))
    splits = load_dataset(str(folder))
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 32, "validation": 4, "test": 4}
    assert sorted(row["question"] for rows in splits.values() for row in rows) == sorted(row for row, _ in sequences())
    for rows in splits.values():
        assert all(row["answer"] == "".join(sorted(row["question"])) for row in rows)


def test_the_card_says_what_training_needs_to_know(write, built):
    description = read_description(str(built(write(sequences()), symmetries="symbols")))
    assert (description.height, description.width, description.symmetries) == (1, 4, "symbols")
    assert description.symbols == list("0123456789")


BOARD = [["1", "2", "3"], ["2", "3", "1"]]


@pytest.mark.parametrize(
    "form",
    [
        "123/231",
        "123\n231",
        "1 2 3\n2 3 1",
        "1,2,3/2,3,1",
        "[[1, 2, 3], [2, 3, 1]]",
        [[1, 2, 3], [2, 3, 1]],
        ["123", "231"],
    ],
)
def test_a_board_is_read_in_every_form(form, tmp_path, built):
    other = json.loads(json.dumps(form).replace("1", "4"))
    path = tmp_path / "mine.jsonl"
    rows = [{"input": form, "output": form}, {"input": other, "output": other}, {"input": form, "output": form}]
    path.write_text("\n".join(map(json.dumps, rows)))
    more = json.loads(json.dumps(form).replace("1", "5").replace("2", "1"))
    folder = built(_with(path, {"input": more, "output": form}), validation="0", test="0.3", on_error="skip")
    processor = read_description(str(folder)).processor()
    assert (processor.height, processor.width) == (2, 3)
    assert processor.decode(processor(form)["input_ids"][0], "grid") == BOARD


def _with(path: Path, row: dict) -> Path:
    """A JSON Lines file with more rows, in which every symbol is frequent."""
    lines = path.read_text().splitlines()
    swapped = [json.dumps(row).replace(a, "_").replace(b, a).replace("_", b) for a in "123" for b in "45"]
    path.write_text("\n".join([*lines, *swapped, *(line.replace("4", "3") for line in lines)]))
    return path


def test_words_are_cells(write, built):
    colors = ["red", "green", "blue"]
    rows = [(f"{a} {b} {c}", f"{c} {b} {a}") for a in colors for b in colors for c in colors]
    processor = read_description(str(built(write(rows)))).processor()
    assert processor.symbols == sorted(colors)
    assert processor.decode(processor("red, green, blue")["input_ids"][0]) == "red green blue"


def test_spaces_are_cells_where_words_make_no_rectangle(write, built):
    rows = [(f"#{a} {b}/ {a}##", f"#{a}o{b}/o{a}##") for a in "ab" for b in "abcdefg"]
    processor = read_description(str(built(write(rows), validation="0"))).processor()
    assert " " in processor.symbols
    assert (processor.height, processor.width) == (2, 4)


def test_height_says_what_a_line_of_cells_does_not(write, built):
    rows = [(f"{n:04b}", f"{15 - n:04b}") for n in range(16)]
    description = read_description(str(built(write(rows), height=2)))
    assert (description.height, description.width) == (2, 2)


@pytest.mark.parametrize("name", ["mine.parquet", "mine.npz", "mine.json"])
def test_other_files_give_the_same_data_set(name, tmp_path, built):
    boards = np.random.default_rng(0).integers(0, 12, size=(30, 2, 3))
    path = tmp_path / name
    if name.endswith("npz"):
        np.savez(path, input=boards, output=boards[:, ::-1])
    else:
        columns = {"input": boards.tolist(), "output": boards[:, ::-1].tolist()}
        if name.endswith("parquet"):
            pq.write_table(pa.table(columns), path)
        else:
            path.write_text(json.dumps([{"input": a, "output": b} for a, b in zip(*columns.values(), strict=True)]))
    rows = load_dataset(str(built(path)), split="train")
    assert len(rows) == 24
    assert all(row["answer"].split("/") == row["question"].split("/")[::-1] for row in rows)


def test_splits_may_have_tables_of_their_own(write, built):
    rows = sequences(60)
    folder = built(
        write(rows[:40]),
        validation=str(write(rows[40:50], name="validation.csv")),
        test=str(write(rows[50:], name="test.csv")),
    )
    assert {name: len(part) for name, part in load_dataset(str(folder)).items()} == {
        "train": 40,
        "validation": 10,
        "test": 10,
    }


def test_boards_of_several_shapes_are_padded_where_that_is_wanted(write, built):
    rows = sequences(20, 3) + sequences(20, 4)
    examples = open_puzzles(str(built(write(rows), pad=True)), "train").examples()
    assert examples["input_ids"].shape == (32, 4)
    is_short = examples["input_ids"][:, 3] == 0
    assert 0 < is_short.sum() < 32
    assert (examples["labels"][is_short, 3] == -100).all()
    assert (examples["labels"][~is_short] != -100).all()


def test_the_same_command_has_nothing_to_do(write, tmp_path, capsys):
    path = write(sequences())
    for _ in range(2):
        build_grid(str(path), output_dir=tmp_path / "twice")
    assert "nothing to do" in capsys.readouterr().out


# --- masks


def masked(number: int = 20) -> list[tuple[str, str, str]]:
    """A number of ones to write, and the cells for them: the first cell is a clue."""
    rows = []
    for place in range(number):
        bits = f"{place:06b}"
        rows.append((f"{bits.count('1')}{bits}", "?" + bits[::-1], "0" + "1" * 6))
    return rows


def test_cells_outside_the_mask_have_no_label_and_stand_in_the_answer_as_given(write, built):
    folder = str(built(write(masked(), header=("input", "output", "mask"))))
    puzzles = open_puzzles(folder, "train")
    assert puzzles.processor.answer_mask == "0111111"
    assert "?" not in puzzles.processor.symbols
    examples = puzzles.examples()
    assert (examples["labels"][:, 0] == -100).all()
    assert (examples["labels"][:, 1:] != -100).all()
    assert all(row["answer"][0] == row["question"][0] for row in puzzles.rows)
    predictions = torch.ones_like(examples["input_ids"])
    kept = puzzles.processor.keep_clues(examples["input_ids"], predictions)
    assert torch.equal(kept[:, 0], examples["input_ids"][:, 0])
    assert (kept[:, 1:] == 1).all()


def test_masks_may_differ_from_row_to_row(write, built):
    rows = [(row, answer, "0110" if place % 2 else "1001") for place, (row, answer) in enumerate(sequences())]
    puzzles = open_puzzles(str(built(write(rows, header=("input", "output", "mask")))), "train")
    assert puzzles.processor.answer_mask is None
    is_label = puzzles.examples()["labels"] != -100
    assert {tuple(row) for row in is_label.tolist()} == {(False, True, True, False), (True, False, False, True)}


# --- symmetries


@pytest.mark.parametrize("symmetries", ["none", "dihedral", "symbols", "both"])
def test_symmetries_are_undone_and_leave_the_fingerprint(symmetries):
    generator = torch.Generator().manual_seed(0)
    boards = torch.randint(1, 6, (50, 6), generator=generator)
    answer_tokens = torch.tensor([2, 3, 5])
    symmetry = random_symmetries(torch.arange(50), 0, 2, 3, 6, symmetries, answer_tokens)
    changed = symmetry.apply(boards)
    assert torch.equal(symmetry.undo(changed), boards)
    assert (changed != boards).any() == (symmetries != "none")
    arguments = (2, 3, symmetries, answer_tokens.numpy())
    marks = fingerprint(boards.numpy(), *arguments)
    assert (fingerprint(changed.numpy(), *arguments) == marks).all()
    assert len(np.unique(marks)) > 40


def test_symbols_that_no_answer_has_keep_their_role():
    boards = torch.tensor([[1, 2, 3, 4]]).repeat(64, 1)
    changed = random_symmetries(torch.arange(64), 0, 1, 4, 5, "symbols", torch.tensor([2, 3, 4])).apply(boards)
    assert (changed[:, 0] == 1).all()
    assert len(changed.unique(dim=0)) == 6


def test_labels_move_with_their_cells(write, built):
    puzzles = open_puzzles(str(built(write(sequences()), symmetries="dihedral")), "train")
    batch = puzzles.draws(32, seed=0).__getitems__(list(range(32)))
    as_given = [puzzles.processor.batch_decode(batch[name]) for name in ("input_ids", "labels")]
    orders = {answer == "".join(sorted(question)) for question, answer in zip(*as_given, strict=True)}
    turned = all(
        "".join(sorted(question)) in (answer, answer[::-1]) for question, answer in zip(*as_given, strict=True)
    )
    assert orders == {True, False}
    assert turned


def test_no_copy_of_an_input_is_in_two_splits(write, built):
    rows = [(row, row) for row in ("0012", "2100", "0021", "1200", "1022", "2201", "0122", "2210", "0011", "1100")]
    folder = built(write(rows), symmetries="dihedral", validation="0", test="0.4", seed=1)
    seen = [{min(row, row[::-1]) for row in rows["question"]} for rows in load_dataset(str(folder)).values()]
    assert seen[0].isdisjoint(seen[1])


# --- refused input


def with_row(*row: str, at: int = 5, rows: list | None = None) -> list:
    rows = list(sequences() if rows is None else rows)
    return [*rows[:at], row, *rows[at:]]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (
            with_row("1234", "123"),
            {},
            r"mine\.csv, row 6: the column 'output' has a board of 1x3 and the input one of",
        ),
        (with_row("12345", "12345"), {}, r"row 6: a board of 1x5, expected boards of one shape, and most are 1x4"),
        (with_row("1234", ""), {}, r"row 6: the column 'output' is empty, expected a board"),
        (
            [(f"{a}{b}/{a}{a}", f"{b}{a}/{a}{a}") for a in "123456" for b in "123456"][:20] + [("12/3", "12/3")],
            {},
            r"row 21: the column 'input' has rows of \[2, 1\] cells, expected rows of the same length",
        ),
        (
            [(f"{a},{b},{a}", f"{b},{a},{a}") for a in "12" for b in "345"] + [("1,,3", "1,2,3")],
            {},
            r"row 7: the column 'input' has an empty cell in row 1, column 2 of its board",
        ),
        (
            with_row(sequences()[2][0], "0000"),
            {},
            r"row 6: the input of row 3 with another output, expected one output per input",
        ),
        (
            [(f"{n}, {n + 1}", f"{n + 1}, {n}") for n in range(300)],
            {},
            r"row \d+: the cell '\d+' is symbol number 256, expected at most 255 different symbols",
        ),
        (sequences(3), {"test": "0.9"}, "the other splits take 4 of them; give a table with more rows"),
        (sequences(), {"test": "1.5"}, "--test 1.5 is not allowed; it must be above 0 and below 1, or a table"),
        (sequences(), {"input_column": "in"}, "has no column 'in', only input, output; give one of these as --input"),
        (sequences(), {"height": 3}, "row 1: the column 'input' has 4 cells, expected 3 x columns"),
        ([], {}, "has no rows|is not a CSV file"),
    ],
)
def test_a_bad_table_is_one_sentence_with_file_and_row(rows, options, message, write, built):
    with pytest.raises(ValueError, match=message) as error:
        built(write(rows), **options)
    assert "\n" not in str(error.value)


def test_missing_columns_are_named(write, built):
    with pytest.raises(ValueError, match="has no column input and output, only a, b; name them with --input-column"):
        built(write(sequences(), header=("a", "b")))


def test_a_missing_table_is_named(built):
    with pytest.raises(FileNotFoundError, match=r"There is no file no\.csv; give an existing file"):
        built("no.csv")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("0000", "row 3: the mask is all 0, expected a 1 for at least one cell"),
        ("0x10", "row 3: the mask has 'x', expected 1 for a cell to be filled in"),
        ("011", "row 3: the column 'mask' has a board of 1x3 and the input one of 1x4"),
    ],
)
def test_a_mask_that_cannot_be_is_refused(mask, message, write, built):
    rows = [(row, answer, "0110") for row, answer in sequences()]
    rows[2] = (*rows[2][:2], mask)
    with pytest.raises(ValueError, match=message):
        built(write(rows, header=("input", "output", "mask")))


def test_a_symbol_that_only_the_test_split_has_is_refused_or_left_out(write, built):
    test = write(with_row("12x4", "124x", rows=sequences(60)[50:]), name="test.csv")
    train = write(sequences(40))
    with pytest.raises(ValueError, match=r"test\.csv, row 6: the symbol 'x' in the test split is not in any"):
        built(train, test=str(test))
    rows = load_dataset(str(built(train, test=str(test), on_error="skip")), split="test")
    assert len(rows) == 10


def test_bad_rows_are_left_out_and_counted(write, built, capsys):
    folder = built(write(with_row("1234", "123")), on_error="skip")
    said = capsys.readouterr().out
    assert "row 6: left out" in said
    assert "1 of 41 rows left out: bad" in said
    assert "1 bad rows of the tables were left out" in (folder / "README.md").read_text()


def test_a_folder_whose_card_was_changed_is_refused(write, built):
    folder = built(write(sequences()))
    card = folder / "README.md"
    card.write_text(card.read_text().replace("  width: 4", "  width: four"))
    with pytest.raises(ValueError, match="The card of .* has an invalid entry about its grids.*width='four'"):
        open_puzzles(str(folder), "train")


# --- questions to a model


def test_questions_are_lines_or_boards_with_blank_lines_between_them():
    sequence, board = HRMGridProcessor.for_grid(1, 3, list("012")), HRMGridProcessor.for_grid(2, 2, list("012"))
    assert [part.board for part in read_questions("012\n210\n", "", sequence)] == ["012", "210"]
    assert [part.board for part in read_questions("01\n20\n\n22\n11\n", "", board)] == ["01\n20", "22\n11"]
    assert [part.board for part in read_questions("01/20\n22/11", "", board)] == ["01/20", "22/11"]
    rows = '{"input": [[0, 1], [2, 0]]}\n{"question": "22/11"}\n'
    read = [part.board for part in read_questions(rows, "", board)]
    assert board.batch_decode(board(read)["input_ids"]) == ["01/20", "22/11"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "there is no question; give one"), ('{"a": 1}', "line 1 has no input, question, puzzle")],
)
def test_a_text_without_a_question_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read_questions(text, "mine.txt", HRMGridProcessor.for_grid(1, 3, list("012")))
