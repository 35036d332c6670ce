"""`hrm-hf solve` without a model named, which takes the shipped one, and the exact check behind its verdicts."""

import json

import numpy as np
import pytest

from benchmarks.records import ROOT
from hrm_hf.checkpoints import SHIPPED_MAZES, SHIPPED_SUDOKU, load_checkpoint
from hrm_hf.cli import _split
from hrm_hf.data.maze_generator import generate
from hrm_hf.data.maze_rules import format_mazes
from hrm_hf.data.sudoku_validity import count_solutions
from hrm_hf.evaluation.checked_solving import solve_checked
from processing_hrm import HRMGridProcessor


HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
HARD_ANSWER = "812753649943682175675491283154237896369845721287169534521974368438526917796318452"
EASY = ".....2851.52.38..9.9......7.2485.9..8.93..1.5.1367.42.2854..3..9.7.835.4341.657.2"
# no two clues contradict each other, and yet there is no solution (Norvig, Solving Every Sudoku Puzzle)
IMPOSSIBLE = ".....5.8....6.1.43..........1.5........1.6...3.......553.....61........4........."
CONTRADICTION = "55" + HARD[2:]


@pytest.fixture(scope="module")
def shipped():
    """The model and its processor, loaded once."""
    return load_checkpoint(str(SHIPPED_SUDOKU))


@pytest.fixture
def solve(hrm_hf, shipped, monkeypatch):
    """Calls `hrm-hf solve` with the loaded model in place of the folder that it asks for."""

    def call(*arguments, stdin=""):
        asked = []
        monkeypatch.setattr("hrm_hf.cli._load", lambda folder: asked.append(folder) or shipped)
        result = hrm_hf("solve", *arguments, stdin=stdin)
        assert asked in ([], [str(SHIPPED_SUDOKU)])
        return result

    return call


def two_solutions() -> str:
    """A puzzle of few clues with two solutions: four cells of a solution where two digits can change places."""
    board = list(HARD_ANSWER)
    for top in range(9):
        for low in range(top + 1, 9):
            for left in range(9):
                for right in range(left + 1, 9):
                    corners = [top * 9 + left, top * 9 + right, low * 9 + left, low * 9 + right]
                    same_boxes = top // 3 == low // 3 or left // 3 == right // 3
                    digits = [board[cell] for cell in corners]
                    if same_boxes and digits[0] == digits[3] and digits[1] == digits[2]:
                        return "".join("." if cell in corners else digit for cell, digit in enumerate(board))
    raise AssertionError("no such rectangle")


def boards(*lines: str) -> np.ndarray:
    return np.array([[0 if cell == "." else int(cell) for cell in line] for line in lines], dtype=np.uint8)


def test_a_hard_and_an_easy_puzzle_are_solved_without_naming_a_model(solve):
    code, out, _ = solve(HARD, EASY)
    assert code == 0
    assert "[8] 1  2  |  7  5  3  |  6  4  9 " in out
    assert out.count("\nsolved (") == 2


def test_one_json_object_a_puzzle_of_stdin(solve):
    code, out, _ = solve("--json", stdin=f"{HARD}\n\n{EASY}\n")
    hard, easy = map(json.loads, out.splitlines())
    assert code == 0
    assert (hard["puzzle"], hard["answer"], hard["outcome"]) == (HARD, HARD_ANSWER, "solved")
    assert hard["solved"] is True and easy["solved"] is True
    assert 1 <= hard["segments"] <= 64 and hard["copies"] == 1


@pytest.mark.parametrize(
    ("puzzle", "outcome", "reason"),
    [
        (IMPOSSIBLE, "no solution", "an exact search found no board"),
        (CONTRADICTION, "no solution", "row 1 has two 5s"),
        ("." * 81, "more than one solution", "an exact search found two boards"),
    ],
)
def test_a_puzzle_that_is_none_is_called_so(solve, puzzle, outcome, reason):
    code, out, _ = solve(puzzle, HARD, "--json", "--max-segments", "4")
    bad, good = map(json.loads, out.splitlines())
    assert code == 2
    assert (bad["outcome"], bad["solved"], bad["answer"]) == (outcome, False, None)
    assert reason in bad["reason"]
    # the fault is found after the first answer, and the others are solved all the same
    assert bad["copies"] == (0 if puzzle == CONTRADICTION else 1)
    assert good["answer"] == HARD_ANSWER
    code, out, _ = solve(puzzle, "--max-segments", "4")
    assert code == 2 and f"{outcome}: " in out and reason in out and "solved (" not in out
    assert sum(digit.isdigit() for digit in out.split(outcome)[0]) == sum(digit.isdigit() for digit in puzzle)


def test_a_valid_puzzle_that_the_model_fails_gets_all_copies_and_no_board(solve):
    # Easter Monster, by champagne 2007: the model needs 19 segments
    puzzle = "1.......2.9.4...5...6...7...5.9.3.......7.......85..4.7.....6...3...9.8...2.....1"
    code, out, _ = solve(puzzle, "--json", "--samples", "3", "--max-segments", "1")
    result = json.loads(out)
    assert code == 2
    assert (result["outcome"], result["answer"], result["copies"]) == ("not solved", None, 3)
    assert "in the best answer of the model" in result["reason"]


def test_either_solution_of_two_is_a_solution(shipped):
    puzzle = two_solutions()
    assert count_solutions(boards(puzzle), 9).tolist() == [2]
    (result,) = solve_checked(*shipped, puzzle, num_samples=2)
    assert result.outcome in ("solved", "more than one solution")
    if result.solved:
        assert shipped[1].check(puzzle, result.answer)


def test_a_wrong_length_is_one_sentence(solve):
    code, out, err = solve(HARD[:80])
    assert code == 1 and out == ""
    assert err.startswith("hrm-hf: ") and "80 cells" in err and "81" in err
    assert len(err.strip().splitlines()) == 1


def test_solutions_are_counted_up_to_two():
    assert count_solutions(boards(HARD, IMPOSSIBLE, CONTRADICTION, "." * 81), 9).tolist() == [1, 0, 0, 2]
    with pytest.raises(ValueError, match="size=16 is not allowed"):
        count_solutions(np.zeros((1, 256), dtype=np.uint8), 16)


def test_steps_are_those_of_the_puzzle_that_they_belong_to(shipped):
    first, none, second = solve_checked(*shipped, [HARD, CONTRADICTION, EASY], keep_steps=True)
    assert none.steps is None and none.halt_probability is None
    for result in (first, second):
        assert len(result.steps) == result.segments
        assert result.steps[-1] == result.answer
    with pytest.raises(ValueError, match="num_samples=2; ask for 1"):
        solve_checked(*shipped, HARD, num_samples=2, keep_steps=True)


def test_arc_is_refused_before_it_is_tried():
    with pytest.raises(ValueError, match="evaluate-arc"):
        solve_checked(None, HRMGridProcessor.for_arc(), [[[1]]])


def test_the_shipped_model_is_chosen_by_the_puzzles(hrm_hf, monkeypatch):
    asked = []

    def load(folder):
        asked.append(folder)
        raise ValueError("That is enough.")

    monkeypatch.setattr("hrm_hf.cli._load", load)
    maze, small = "S" + " " * 898 + "G", "S" + " " * 14 + "G" + ("\n" + "#" * 16) * 15
    for arguments, stdin in (((HARD,), ""), ((maze,), ""), ((), f"{maze}\n{maze}\n"), ((small,), "")):
        hrm_hf("solve", *arguments, stdin=stdin)
    assert asked == [str(SHIPPED_SUDOKU), *[str(SHIPPED_MAZES[900])] * 2, str(SHIPPED_MAZES[256])]
    for mazes, sizes in (((maze, small), "256 and 900"), (("S G#",), "4")):
        code, _, err = hrm_hf("solve", *mazes)
        assert code == 1 and f"The mazes have {sizes} cells; the models here are for 30x30 or" in err
    code, _, err = hrm_hf("solve", HARD, maze)
    assert code == 1 and "Of 2 puzzles 1 are mazes; give either" in err


@pytest.mark.parametrize(
    ("text", "puzzles"),
    [
        (f" {HARD} \n\n{EASY}\n", [HARD, EASY]),
        (" 1G..\n 2...\n", ["1G..", "2..."]),  # G is a digit of 16x16 Sudoku
        ("S  G\n G# S\n", ["S  G", " G# S"]),
        ("  S#\n    \n G  \n\n\nS \n G\n", ["  S#\n    \n G  ", "S \n G"]),
        ("\r\n S#\r\n G \r\n", [" S#\n G "]),
    ],
)
def test_puzzles_of_stdin(text, puzzles):
    assert _split(text) == puzzles


def test_the_shipped_maze_models_solve(hrm_hf):
    maze = (ROOT / "examples" / "maze.txt").read_text()
    code, out, _ = hrm_hf("solve", "--json", stdin=maze)
    (result,) = map(json.loads, out.splitlines())
    assert code == 0 and result["solved"] and result["puzzle"] == maze.replace("\n", "")
    # the whole path, which was counted when the maze was made: between S and G there are 141 cells
    assert result["answer"].count("o") == 141
    easy, hard = (generate(10, 16, 16, steps, seed=9, progress=False)[0] for steps in (2, 54))
    code, out, _ = hrm_hf("solve", "--json", stdin="\n".join(format_mazes(np.concatenate((easy, hard)))))
    assert sum(json.loads(line)["solved"] for line in out.splitlines()) >= 18


@pytest.mark.parametrize("folder", [SHIPPED_SUDOKU, *SHIPPED_MAZES.values()])
def test_shipped_models_are_small(folder):
    files = [path for path in folder.iterdir() if not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < 8e6
