"""Benchmarks of models on Sudoku of any number of clues and on mazes of every kind."""

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmarks import maze_kinds, sudoku_clues
from benchmarks.seventeen_clues import read_puzzles
from benchmarks.sudoku_clues import filled_boards, read_boards
from hrm_hf.checkpoints import SHIPPED_MAZES, SHIPPED_SUDOKU
from hrm_hf.puzzles.sudoku.build import build_sudoku
from hrm_hf.puzzles.sudoku.rules import format_boards
from hrm_hf.puzzles.sudoku.solver import solve


@pytest.fixture(scope="module")
def seventeen() -> tuple[np.ndarray, np.ndarray]:
    """Six puzzles of 17 clues and their solutions."""
    puzzles = read_puzzles()[:6]
    return puzzles, solve(puzzles, 9)[0]


@pytest.mark.parametrize("filled", [18, 50, 80, 81])
def test_boards_have_the_wanted_cells_filled_from_the_solution(seventeen, filled):
    boards, solutions = filled_boards(*seventeen, filled, number=20, seed=0)
    assert ((boards > 0).sum(1) == filled).all()
    assert ((boards == 0) | (boards == solutions)).all()
    puzzles = np.resize(seventeen[0], (20, 81))
    assert (boards[puzzles > 0] == puzzles[puzzles > 0]).all()
    if filled < 80:
        assert len(np.unique(boards, axis=0)) == 20


def test_puzzles_of_just_so_many_clues_stand_as_they_are_and_once(seventeen):
    boards, _ = filled_boards(*seventeen, 17, number=20, seed=0)
    assert np.array_equal(boards, seventeen[0])
    boards, _ = filled_boards(*seventeen, 16, number=20, seed=0)
    assert len(boards) == 0


def test_filled_boards_are_a_function_of_their_seed(seventeen):
    one, again, other = (filled_boards(*seventeen, 40, 6, seed)[0] for seed in (0, 0, 1))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_puzzles_come_from_a_data_set_or_a_file(seventeen, tmp_path):
    build_sudoku(tmp_path / "data", clues=40, num_train=2, num_test=5)
    puzzles, solutions = read_boards(tmp_path / "data", number=1, seed=0)
    assert ((puzzles > 0).sum(1) == 40).all() and np.array_equal(solve(puzzles, 9)[0], solutions)
    lines = [",".join(pair) for pair in zip(*map(format_boards, seventeen), strict=True)]
    (tmp_path / "p.csv").write_text("\n".join(["question,answer", *lines]) + "\n")
    assert np.array_equal(read_boards(tmp_path / "p.csv", number=1, seed=0), seventeen)
    build_sudoku(tmp_path / "small", size=4, num_train=2, num_test=2)
    with pytest.raises(ValueError, match="small have 16 cells; give Sudoku of 81 cells"):
        read_boards(tmp_path / "small", number=1, seed=0)


def run(benchmark, *words: str):
    app = typer.Typer(rich_markup_mode=None)
    app.command()(benchmark.main)
    return CliRunner().invoke(app, [*words, "--no-record"])


def test_a_table_of_sudoku_by_filled_cells(seventeen, tmp_path):
    lines = [",".join(pair) for pair in zip(*map(format_boards, seventeen), strict=True)]
    (tmp_path / "p.csv").write_text("\n".join(["question,answer", *lines]) + "\n")
    result = run(
        sudoku_clues, "--puzzles", str(tmp_path / "p.csv"), "--filled", "17", "--filled", "45", "--number", "8"
    )
    assert result.exit_code == 0, result.output
    assert "| 17 | 6 | " in result.output and "| 45 | 8 | 100.0% | " in result.output
    result = run(sudoku_clues, "--model", str(SHIPPED_MAZES[256]))
    assert result.exit_code != 0 and "is for maze of 16 rows" in " ".join(result.output.split())
    assert run(sudoku_clues, "--filled", "82").exit_code != 0


def test_a_table_of_mazes_by_kind_and_size():
    words = ("--model", str(SHIPPED_MAZES[256]), "--kind", "perfect", "--number", "6")
    result = run(maze_kinds, *words, "--size", "5x6", "--size", "17x5")
    assert result.exit_code == 0, result.output
    rows = [line.split(" | ")[1:4] for line in result.stdout.splitlines() if line.startswith("| maze-16x16 |")]
    assert rows == [["all", "17x5", "0: larger than its boards"], ["perfect", "5x6", "6"]]
    for wrong, message in (
        (("--size", "5"), "The size '5' is not allowed"),
        (("--size", "40x40"), "No size fits"),
        (("--variant", "a", "--variant", "b"), "There are 2 variants for 1 models"),
    ):
        result = run(maze_kinds, *words, *wrong)
        assert result.exit_code != 0 and message in " ".join(result.output.split())
    assert run(maze_kinds, "--model", str(SHIPPED_SUDOKU), "--size", "5x5").exit_code != 0


def test_any_shortest_path_counts_as_solved():
    from accelerate import Accelerator

    from hrm_hf.checkpoints import load_checkpoint

    model, processor = load_checkpoint(str(SHIPPED_MAZES[256]))
    found = maze_kinds.measure_kind(model, processor, Accelerator(cpu=True), "scattered", (5, 5), 30, 0, 30)
    assert found["first_path"] < found["solved"] < 1
    assert found["one_shortest_path"] < 1 and found["n"] == 30
