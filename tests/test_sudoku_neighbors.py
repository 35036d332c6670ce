"""Neighbors of given Sudoku puzzles: how they are made, what they keep apart from, and the option of the builder."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import load_dataset

from hrm_hf.puzzles.sudoku import neighbors as sudoku_neighbors
from hrm_hf.puzzles.sudoku.build import build_sudoku
from hrm_hf.puzzles.sudoku.generator import generate
from hrm_hf.puzzles.sudoku.grids import canonical_grids, solution_fingerprint
from hrm_hf.puzzles.sudoku.neighbors import neighbors
from hrm_hf.puzzles.sudoku.rules import conflicts, format_boards
from hrm_hf.puzzles.sudoku.solver import solve
from hrm_hf.puzzles.sudoku.symmetry import fingerprint, random_symmetries


NUM = 300


def turned(boards: np.ndarray, seed: int = 1) -> np.ndarray:
    """Boards equal to these up to symmetry."""
    symmetry = random_symmetries(torch.arange(len(boards)), seed, 9)
    return symmetry.apply(torch.tensor(boards).long()).numpy().astype(np.uint8)


@pytest.fixture(scope="module")
def given():
    return generate(25, 9, min_rating=1, seed=4, progress=False)


@pytest.fixture(scope="module")
def made(given):
    return neighbors(given[0], NUM, seed=7, progress=False)


# --- solved boards up to symmetry


def test_the_canonical_form_is_kept_by_symmetries_and_tells_solved_boards_apart(given):
    answers = given[1]
    forms = canonical_grids(answers)
    for seed in range(4):
        assert np.array_equal(canonical_grids(turned(answers, seed)), forms)
    assert len(np.unique(forms, axis=0)) == len(answers)
    assert np.array_equal(solution_fingerprint(turned(answers)), solution_fingerprint(answers))
    assert len(np.unique(solution_fingerprint(answers))) == len(answers)


def test_the_canonical_form_is_a_board_equal_up_to_symmetry_and_the_least(given):
    forms = canonical_grids(given[1])
    assert not conflicts(forms, 9).any()
    assert (forms[:, :9] == np.arange(1, 10)).all()
    assert np.array_equal(canonical_grids(forms), forms)
    # none of many boards equal to it is less
    for form in forms[:3]:
        others = turned(np.repeat(form[None], 2000, axis=0))
        assert min(map(tuple, others.tolist())) >= tuple(form.tolist())


def test_the_number_of_threads_changes_no_canonical_form(given):
    answers = np.repeat(given[1], 100, axis=0)
    assert np.array_equal(canonical_grids(answers, num_threads=2), canonical_grids(answers))
    assert solution_fingerprint(answers[:0]).shape == (0,)


# --- neighbors


def test_neighbors_have_one_solution_and_honest_ratings(made):
    solutions, counts, ratings = solve(made.questions, 9)
    assert made.questions.shape == (NUM, 81)
    assert (counts == 1).all()
    assert np.array_equal(solutions, made.answers)
    assert np.array_equal(ratings, made.ratings)


def test_neighbors_are_new_up_to_symmetry(given, made):
    marks = fingerprint(made.questions, 9)
    assert len(np.unique(marks)) == NUM
    assert not np.isin(marks, fingerprint(given[0], 9)).any()


def test_neighbors_share_clues_with_their_ancestor_and_have_another_solution(given, made):
    ancestors = given[0][made.ancestors]
    shared = ((made.questions > 0) & (made.questions == ancestors)).sum(1)
    assert shared.min() >= 8  # at most eight exchanges, and clues that were not needed any more
    assert (made.answers != given[1][made.ancestors]).any(1).all()
    grids = solution_fingerprint(made.answers)
    assert len(np.unique(grids)) > 0.9 * NUM
    assert len(np.unique(made.ancestors)) > 10


def test_neighbors_need_all_their_clues(made):
    for question in made.questions[:20]:
        clues = np.flatnonzero(question)
        fewer = np.repeat(question[None], len(clues), axis=0)
        fewer[np.arange(len(clues)), clues] = 0
        assert (solve(fewer, 9)[1] > 1).all()


def test_neighbors_are_not_easier_than_their_ancestors(given, made):
    assert (made.ratings >= given[2][made.ancestors]).all()
    harder = neighbors(given[0], 20, hardness=1.5, progress=False)
    assert (harder.ratings >= 1.5 * given[2][harder.ancestors]).all()


def test_puzzles_with_clues_that_are_not_needed_have_neighbors_too():
    questions, _, _ = generate(3, 9, 40, seed=2, progress=False)
    made = neighbors(questions, 10, progress=False)
    assert (solve(made.questions, 9)[1] == 1).all()


def test_the_number_of_threads_changes_no_neighbor(given, made):
    again = neighbors(given[0], 200, seed=7, num_threads=3, progress=False)
    for part in ("questions", "answers", "ratings", "ancestors"):
        np.testing.assert_array_equal(getattr(again, part), getattr(made, part)[:200])
    other = neighbors(given[0], 20, seed=8, progress=False)
    assert not np.array_equal(other.questions, made.questions[:20])


def test_neighbors_keep_apart_from_puzzles_and_from_solutions(given, made):
    # one neighbor itself, and of another one's solution another puzzle: both turned
    puzzle, grid = made.questions[[30]], made.answers[[60]]
    almost = grid.copy()
    almost[:, :3] = 0
    apart = (
        np.concatenate((turned(puzzle), turned(almost))),
        np.concatenate((turned(made.answers[[30]]), turned(grid))),
    )
    clean = neighbors(given[0], NUM, seed=7, apart=apart, progress=False)
    assert len(clean.questions) == NUM
    assert clean.removed >= 2
    assert not np.isin(fingerprint(clean.questions, 9), fingerprint(apart[0], 9)).any()
    assert not np.isin(solution_fingerprint(clean.answers), solution_fingerprint(apart[1])).any()
    assert np.array_equal(clean.questions[:30], made.questions[:30])


@pytest.mark.parametrize(
    ("questions", "num", "message"),
    [
        (np.zeros((1, 81), dtype=np.uint8), 0, "num=0 is not allowed; it must be at least 1"),
        (np.zeros((1, 16), dtype=np.uint8), 1, r"of 81 cells, not from an array of shape \(1, 16\)"),
        (np.zeros((0, 81), dtype=np.uint8), 1, r"shape \(0, 81\); give at least one puzzle"),
        (np.zeros((1, 81), dtype=np.uint8), 1, "puzzle in row 0 has more than one solution; leave out"),
    ],
)
def test_impossible_wishes_are_refused(questions, num, message):
    with pytest.raises(ValueError, match=message):
        neighbors(questions, num, progress=False)


def test_too_few_neighbors_are_an_error(given, monkeypatch):
    monkeypatch.setattr(sudoku_neighbors, "_FRUITLESS", 2)
    with pytest.raises(ValueError, match="Only 0 neighbors of 2 puzzles were found, not 1: .* ask for fewer or give"):
        neighbors(given[0][:2], 1, hardness=1e6, progress=False)


# --- the builder


def write_csv(path: Path, questions: np.ndarray, answers: np.ndarray) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("source", "question", "answer", "rating"))
        for question, answer in zip(format_boards(questions), format_boards(answers), strict=True):
            writer.writerow(("somewhere", question, answer, 77))
    return path


def test_the_builder_adds_neighbors_to_the_training_split_alone(tmp_path, capsys, given, made):
    questions, answers, _ = given
    test = generate(4, 9, seed=9, progress=False)
    options = {
        "source": "csv",
        "train_csv": write_csv(tmp_path / "train.csv", questions, answers),
        "test_csv": write_csv(tmp_path / "test.csv", test[0], test[1]),
        "num_train": 23,
        "num_validation": 2,
        "num_neighbors": 40,
    }
    assert build_sudoku(tmp_path / "out", **options) == {"train": 63, "validation": 2, "test": 4}
    printed = capsys.readouterr().out
    assert "train, given: 23 puzzles" in printed
    assert "train, neighbors: 40 puzzles" in printed
    assert "Ratings by the solver: neighbors " in printed
    assert "Solved boards up to symmetry: " in printed

    splits = load_dataset(str(tmp_path / "out"))
    train = splits["train"]
    assert train["source"][:] == ["somewhere"] * 23 + ["neighbor-of-given"] * 40
    assert train["rating"][:23] == [77] * 23
    assert train["question"][:23] == format_boards(questions[:23])
    card = (tmp_path / "out/README.md").read_text()
    assert "| train, neighbors | 40 |" in card
    assert "from hrm_hf.puzzles.sudoku.solver, not on the scale of the file" in card
    assert "--num-validation 2 --num-neighbors 40" in card
    assert build_sudoku(tmp_path / "out", **options)["train"] == 63  # the same command: there is nothing to do

    # a neighbor planted in the test file is not in the training split any more
    planted = np.array([[0 if symbol == "." else int(symbol) for symbol in train["question"][30]]], dtype=np.uint8)
    solution = solve(planted, 9)[0]
    options["test_csv"] = write_csv(tmp_path / "planted.csv", turned(planted), turned(solution))
    build_sudoku(tmp_path / "clean", **options)
    clean = load_dataset(str(tmp_path / "clean"))["train"]
    assert len(clean) == 63
    assert train["question"][30] not in clean["question"][:]
    assert train["answer"][30] not in clean["answer"][:]
    assert train["question"][29] in clean["question"][:]
    assert "up to symmetry; 0 were left out" not in (tmp_path / "clean/README.md").read_text()


def test_neighbors_are_for_files_of_puzzles_of_size_nine(tmp_path):
    with pytest.raises(ValueError, match="num_neighbors=5 is for the source csv and hub, not for generate; leave"):
        build_sudoku(tmp_path / "out", num_neighbors=5)
    with pytest.raises(ValueError, match="num_neighbors=-1 is not allowed; it must be at least 0"):
        build_sudoku(tmp_path / "out", num_neighbors=-1)
    questions, answers, _ = generate(4, 6, 14, progress=False)
    files = {
        "train_csv": write_csv(tmp_path / "train.csv", questions[:2], answers[:2]),
        "test_csv": write_csv(tmp_path / "test.csv", questions[2:], answers[2:]),
    }
    with pytest.raises(ValueError, match="num_neighbors=5 is for puzzles of size 9, but these have size 6; leave"):
        build_sudoku(tmp_path / "out", source="csv", num_neighbors=5, **files)
    assert not (tmp_path / "out").exists()
