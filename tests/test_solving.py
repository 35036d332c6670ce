"""`hrm-hf solve` with the shipped model as default, and the exact check behind its verdicts."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from benchmarks.records import ROOT
from hrm_hf.checkpoints import SHIPPED_MAZES, SHIPPED_SUDOKU, load_checkpoint
from hrm_hf.evaluation.checked_solving import solve_checked, solve_in_turn
from hrm_hf.puzzles.maze.frame import framed
from hrm_hf.puzzles.maze.generator import generate
from hrm_hf.puzzles.maze.rules import format_mazes
from hrm_hf.utils.time_limit import TimeLimit
from processing_hrm import HRMGridProcessor


HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
HARD_ANSWER = "812753649943682175675491283154237896369845721287169534521974368438526917796318452"
EASY = ".....2851.52.38..9.9......7.2485.9..8.93..1.5.1367.42.2854..3..9.7.835.4341.657.2"
# no two clues contradict each other, but there is no solution (Norvig, Solving Every Sudoku Puzzle)
IMPOSSIBLE = ".....5.8....6.1.43..........1.5........1.6...3.......553.....61........4........."
CONTRADICTION = "55" + HARD[2:]


@pytest.fixture(scope="module")
def shipped():
    """The model and its processor, loaded once."""
    return load_checkpoint(str(SHIPPED_SUDOKU))


@pytest.fixture
def solve(hrm_hf, shipped, monkeypatch):
    """Call `hrm-hf solve` with the loaded model instead of loading its folder."""

    def call(*arguments, stdin=""):
        asked = []
        monkeypatch.setattr("hrm_hf.cli._load", lambda folder: asked.append(folder) or shipped)
        result = hrm_hf("solve", *arguments, stdin=stdin)
        assert asked in ([], [str(SHIPPED_SUDOKU)])
        return result

    return call


def two_solutions() -> str:
    """A puzzle with few clues and two solutions: in four cells of a solution, two digits can be swapped."""
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
    # the error is found before the model runs, and the others are still solved
    assert (bad["copies"], bad["segments"], bad["halt_probability"]) == (0, 0, None)
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
    assert "in the model's best answer" in result["reason"]


def test_a_sudoku_with_two_solutions_is_always_named_so(shipped):
    results = solve_checked(*shipped, [two_solutions(), HARD])
    assert [result.outcome for result in results] == ["more than one solution", "solved"]


def test_a_full_board_is_recognized(solve):
    code, out, _ = solve(HARD_ANSWER, "--json")
    result = json.loads(out)
    assert code == 0
    assert (result["answer"], result["outcome"], result["segments"]) == (HARD_ANSWER, "solved", 0)
    wrong = "9" + HARD_ANSWER[1:]
    code, out, _ = solve(wrong, "--json")
    assert code == 2 and json.loads(out)["outcome"] == "no solution"


def test_boards_with_few_open_cells_are_solved(shipped):
    puzzles = []
    for number, cells in enumerate((1, 2, 3, 6, 12)):
        board = list(HARD_ANSWER)
        for cell in np.random.default_rng(number).permutation(81)[:cells]:
            board[cell] = "."
        puzzles.append("".join(board))
    assert [result.answer for result in solve_checked(*shipped, puzzles)] == [HARD_ANSWER] * 5


def test_an_answer_never_changes_a_clue(shipped, monkeypatch):
    model, processor = shipped
    real = model.solve

    def wrong_where_clues_are(input_ids, *arguments, **options):
        output = real(input_ids, *arguments, **options)
        output.predictions = torch.where(input_ids > 1, 2, output.predictions)
        if output.prediction_history is not None:
            output.prediction_history[:] = 2
        return output

    monkeypatch.setattr(model, "solve", wrong_where_clues_are)
    (result,) = solve_checked(model, processor, HARD, num_samples=2)
    assert result.answer == HARD_ANSWER
    (result,) = solve_checked(model, processor, HARD, keep_steps=True)
    assert all(step[cell] == clue for step in result.steps for cell, clue in enumerate(HARD) if clue != ".")


def test_a_maze_without_a_way_is_called_so_at_once(hrm_hf, monkeypatch):
    model, processor = load_checkpoint(str(SHIPPED_MAZES[256]))
    monkeypatch.setattr(model, "solve", None)
    monkeypatch.setattr("hrm_hf.cli._load", lambda folder: (model, processor))
    rows = ["#" * 16, "#S#            #", "###            #", *["#              #"] * 11, "#            G #", "#" * 16]
    code, out, _ = hrm_hf("solve", "--json", stdin="\n".join(rows))
    result = json.loads(out)
    assert code == 2 and (result["outcome"], result["copies"]) == ("no solution", 0)
    assert "no path from S to G" in result["reason"]


def test_several_shortest_paths_are_said():
    processor = HRMGridProcessor.for_maze(3, 3)
    inputs = processor(["S    G   ", "S## ## G "])["input_ids"]
    several, one = processor.remarks(inputs)
    assert "several shortest paths" in several and one is None
    # two ways around a wall, and a longer one that does not count
    assert HRMGridProcessor.for_maze(3, 3).remarks(processor("S   #   G")["input_ids"])[0] is not None
    assert HRMGridProcessor.for_maze(3, 4).remarks(HRMGridProcessor.for_maze(3, 4)("S  G ##     ")["input_ids"]) == [
        None
    ]


def test_files_are_arguments_too(solve, tmp_path):
    (tmp_path / "two.txt").write_bytes(f"# two\r\nGrid 01\r\n{HARD}\r\n{EASY},7\r\n".encode("utf-16"))
    code, out, err = solve(str(tmp_path / "two.txt"), HARD.replace(".", "-"), "--json")
    assert code == 0 and [json.loads(line)["puzzle"] for line in out.splitlines()] == [HARD, EASY, HARD]
    assert "two.txt: left out line 2: 'Grid 01', 1 other column\n" in err
    (tmp_path / "none.txt").write_text("# nothing\n")
    code, out, err = solve(str(tmp_path / "none.txt"))
    assert code == 1 and out == "" and "none.txt, there is no puzzle" in err


def test_the_command_reads_its_own_output(solve):
    _, out, _ = solve(HARD, EASY)
    _, again, _ = solve(stdin=out)
    assert again == out
    _, out, _ = solve(HARD, "--show-steps")
    _, again, _ = solve("--json", stdin=out)
    assert json.loads(again)["puzzle"] == HARD


def test_an_answer_is_written_as_its_puzzle_is(small_model, hrm_hf, monkeypatch):
    processor = HRMGridProcessor.for_sudoku(16)
    model = small_model(vocab_size=18, max_position_embeddings=256, puzzle_emb_ndim=0)
    monkeypatch.setattr("hrm_hf.cli._load", lambda folder: (model, processor))
    row = "0123456789ABCDEF"
    full = "".join(row[shift:] + row[:shift] for start in range(4) for shift in range(start, 16, 4))
    code, out, _ = hrm_hf("solve", full, "--json", "--model", "small")
    assert code == 0 and json.loads(out)["answer"] == full
    broken = full.replace("3", ".").replace("0", "1", 1)
    code, out, _ = hrm_hf("solve", broken, "--json", "--model", "small")
    assert code == 2 and "has two 1s" in json.loads(out)["reason"] and json.loads(out)["puzzle"] == broken
    without_zero = full.replace("0", ".")
    code, _, err = hrm_hf("solve", without_zero, "--model", "small")
    assert code == 1 and "--notation" in err
    code, out, _ = hrm_hf(
        "solve", without_zero, "--notation", "0-F", "--json", "--model", "small", "--max-segments", "1"
    )
    assert json.loads(out)["puzzle"] == without_zero


def test_what_reads_the_output_may_stop():
    process = subprocess.Popen(
        [sys.executable, "-m", "hrm_hf.cli", "solve", HARD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1 and "Traceback" not in said and "BrokenPipe" not in said


def test_a_time_limit_ends_the_thinking(shipped, solve):
    code, out, _ = solve(HARD, HARD_ANSWER, "--json", "--seconds", "0.000001")
    late, full = map(json.loads, out.splitlines())
    assert code == 2 and late["outcome"] == "not solved" and "time limit of 1e-06 seconds" in late["reason"]
    # verdicts that need no thinking are still given
    assert full["solved"]
    code, _, err = solve(HARD, "--seconds", "0")
    assert code == 1 and "seconds=0" in err
    limit = TimeLimit(1000)
    model, processor = shipped
    (result,) = solve_checked(model, processor, HARD, limit=limit)
    assert result.solved and not limit.is_over()


def test_answers_before_the_time_limit_stay(shipped, monkeypatch):
    model, processor = shipped
    limit = TimeLimit(1000)
    ticks = iter(range(10**6))
    # over after the first sample, which solves one of the two within its one segment
    monkeypatch.setattr(limit, "is_over", lambda: next(ticks) > 0)
    # Easter Monster, by champagne 2007: the model needs 19 segments
    hard = "1.......2.9.4...5...6...7...5.9.3.......7.......85..4.7.....6...3...9.8...2.....1"
    results = solve_checked(model, processor, [EASY, hard], num_samples=4, max_segments=1, limit=limit)
    assert [result.outcome for result in results] == ["solved", "not solved"]
    assert results[1].copies == 1 and "time limit" in results[1].reason


def test_answers_come_before_all_puzzles_are_solved(shipped):
    from hrm_hf.puzzles.text import read_puzzles

    model, processor = shipped
    answers = solve_in_turn(model, processor, read_puzzles(f"{HARD}\n{EASY}\n{HARD}\n").puzzles)
    assert next(answers)[0].answer == HARD_ANSWER
    assert [answer.solved for answer, _ in answers] == [True, True]


def test_a_wrong_length_is_one_sentence(solve):
    code, out, err = solve(HARD[:80])
    assert code == 1 and out == ""
    assert err.startswith("hrm-hf: ") and "80 cells" in err and "81" in err
    assert len(err.strip().splitlines()) == 1


def test_exact_search_agrees_with_the_solver_of_data_sets():
    from hrm_hf.puzzles.sudoku.generator import generate
    from hrm_hf.puzzles.sudoku.solver import solve as solve_boards

    names = {0: "no solution", 1: None, 2: "more than one solution"}
    for size in (4, 6, 9):
        puzzles = generate(10, size, seed=size, progress=False)[0]
        rng = np.random.default_rng(size)
        # without one clue most have several solutions, with one more random digit most have none
        fewer, more = puzzles.copy(), puzzles.copy()
        for board in fewer:
            board[rng.choice(np.flatnonzero(board))] = 0
        for board in more:
            board[rng.choice(np.flatnonzero(board == 0))] = rng.integers(1, size + 1)
        boards = np.concatenate((puzzles, fewer, more))
        checks = HRMGridProcessor.for_sudoku(size).exact_checks(boards.astype(np.int64) + 1)
        counts = solve_boards(boards, size)[1].tolist()
        assert [check and check.outcome for check in checks] == [names[count] for count in counts]
        assert len(set(counts)) == 3


def test_steps_are_those_of_the_puzzle_that_they_belong_to(shipped):
    first, none, second = solve_checked(*shipped, [HARD, CONTRADICTION, EASY], keep_steps=True)
    assert none.steps is None and none.halt_probability is None
    for result in (first, second):
        assert len(result.steps) == result.segments
        assert result.steps[-1] == result.answer
    with pytest.raises(ValueError, match="num_samples=2; use 1"):
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
    # the smallest boards that all fit on
    asked.clear()
    flat = "S" + " " * 18 + "G\n" + "#" * 20
    for mazes in ((small, maze), ("S G#",), (flat,), (small, "S G#")):
        hrm_hf("solve", *mazes)
    assert asked == [str(SHIPPED_MAZES[cells]) for cells in (900, 256, 900, 256)]
    # the one that is too large is named, not the one with the most rows
    code, _, err = hrm_hf("solve", maze, "S" + " " * 39 + "G\n" + "#" * 41)
    assert code == 1 and "A maze has 2 rows and 41 columns; the models here are for at most 30x30." in err
    code, _, err = hrm_hf("solve", HARD, maze)
    assert code == 1 and "There are 1 mazes and 1 Sudoku; give puzzles of only one kind" in err


def test_a_maze_on_a_larger_board_is_cut_out_again():
    processor = HRMGridProcessor.for_maze(4, 5)
    frame = framed("S #\n  G", processor)
    assert frame.board.split("\n") == ["S ###", "  G##", "#####", "#####"]
    assert frame.cut("So###ooG############") == "So#ooG"
    assert (frame.processor.height, frame.processor.width) == (2, 3)
    # a line is a square, or else one row
    assert framed("S  G", processor).board.split("\n")[:2] == ["S ###", " G###"]
    assert framed("S G", processor).board.split("\n")[:2] == ["S G##", "#####"]
    # as large as the board, larger, ragged
    for board in ("S    \n    G\n     \n     ", "S     G", "S  \n G"):
        assert framed(board, processor) is None, board


@pytest.mark.parametrize("as_json", [True, False])
def test_a_maze_of_another_size_is_solved_by_a_shipped_model(hrm_hf, as_json):
    maze = "S  #\n ## \n    \n# #G"
    code, out, err = hrm_hf("solve", maze, *(["--json"] if as_json else []))
    assert code == 0, err
    if as_json:
        assert json.loads(out)["puzzle"] == maze.replace("\n", "") and json.loads(out)["answer"].count("o") == 5
    else:
        assert len(out.split("solved")[0].strip("\n").split("\n")) == 4


def test_the_shipped_maze_models_solve(hrm_hf):
    maze = (ROOT / "examples" / "maze.txt").read_text()
    code, out, _ = hrm_hf("solve", "--json", stdin=maze)
    (result,) = map(json.loads, out.splitlines())
    assert code == 0 and result["solved"] and result["puzzle"] == maze.replace("\n", "")
    # the whole path, counted when the maze was made: there are 141 cells between S and G
    assert result["answer"].count("o") == 141
    easy, hard = (generate(10, 16, 16, steps, seed=9, progress=False)[0] for steps in (2, 54))
    code, out, _ = hrm_hf("solve", "--json", stdin="\n".join(format_mazes(np.concatenate((easy, hard)))))
    assert sum(json.loads(line)["solved"] for line in out.splitlines()) >= 18


@pytest.mark.parametrize("folder", [SHIPPED_SUDOKU, *SHIPPED_MAZES.values()])
def test_shipped_models_are_small(folder):
    files = [path for path in folder.iterdir() if not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < 8e6
