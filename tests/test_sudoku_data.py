"""Sudoku data: the generator, the solver, the symmetries, and the folders that the builder writes."""

import bz2
import gzip
import json
import lzma
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import load_dataset

from hrm_hf.data.folder import size_category
from hrm_hf.puzzles.files import Columns
from hrm_hf.puzzles.rows import load_rows
from hrm_hf.puzzles.sudoku.build import build_sudoku, read_sudoku_csv
from hrm_hf.puzzles.sudoku.filling import fill_in
from hrm_hf.puzzles.sudoku.generator import generate
from hrm_hf.puzzles.sudoku.grids import solution_fingerprint
from hrm_hf.puzzles.sudoku.hard import generate_hard
from hrm_hf.puzzles.sudoku.rules import BOX_SHAPES, conflicts, format_boards, units_of
from hrm_hf.puzzles.sudoku.solver import is_needed, solve
from hrm_hf.puzzles.sudoku.symmetry import fingerprint, random_symmetries
from hrm_hf.utils.parallel import in_order


ROOT = Path(__file__).parent.parent
# the example of Wikipedia's article on Sudoku; solved by singles alone
EASY = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
EASY_ANSWER = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"


def boards(*lines: str) -> np.ndarray:
    return np.array([[0 if symbol == "." else int(symbol) for symbol in line] for line in lines], dtype=np.uint8)


# --- rules and solver


def test_conflicts_are_found_in_rows_columns_and_boxes():
    row, column, box = "11..............", "1...1...........", "1....1.........."
    fine = "1234341221434321"
    assert conflicts(boards(row, column, box, fine), 4).tolist() == [True, True, True, False]


def test_boxes_of_size_six_are_two_rows_by_three_columns():
    assert units_of(6)[2].reshape(6, 6)[:2].tolist() == [[0, 0, 0, 1, 1, 1]] * 2


def test_solver_finds_the_solution_and_counts():
    solutions, counts, ratings = solve(boards(EASY), 9)
    assert format_boards(solutions) == [EASY_ANSWER]
    assert (counts.tolist(), ratings.tolist()) == ([1], [0])


def test_solver_counts_several_and_no_solutions():
    contradiction = "11" + "." * 14
    # no digit twice, and yet the last cell of the first row has no digit left
    dead_end = "123....4........"
    _, counts, _ = solve(boards("." * 16, contradiction, dead_end), 4, limit=10)
    assert counts.tolist() == [10, 0, 0]
    _, counts, _ = solve(boards("." * 16), 4, limit=1000)
    assert counts.tolist() == [288]  # all solved boards of size 4


# --- generator


def test_generator_finds_the_36_minimal_puzzles_of_size_4():
    # their number up to symmetry is known: 13 with 4 clues, 22 with 5, 1 with 6
    questions, _, _ = generate(36, size=4, progress=False)
    assert np.bincount((questions > 0).sum(1)).tolist() == [0, 0, 0, 0, 13, 22, 1]


@pytest.mark.parametrize(("size", "clues"), [(4, 7), (6, 14), (6, None), (9, 30), (9, None)])
def test_generated_puzzles_have_one_solution_and_the_wanted_clues(size, clues):
    num = 30
    questions, answers, ratings = generate(num, size, clues, seed=3, progress=False)
    solutions, counts, again = solve(questions, size)
    assert (counts == 1).all()
    assert np.array_equal(solutions, answers)
    assert np.array_equal(ratings, again)
    assert not conflicts(answers, size).any()
    given = (questions > 0).sum(1)
    assert (given == clues).all() if clues else (given < size * size / 2).all()
    assert len(np.unique(fingerprint(questions, size))) == num


def test_generator_is_a_function_of_its_seed():
    first, again, other = (generate(20, 6, 14, seed=seed, progress=False)[0] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_hard_puzzles_are_hard_minimal_and_apart(tmp_path):
    build_sudoku(tmp_path / "hard", hard=True, num_train=20, num_validation=5, num_test=10)
    splits = load_dataset(str(tmp_path / "hard"))
    assert {name: len(split) for name, split in splits.items()} == {"train": 20, "validation": 5, "test": 10}
    parts = [(boards(*split["question"]), boards(*split["answer"])) for split in splits.values()]
    everything = np.concatenate([questions for questions, _ in parts])
    solutions, counts, ratings = solve(everything, 9)
    assert (counts == 1).all() and ratings.min() >= 15 and ratings.mean() >= 20
    assert np.array_equal(solutions, np.concatenate([answers for _, answers in parts]))
    units = units_of(9)
    for puzzle in everything.astype(np.int64):
        assert all(is_needed(puzzle, units, 9, cell) for cell in np.flatnonzero(puzzle))
    assert len(set(fingerprint(everything, 9).tolist())) == 35
    grids = [set(solution_fingerprint(answers, 1).tolist()) for _, answers in parts]
    assert not (grids[0] & grids[1] or grids[0] & grids[2] or grids[1] & grids[2])
    with pytest.raises(ValueError, match="size=4"):
        build_sudoku(tmp_path / "three", hard=True, size=4)


def test_hard_puzzles_are_a_function_of_their_seed():
    one, two = (generate_hard(8, seed=1, num_threads=threads, progress=False) for threads in (1, 2))
    assert all(np.array_equal(*parts) for parts in zip(one, two, strict=True))
    assert not np.array_equal(one[0], generate_hard(8, seed=2, progress=False)[0])


def test_a_clue_is_needed_if_the_puzzle_without_it_has_other_solutions():
    for size in (4, 9):
        board = generate(1, size, clues=size * size // 2, seed=1)[0][0].astype(np.int64)
        clues, needed = np.flatnonzero(board), []
        for clue in clues:
            without = board.copy()
            without[clue] = 0
            needed.append(solve(without[None], size)[1][0] > 1)
        assert [is_needed(board, units_of(size), size, clue) for clue in clues] == needed
        assert any(needed) and not all(needed)


def test_generator_keeps_to_the_wanted_rating():
    _, _, ratings = generate(10, 9, min_rating=2, max_rating=6, progress=False)
    assert ratings.min() >= 2
    assert ratings.max() <= 6


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"num": 0}, "num=0 is not allowed"),
        ({"num": 1, "size": 5}, "size=5 is not supported; it must be one of 4, 6, 9, 16"),
        ({"num": 1, "clues": 16}, "clues=16 is not allowed for size 9; it must be from 17"),
        ({"num": 1, "clues": 81}, "clues=81 is not allowed"),
        ({"num": 1, "min_rating": 3, "max_rating": 2}, "min_rating=3 is above max_rating=2"),
        ({"num": 14, "size": 4, "clues": 4}, "Only 13 puzzles of size 4"),
    ],
)
def test_impossible_wishes_are_refused(wish, message):
    with pytest.raises(ValueError, match=message):
        generate(**wish, progress=False)


# --- symmetries


@pytest.mark.parametrize("size", BOX_SHAPES)
def test_symmetries_keep_the_rules_and_can_be_undone(size):
    answers = generate(4, size, size * size - 4, progress=False)[1]
    answers = torch.tensor(answers.repeat(25, axis=0)).long()
    symmetry = random_symmetries(torch.arange(100), seed=1, size=size)
    changed = symmetry.apply(answers)
    assert not conflicts(changed.numpy(), size).any()
    assert len(changed.unique(dim=0)) > 60  # size 4 has no more than 288 solved boards
    assert torch.equal(symmetry.undo(changed), answers)


def test_a_symmetry_depends_on_its_draw_alone():
    together = random_symmetries(torch.arange(50, 60), seed=1, size=9)
    alone = random_symmetries(torch.tensor([57]), seed=1, size=9)
    assert torch.equal(together.cells[7:8], alone.cells)
    assert torch.equal(together.digits[7:8], alone.digits)


def test_symmetries_are_uniform():
    symmetry = random_symmetries(torch.arange(24_000), seed=0, size=4)
    # all 4! relabellings, each 1000 times up to 5 standard deviations; all 128 arrangements of the cells
    _, counts = symmetry.digits.unique(dim=0, return_counts=True)
    assert len(counts) == 24
    assert (counts - 1000).abs().max() < 5 * 1000**0.5
    _, counts = symmetry.cells.unique(dim=0, return_counts=True)
    assert len(counts) == 128
    assert (counts - 187.5).abs().max() < 5 * 187.5**0.5


@pytest.mark.parametrize(("size", "clues"), [(4, 6), (6, 12), (9, 28)])
def test_fingerprint_is_kept_by_symmetries_and_tells_puzzles_apart(size, clues):
    questions = generate(50, size, clues, progress=False)[0]
    symmetry = random_symmetries(torch.arange(50), seed=5, size=size)
    changed = symmetry.apply(torch.tensor(questions).long()).numpy().astype(np.uint8)
    assert np.array_equal(fingerprint(questions, size), fingerprint(changed, size))
    # one clue less is another puzzle
    fewer = questions.copy()
    fewer[np.arange(50), (questions > 0).argmax(1)] = 0
    assert not np.isin(fingerprint(fewer, size), fingerprint(questions, size)).any()


# --- cells filled in


def filled_in(number: int, share: float, seed: int = 0, first: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    puzzles = torch.tensor(boards(EASY)).long().repeat(number, 1)
    solutions = torch.tensor(boards(EASY_ANSWER)).long().repeat(number, 1)
    draws = torch.arange(first, first + number)
    return puzzles, fill_in(draws, puzzles, solutions, seed, share, blank=0)


def test_filled_cells_are_those_of_the_solution_and_clues_stay():
    puzzles, filled = filled_in(500, share=1.0)
    solution = torch.tensor(boards(EASY_ANSWER)).long()
    assert ((filled == solution) | (filled == 0)).all()
    assert (filled[puzzles > 0] == puzzles[puzzles > 0]).all()
    # each cell is as often blank as any other
    often_blank = (filled == 0).float().mean(0)[puzzles[0] == 0]
    assert 0.4 < often_blank.min() < often_blank.max() < 0.6


def test_numbers_of_filled_cells_are_even_from_the_clues_to_all():
    puzzles, filled = filled_in(5200, share=1.0)
    clues = int((puzzles[0] > 0).sum())
    counts = (filled > 0).sum(1).bincount(minlength=82)
    assert counts[:clues].sum() == 0
    assert len(counts) == 82
    # 100 of each of 52 numbers, up to five standard deviations
    assert (counts[clues:] - 100).abs().max() < 50


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_puzzles_is_filled_in(share):
    puzzles, filled = filled_in(3000, share)
    # of 52 numbers of further cells one is none
    assert abs((filled != puzzles).any(1).float().mean() - share * 51 / 52) < 0.05


def test_what_is_filled_in_depends_on_seed_and_draw_alone():
    _, together = filled_in(20, share=0.7)
    _, alone = filled_in(1, share=0.7, first=13)
    assert torch.equal(together[13:14], alone)
    assert not torch.equal(together, filled_in(20, share=0.7, seed=1)[1])


# --- folders


def test_folder_opens_with_load_dataset(tmp_path):
    counts = build_sudoku(tmp_path / "s6", size=6, clues=16, num_train=40, num_validation=5, num_test=10, seed=2)
    assert counts == {"train": 40, "validation": 5, "test": 10}
    splits = load_dataset(str(tmp_path / "s6"))
    assert {name: len(rows) for name, rows in splits.items()} == counts
    row = splits["train"][0]
    assert set(row) == {"question", "answer", "rating", "source", "clues"}
    assert row["clues"] == 16 == 36 - row["question"].count(".")
    assert row["source"] == "generated-6x6"
    card = (tmp_path / "s6/README.md").read_text()
    assert "build_sudoku.py s6 --size 6 --clues 16 --num-train 40 --num-validation 5 --num-test 10 --seed 2\n" in card
    assert "| train | 40 | 16.0 (16 to 16)" in card
    assert [row["question"] for row in load_rows(str(tmp_path / "s6"), "test", 3)] == splits["test"]["question"][:3]


def test_existing_folders_are_not_replaced_unasked(tmp_path):
    options = {"size": 4, "clues": 8, "num_train": 5, "num_test": 5}
    counts = build_sudoku(tmp_path / "s4", **options)
    assert build_sudoku(tmp_path / "s4", **options) == counts  # the same command: there is nothing to do
    with pytest.raises(FileExistsError, match="is already a data set.*--overwrite"):
        build_sudoku(tmp_path / "s4", **(options | {"seed": 1}))
    assert build_sudoku(tmp_path / "s4", **(options | {"num_train": 6}), overwrite=True)["train"] == 6
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="is not a data set folder"):
        build_sudoku(tmp_path / "mine", **options, overwrite=True)
    assert (tmp_path / "mine/thesis.txt").is_file()


@pytest.fixture
def csv_file(tmp_path):
    """Makes a CSV file of the original's form from rows; gzipped if its name says so."""

    def make(name: str, *rows: tuple, header: str = "source,question,answer,rating") -> Path:
        text = "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"
        data = text.encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return tmp_path / name

    return make


def puzzle_rows(num: int, seed: int) -> list[tuple]:
    questions, answers, ratings = generate(num, 9, 40, seed=seed, progress=False)
    return [
        ("test", question, answer, rating)
        for question, answer, rating in zip(format_boards(questions), format_boards(answers), ratings, strict=True)
    ]


def test_csv_files_become_a_folder_without_leaks(tmp_path, csv_file):
    train, test = puzzle_rows(8, seed=0), puzzle_rows(4, seed=1)
    # a relabelled, transposed and permuted copy of a test puzzle among the training puzzles
    symmetry = random_symmetries(torch.tensor([3]), seed=9, size=9)
    leak = [
        format_boards(symmetry.apply(torch.tensor(boards(line)).long()).numpy().astype(np.uint8))[0]
        for line in test[2][1:3]
    ]
    train.insert(4, ("leak", *leak, 0))
    counts = build_sudoku(
        tmp_path / "out",
        source="csv",
        train_csv=csv_file("train.csv.gz", *train),
        test_csv=csv_file("test.csv", *test),
    )
    assert counts == {"train": 8, "test": 4}
    splits = load_dataset(str(tmp_path / "out"))
    assert splits["train"]["question"][:] == [row[1] for row in train if row[0] != "leak"]
    assert splits["test"]["answer"][:] == [row[2] for row in test]
    assert "1 puzzles of earlier splits were" in (tmp_path / "out/README.md").read_text()


def test_blank_cells_may_be_dots_zeros_or_underscores(csv_file):
    rows = [("a", EASY.replace(".", blank), EASY_ANSWER, 0) for blank in ".0_"]
    puzzles = read_sudoku_csv(csv_file("p.csv", *rows))
    assert format_boards(puzzles.questions) == [EASY] * 3


@pytest.mark.parametrize(
    ("question", "answer", "message"),
    [
        (EASY[:-1], EASY_ANSWER, "line 3: a board of 80 cells, expected 81"),
        (EASY.replace("5", "x", 1), EASY_ANSWER, "line 3: the character 'x', expected 1 to 9"),
        (EASY, EASY_ANSWER[:-1] + ".", "line 3: an answer with blank cells"),
        (EASY, EASY_ANSWER.translate(str.maketrans("12", "21")), "line 3: an answer that changes a clue"),
        ("." * 81, "1" * 81, "line 3: an answer with a digit twice"),
        ("." * 81, EASY_ANSWER, "line 3: a puzzle with more than one solution"),
    ],
)
def test_bad_rows_are_named_or_left_out(csv_file, capsys, question, answer, message):
    file = csv_file("p.csv", ("a", EASY, EASY_ANSWER, 0), ("b", question, answer, 0))
    with pytest.raises(ValueError, match=f"p.csv, {message}.*; 1 of 2 rows are bad: .*--on-error skip"):
        read_sudoku_csv(file)
    puzzles = read_sudoku_csv(file, on_error="skip")
    assert (len(puzzles), puzzles.left_out) == (1, 1)
    assert "left out 1 of 2 rows; the first is line 3: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (("b", EASY, EASY_ANSWER), "line 3: a row of 3 columns, expected 4"),
        (("b", EASY, EASY_ANSWER, 0, "more"), "line 3: a row of 5 columns, expected 4"),
        (("b", EASY, EASY_ANSWER, "hard"), "line 3: the rating 'hard', expected a number"),
        (("b", EASY, EASY_ANSWER, ""), "line 3: the rating '', expected a number"),
    ],
)
def test_rows_that_are_no_puzzle_at_all_are_named_or_left_out(csv_file, capsys, bad, message):
    good = ("a", EASY, EASY_ANSWER, 7)
    file = csv_file("p.csv", good, bad, ("c", EASY[1:], EASY_ANSWER, 0), good)
    with pytest.raises(ValueError, match=f"p.csv, {message}; 1 of 4 rows are bad: .*--on-error skip"):
        read_sudoku_csv(file)
    puzzles = read_sudoku_csv(file, on_error="skip")
    assert (puzzles.ratings.tolist(), puzzles.left_out) == ([7, 7], 2)
    # the row that is left out still counts as a line
    assert "left out 1 of 3 rows; the first is line 4: a board of 80 cells" in capsys.readouterr().out


def test_files_without_a_good_row_are_refused(csv_file):
    for row in (("b", EASY[1:], EASY_ANSWER, 0), ("b", EASY, EASY_ANSWER, "hard")):
        with pytest.raises(ValueError, match="p.csv has no good rows; the first bad one is line 2: "):
            read_sudoku_csv(csv_file("p.csv", row), on_error="skip")


def test_the_card_counts_rows_left_out(tmp_path, csv_file):
    rows = puzzle_rows(4, seed=0)
    files = {
        "train_csv": csv_file("train.csv", ("bad", EASY, EASY, 0), *rows[:2], ("bad",)),
        "test_csv": csv_file("test.csv", *rows[2:], ("bad", EASY, EASY_ANSWER, "hard")),
    }
    assert build_sudoku(tmp_path / "out", source="csv", on_error="skip", **files) == {"train": 2, "test": 2}
    card = (tmp_path / "out/README.md").read_text()
    assert "3 bad rows of the files were left out." in card
    assert "build_sudoku.py out --source csv --train-csv train.csv --test-csv test.csv --on-error skip\n" in card
    with pytest.raises(ValueError, match="on_error=skip is for the source csv and hub, not for generate"):
        build_sudoku(tmp_path / "out", on_error="skip")


def test_bad_files_are_refused(csv_file):
    with pytest.raises(FileNotFoundError, match="no CSV file nowhere.csv"):
        read_sudoku_csv(Path("nowhere.csv"))
    with pytest.raises(ValueError, match="has no column answer, only source.*--answer-column"):
        read_sudoku_csv(csv_file("a.csv", ("a", EASY), header="source,question"))
    with pytest.raises(ValueError, match="is not a CSV file of puzzles"):
        read_sudoku_csv(csv_file("b.csv", header=""))
    with pytest.raises(ValueError, match="has 0 puzzles with a rating from 5"):
        read_sudoku_csv(csv_file("c.csv", ("a", EASY, EASY_ANSWER, 0)), min_rating=5)
    with pytest.raises(ValueError, match="has 1 puzzles.*2 were asked for"):
        read_sudoku_csv(csv_file("d.csv", ("a", EASY, EASY_ANSWER, 0)), num=2)


def test_columns_of_others_are_known_by_their_names(csv_file):
    for header in ("quizzes,solutions", "puzzle,solution", "question,answer"):
        puzzles = read_sudoku_csv(csv_file("sudoku.csv", (EASY.replace(".", "0"), EASY_ANSWER), header=header))
        assert format_boards(puzzles.questions) == [EASY] and puzzles.sources.tolist() == ["sudoku"]
        # a file without ratings is rated
        assert puzzles.ratings.tolist() == solve(boards(EASY), 9)[2].tolist()
    file = csv_file("p.csv", (1, EASY, EASY_ANSWER, 7), header="id,start,end,hardness")
    with pytest.raises(ValueError, match="no column question and answer, only id, start.*--question-column"):
        read_sudoku_csv(file)
    puzzles = read_sudoku_csv(file, columns=Columns("start", "end", "hardness"))
    assert format_boards(puzzles.answers) == [EASY_ANSWER] and puzzles.ratings.tolist() == [7]
    with pytest.raises(ValueError, match="has no column 'stop', only id.*--answer-column"):
        read_sudoku_csv(file, columns=Columns("start", "stop"))
    with pytest.raises(ValueError, match="has no ratings to choose puzzles by"):
        read_sudoku_csv(csv_file("q.csv", (EASY, EASY_ANSWER), header="puzzle,solution"), min_rating=1)


def test_ratings_may_have_decimals(tmp_path, csv_file):
    rows = [(name, question, answer, 2.5) for name, question, answer, _ in puzzle_rows(4, seed=0)]
    whole = [(name, question, answer, 3) for name, question, answer, _ in puzzle_rows(2, seed=1)]
    files = {"train_csv": csv_file("train.csv", *rows), "test_csv": csv_file("test.csv", *whole)}
    build_sudoku(tmp_path / "out", source="csv", **files)
    splits = load_dataset(str(tmp_path / "out"))
    assert (splits["train"]["rating"][:], splits["test"]["rating"][:]) == ([2.5] * 4, [3.0] * 2)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("p.csv", lambda text: text.encode()),
        ("p.csv.gz", lambda text: gzip.compress(text.encode())),
        ("p.csv.bz2", lambda text: bz2.compress(text.encode())),
        ("p.csv.xz", lambda text: lzma.compress(text.encode())),
        ("p.csv.zst", lambda text: pa.compress(text.encode(), "zstd", asbytes=True)),
        ("p.tsv", lambda text: text.replace(",", "\t").encode()),
        ("p.csv", lambda text: text.replace(",", ";").encode()),
        ("p.csv", lambda text: text.encode("utf-16")),
    ],
    ids=["plain", "gz", "bz2", "xz", "zst", "tabs", "semicolons", "UTF-16"],
)
def test_files_of_every_kind(tmp_path, name, write, mark):
    data = write(f"question,answer,rating\r\n{EASY},{EASY_ANSWER},1\r\n")
    is_plain = name in ("p.csv", "p.tsv") and data[:1] == b"q"
    (tmp_path / name).write_bytes((mark if is_plain else b"") + data)
    puzzles = read_sudoku_csv(tmp_path / name)
    assert (format_boards(puzzles.questions), puzzles.ratings.tolist()) == ([EASY], [1])


def test_parquet_and_json_are_read_like_csv(tmp_path):
    rows = [{"puzzle": EASY, "solution": EASY_ANSWER, "difficulty": 2.5}] * 2
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    (tmp_path / "p.json").write_text(json.dumps(rows))
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for ending in ("parquet", "json", "jsonl"):
        puzzles = read_sudoku_csv(tmp_path / f"p.{ending}")
        assert format_boards(puzzles.answers) == [EASY_ANSWER] * 2 and puzzles.ratings.tolist() == [2.5] * 2
    for name, kind in (("b.parquet", "Parquet"), ("b.json", "JSON"), ("b.csv.zst", "CSV"), ("b.csv.gz", "CSV")):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(ValueError, match=f"{name} is not a {kind} file of puzzles"):
            read_sudoku_csv(tmp_path / name)


def test_one_file_is_split_by_a_share(tmp_path, csv_file):
    rows = puzzle_rows(20, seed=0)
    options = {"source": "csv", "train_csv": csv_file("all.csv", *rows), "test_share": 0.25}
    assert build_sudoku(tmp_path / "out", **options, num_validation=3) == {"train": 12, "validation": 3, "test": 5}
    splits = load_dataset(str(tmp_path / "out"))
    assert sorted(line for part in splits.values() for line in part["question"][:]) == sorted(row[1] for row in rows)
    assert "--test-share 0.25" in (tmp_path / "out/README.md").read_text()
    assert build_sudoku(tmp_path / "few", **options, num_train=4, num_test=2) == {"train": 4, "test": 2}
    for wish, message in (
        ({"test_share": 1.0}, "test_share=1.0 is not allowed"),
        ({"test_csv": options["train_csv"]}, "splits one file"),
        ({"num_test": 6}, "leaves 5 of the 20 puzzles .* test split, but 6 were asked for"),
        ({"source": "generate", "train_csv": None}, "is for the source csv"),
    ):
        with pytest.raises(ValueError, match=message):
            build_sudoku(tmp_path / "none", **(options | wish))


@pytest.mark.parametrize("digits", ["0123456789ABCDEF", "ABCDEFGHIJKLMNOP"])
def test_the_notation_of_large_sudoku_is_told_by_the_answers(csv_file, digits):
    questions, answers, _ = generate(2, 16, 180, seed=0, progress=False)
    to_other = str.maketrans("123456789ABCDEFG", digits)
    lines = [
        (question.translate(to_other), answer.translate(to_other))
        for question, answer in zip(format_boards(questions), format_boards(answers), strict=True)
    ]
    read = read_sudoku_csv(csv_file("p.csv", *lines, header="puzzle,solution"))
    assert (read.questions == questions).all() and (read.answers == answers).all()


def test_subsets_are_the_first_rows_or_random_ones(csv_file):
    rows = puzzle_rows(20, seed=0)
    file = csv_file("p.csv", *rows)
    lines = [row[1] for row in rows]
    assert format_boards(read_sudoku_csv(file, 5).questions) == lines[:5]
    first, again, other = (format_boards(read_sudoku_csv(file, 5, subset_seed=seed).questions) for seed in (0, 0, 1))
    assert first == again != other
    assert first != lines[:5]
    assert set(first) < set(lines)


def test_script_runs_from_anywhere_and_reports_errors_in_one_sentence(tmp_path):
    script = ROOT / "dataset_scripts/build_sudoku.py"
    command = [
        sys.executable,
        str(script),
        "out",
        "--size",
        "4",
        "--clues",
        "8",
        "--num-train",
        "5",
        "--num-test",
        "5",
    ]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    assert "train: 5 puzzles, 8.0 clues on average" in process.stdout
    assert (tmp_path / "out/data/train-00000-of-00001.parquet").is_file()
    command += ["--seed", "1"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert process.returncode == 1
    assert "build_sudoku.py: out is already a data set" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize(
    ("rows", "category"), [(1, "n<1K"), (1000, "1K<n<10K"), (99_999, "10K<n<100K"), (10**8, "n>10M")]
)
def test_size_categories(rows, category):
    assert size_category(rows) == category


@pytest.mark.parametrize("num_threads", [2, 5])
def test_the_number_of_threads_changes_nothing(num_threads):
    one = generate(1500, size=6, clues=22, seed=3, progress=False)
    several = generate(1500, size=6, clues=22, seed=3, progress=False, num_threads=num_threads)
    for part, other in zip(one, several, strict=True):
        np.testing.assert_array_equal(part, other)


def test_leaks_are_found_in_parts_of_a_data_set_as_in_all_of_it(monkeypatch):
    from hrm_hf.puzzles import build
    from hrm_hf.puzzles.sudoku.build import generated_puzzles, sudoku_fingerprint

    puzzles = generated_puzzles(20, 4, None, 0, None, 0, 1)
    splits = {"train": puzzles[:15], "test": puzzles[10:]}
    expected, removed = build.without_leaks(dict(splits), sudoku_fingerprint)
    monkeypatch.setattr(build, "_MARKED_AT_ONCE", 3)
    found, again = build.without_leaks(dict(splits), sudoku_fingerprint)
    assert removed == again >= 5
    assert (found["train"].questions == expected["train"].questions).all()


def test_results_in_order_whatever_finishes_first():
    def make(number: int) -> int:
        time.sleep(0.02 if number % 3 == 0 else 0)
        if number == 7:
            raise ValueError("the eighth")
        return number

    results = in_order(make, 4)
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(ValueError, match="the eighth"):
        next(results)


def test_solving_in_threads_changes_nothing():
    questions, _, _ = generate(1200, size=6, seed=1, progress=False)
    for part, other in zip(solve(questions, 6), solve(questions, 6, num_threads=3), strict=True):
        np.testing.assert_array_equal(part, other)
    assert [len(part) for part in solve(questions[:0], 6)] == [0, 0, 0]


def test_the_number_of_threads_is_checked_and_not_recorded(tmp_path):
    with pytest.raises(ValueError, match="num_proc=0 is not allowed"):
        build_sudoku(tmp_path / "s", size=4, num_train=2, num_test=2, num_proc=0)
    build_sudoku(tmp_path / "s", size=4, num_train=2, num_test=2, num_proc=2)
    assert "num-proc" not in (tmp_path / "s" / "README.md").read_text()
