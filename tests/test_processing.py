"""What `HRMGridProcessor` accepts, returns, judges and refuses.

python -m pytest tests/test_processing.py
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import processing_hrm
from processing_hrm import HRMGridProcessor, Verdict


# the example in Wikipedia's article on Sudoku
PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
ANSWER = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"

MAZE_ROWS = ["#####", "#S  #", "# # #", "#  G#", "#####"]
MAZE = "".join(MAZE_ROWS)
MAZE_ANSWER = "#####" + "#S  #" + "#o# #" + "#ooG#" + "#####"

GRID = [[0, 1, 2], [7, 8, 9]]
TASK = {
    "train": [{"input": [[1]], "output": [[2]]}],
    "test": [{"input": GRID, "output": [[5]]}, {"input": [[3]], "output": [[4, 4]]}],
}


@pytest.fixture(scope="module")
def sudoku():
    return HRMGridProcessor.for_sudoku()


@pytest.fixture(scope="module")
def maze():
    return HRMGridProcessor.for_maze(5, 5)


@pytest.fixture(scope="module")
def arc():
    return HRMGridProcessor("arc", 4, 4)


def rows_of(line: str, width: int = 9) -> list[str]:
    return [line[start : start + width] for start in range(0, len(line), width)]


def ids(processor, *args, **kwargs) -> list[list[int]]:
    return processor(*args, **kwargs)["input_ids"].tolist()


# --- golden tokens ------------------------------------------------------------------------------------------


def test_sudoku_tokens_are_those_of_the_original(sudoku):
    inputs = sudoku(PUZZLE, ANSWER)
    assert inputs["input_ids"][0, :9].tolist() == [6, 4, 1, 1, 8, 1, 1, 1, 1]
    assert inputs["labels"][0, :9].tolist() == [6, 4, 5, 7, 8, 9, 10, 2, 3]
    assert (sudoku.vocab_size, sudoku.seq_len, sudoku.pad_token_id) == (11, 81, 0)


def test_maze_tokens_are_those_of_the_original(maze):
    inputs = maze(MAZE, MAZE_ANSWER)
    assert inputs["input_ids"][0, 5:15].tolist() == [1, 3, 2, 2, 1, 1, 2, 1, 2, 1]
    assert inputs["labels"][0, 15:20].tolist() == [1, 5, 5, 4, 1]
    assert (maze.vocab_size, HRMGridProcessor.for_maze().seq_len) == (6, 900)


def test_arc_grid_has_its_end_drawn_right_and_below(arc):
    assert ids(arc, GRID) == [[2, 3, 4, 1, 9, 10, 11, 1, 1, 1, 1, 0, 0, 0, 0, 0]]
    assert (arc.vocab_size, HRMGridProcessor.for_arc().seq_len) == (12, 900)


def test_arc_grid_as_wide_as_the_canvas_has_an_end_below_only(arc):
    assert ids(arc, [[1, 1, 1, 1]]) == [[3, 3, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]]


def test_arc_grid_that_fills_the_canvas_has_no_end(arc):
    assert ids(arc, [[9] * 4] * 4) == [[11] * 16]


def test_arc_labels_ignore_padding_but_not_the_end_of_grid(arc):
    labels = arc(GRID, answers=[[5]])["labels"]
    assert labels.tolist() == [[7, 1, -100, -100, 1] + [-100] * 11]


@pytest.mark.parametrize(("size", "last_digit", "vocab_size"), [(4, "4", 6), (6, "6", 8), (9, "9", 11), (16, "G", 18)])
def test_every_sudoku_size_uses_all_its_digits(size, last_digit, vocab_size):
    processor = HRMGridProcessor.for_sudoku(size)
    line = last_digit + "." * (size * size - 1)
    assert processor.vocab_size == vocab_size
    assert ids(processor, line) == [[vocab_size - 1] + [1] * (size * size - 1)]
    assert processor.decode(processor(line)["input_ids"][0]) == line


# --- accepted forms -----------------------------------------------------------------------------------------

INTEGERS = [[0 if cell == "." else int(cell) for cell in row] for row in rows_of(PUZZLE)]
BOXED = "\n".join(
    f"║ {row[:3]} │ {row[3:6]} │ {row[6:]} ║" + ("\n╟─────┼─────┼─────╢" if number in (2, 5) else "")
    for number, row in enumerate(rows_of(PUZZLE))
)
SUDOKU_FORMS = {
    "dots": PUZZLE,
    "zeros": PUZZLE.replace(".", "0"),
    "underscores": PUZZLE.replace(".", "_"),
    "lines": "\n".join(rows_of(PUZZLE)) + "\n",
    "one line with spaces": " ".join(PUZZLE),
    "ASCII drawing": HRMGridProcessor.for_sudoku().pretty(PUZZLE),
    "box drawing": BOXED,
    "row strings": rows_of(PUZZLE),
    "integers": INTEGERS,
    "tuples with None": tuple(tuple(cell or None for cell in row) for row in INTEGERS),
    "characters": [["" if cell == "." else cell for cell in row] for row in rows_of(PUZZLE)],
    "array": np.array(INTEGERS, dtype=np.uint8),
    "tensor": torch.tensor(INTEGERS),
    "rows as arrays": list(np.array(INTEGERS)),
    "array of characters": np.array([list(row) for row in rows_of(PUZZLE)]),
    "sparse tensor": torch.tensor(INTEGERS).to_sparse(),
    "frame of pandas": pd.DataFrame(INTEGERS),
    "dashes": PUZZLE.replace(".", "-"),
    "stars": PUZZLE.replace(".", "*"),
    "lines of dashes": "\n".join(rows_of(PUZZLE)).replace(".", "-"),
}


@pytest.mark.parametrize("form", SUDOKU_FORMS)
def test_every_sudoku_form_gives_the_same_tokens(sudoku, form):
    assert ids(sudoku, SUDOKU_FORMS[form]) == ids(sudoku, PUZZLE)


@pytest.mark.parametrize("form", SUDOKU_FORMS)
def test_every_sudoku_form_can_be_given_several_times(sudoku, form):
    assert ids(sudoku, [SUDOKU_FORMS[form]] * 2) == ids(sudoku, PUZZLE) * 2


def test_a_series_of_pandas_is_several_puzzles_and_half_precision_is_no_board(sudoku):
    assert ids(sudoku, pd.Series([PUZZLE, PUZZLE])) == ids(sudoku, PUZZLE) * 2
    with pytest.raises(TypeError, match="is 5.0; in a list or array a cell is an integer"):
        sudoku(torch.tensor(INTEGERS).to(torch.bfloat16))


def test_forms_mix_in_one_list(sudoku):
    assert ids(sudoku, [PUZZLE, INTEGERS, SUDOKU_FORMS["array"]]) == ids(sudoku, PUZZLE) * 3


def test_3d_arrays_and_arrays_of_strings_are_several_puzzles(sudoku):
    assert ids(sudoku, np.array([INTEGERS, INTEGERS])) == ids(sudoku, PUZZLE) * 2
    assert ids(sudoku, torch.tensor([INTEGERS])) == ids(sudoku, PUZZLE)
    assert ids(sudoku, np.array([PUZZLE, PUZZLE])) == ids(sudoku, PUZZLE) * 2


def test_as_many_strings_as_rows_are_several_puzzles_if_they_are_not_row_long(sudoku):
    assert len(ids(sudoku, [PUZZLE] * 9)) == 9


def test_letters_of_16x16_may_be_lower_case():
    processor = HRMGridProcessor.for_sudoku(16)
    line = "ABCDEFG" + "." * 249
    assert ids(processor, line) == ids(processor, line.lower())
    assert ids(processor, line)[0][:7] == [11, 12, 13, 14, 15, 16, 17]


def test_blank_sudoku_is_legal(sudoku):
    assert ids(sudoku, "." * 81) == [[1] * 81]


MAZE_FORMS = {
    "line": MAZE,
    "lines": "\n".join(MAZE_ROWS),
    "text block": "\n" + "\r\n".join(MAZE_ROWS) + "\r\n",
    "row strings": MAZE_ROWS,
    "characters": [list(row) for row in MAZE_ROWS],
    "array of characters": np.array([list(row) for row in MAZE_ROWS]),
}


@pytest.mark.parametrize("form", MAZE_FORMS)
def test_every_maze_form_gives_the_same_tokens(maze, form):
    assert ids(maze, MAZE_FORMS[form]) == ids(maze, MAZE)
    assert ids(maze, [MAZE_FORMS[form]] * 2) == ids(maze, MAZE) * 2


ARC_FORMS = {
    "lists": GRID,
    "array": np.array(GRID),
    "tensor": torch.tensor(GRID),
    "pair": {"input": GRID, "output": [[1]]},
    "pair without output": {"input": GRID},
    "task": {"train": [], "test": [{"input": GRID}]},
    "JSON grid": json.dumps(GRID),
    "JSON task": json.dumps({"train": [], "test": [{"input": GRID}]}),
}


@pytest.mark.parametrize("form", ARC_FORMS)
def test_every_arc_form_gives_the_same_tokens(arc, form):
    assert ids(arc, ARC_FORMS[form]) == ids(arc, GRID)
    assert ids(arc, [ARC_FORMS[form]] * 2) == ids(arc, GRID) * 2


def test_arc_task_stands_for_all_its_test_inputs(arc):
    assert ids(arc, TASK) == ids(arc, [GRID, [[3]]])


def test_arc_outputs_become_labels_only_when_given_as_answers(arc):
    assert "labels" not in arc(TASK)
    labels = arc(TASK, answers=TASK)["labels"]
    assert torch.equal(labels, arc([GRID, [[3]]], answers=[[[5]], [[4, 4]]])["labels"])


# --- what comes out -----------------------------------------------------------------------------------------


def test_output_is_int64_with_one_row_for_each_puzzle(sudoku):
    inputs = sudoku([PUZZLE, PUZZLE], answers=[ANSWER, ANSWER])
    assert {name: tuple(tensor.shape) for name, tensor in inputs.items()} == {
        "input_ids": (2, 81),
        "puzzle_identifiers": (2,),
        "labels": (2, 81),
    }
    assert all(tensor.dtype == torch.int64 for tensor in inputs.values())
    assert set(inputs) == set(sudoku.model_input_names)


def test_return_tensors_chooses_torch_numpy_or_lists(sudoku):
    array = sudoku(PUZZLE, return_tensors="np")["input_ids"]
    assert isinstance(array, np.ndarray) and array.dtype == np.int64
    assert sudoku(PUZZLE, return_tensors=None)["puzzle_identifiers"] == [0]


# --- puzzle identifiers -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def named_arc():
    return HRMGridProcessor("arc", 4, 4, puzzle_identifiers={"007bbfb7": 1, "00d62c1b": 4})


def test_identifiers_are_names_or_numbers_one_for_each_or_one_for_all(named_arc):
    assert named_arc.num_puzzle_identifiers == 5
    assert named_arc([GRID, GRID], identifiers=["00d62c1b", 1])["puzzle_identifiers"].tolist() == [4, 1]
    assert named_arc([GRID, GRID], identifiers="007bbfb7")["puzzle_identifiers"].tolist() == [1, 1]
    assert named_arc([GRID, GRID], identifiers=torch.tensor([0, 4]))["puzzle_identifiers"].tolist() == [0, 4]


def test_all_test_inputs_of_a_task_get_its_identifier(named_arc):
    inputs = named_arc([GRID, TASK], identifiers=[1, 4])
    assert inputs["puzzle_identifiers"].tolist() == [1, 4, 4]


@pytest.mark.parametrize("identifier", ["ffffffff", 5, -1])
def test_unknown_identifier_is_refused_because_it_would_score_zero(named_arc, identifier):
    with pytest.raises(ValueError, match=r"only knows 5 identifiers .* scores 0 %"):
        named_arc(GRID, identifiers=identifier)


def test_model_with_named_puzzles_wants_an_identifier(named_arc):
    with pytest.raises(ValueError, match="No identifiers were given"):
        named_arc(GRID)


def test_identifiers_of_a_wrong_number_or_type_are_refused(named_arc):
    with pytest.raises(ValueError, match="3 identifiers for 1 puzzles"):
        named_arc(GRID, identifiers=[1, 1, 1])
    with pytest.raises(TypeError, match="1.5 is a float"):
        named_arc(GRID, identifiers=1.5)


# --- decoding -----------------------------------------------------------------------------------------------


def test_sudoku_round_trips_in_every_format(sudoku):
    tokens = sudoku(PUZZLE)["input_ids"]
    for format in ("line", "grid", "pretty"):
        board = sudoku.batch_decode(tokens, format=format)[0]
        assert ids(sudoku, board) == tokens.tolist()
    assert sudoku.decode(tokens[0]) == PUZZLE
    assert sudoku.decode(tokens[0].tolist(), format="grid") == INTEGERS


def test_maze_round_trips_in_every_format(maze):
    tokens = maze(MAZE)["input_ids"]
    assert maze.batch_decode(tokens) == [MAZE]
    assert maze.decode(tokens[0], format="grid") == [list(row) for row in MAZE_ROWS]
    assert maze.decode(tokens[0], format="pretty") == "\n".join(MAZE_ROWS)


def test_arc_round_trips_as_json_and_as_rows(arc):
    tokens = arc(GRID)["input_ids"][0]
    assert arc.decode(tokens) == "[[0,1,2],[7,8,9]]"
    assert arc.decode(tokens, format="grid") == GRID
    assert arc.decode(tokens, format="pretty") == "0 1 2\n7 8 9"


def test_labels_decode_like_predictions(arc):
    assert arc.batch_decode(arc(GRID, answers=GRID)["labels"], format="grid") == [GRID]


def test_tokens_that_are_no_cell_never_become_a_digit(sudoku, maze):
    assert sudoku.decode([0, 1] + [2] * 79) == ".." + "1" * 79
    assert sudoku.decode([0] * 81, format="grid") == [[0] * 9] * 9
    assert maze.decode([0] * 25) == "?" * 25


@pytest.mark.parametrize(
    ("tokens", "grid"),
    [
        ([0] * 16, []),
        ([1] + [2] * 15, []),
        ([2] * 16, [[0] * 4] * 4),
        # a row of 4 and a column of 4 tie, as do 2 x 2 and 1 x 4: the fewest rows win
        ([2, 2, 2, 2, 2, 1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1], [[0, 0, 0, 0]]),
        ([2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [[0, 0, 0, 0]]),
        # cells after a hole do not count
        ([2, 2, 1, 2, 2, 2, 2, 2, 3, 3, 0, 0, 1, 1, 1, 1], [[0, 0], [0, 0], [1, 1]]),
    ],
)
def test_arc_prediction_is_cropped_to_the_largest_rectangle_of_colors(arc, tokens, grid):
    assert arc.decode(tokens, format="grid") == grid
    assert arc.decode(tokens) == json.dumps(grid, separators=(",", ":"))


def test_prediction_without_a_grid_says_so(arc):
    assert arc.decode([0] * 16, format="pretty") == "(no grid)"


def test_pretty_sudoku_shows_boxes_and_brackets_clues():
    processor = HRMGridProcessor.for_sudoku(6)
    puzzle, answer = "1" + "." * 35, "123456456123214365365214531642642531"
    assert processor.pretty(answer).splitlines()[:3] == ["1 2 3 | 4 5 6", "4 5 6 | 1 2 3", "------+------"]
    drawing = processor.pretty(answer, given=puzzle).splitlines()
    assert drawing[0] == "[1] 2  3  |  4  5  6 "
    assert drawing[2] == "----------+----------"


def test_bad_tokens_are_refused(sudoku):
    with pytest.raises(ValueError, match="token id 11; the sudoku vocabulary is 0-10"):
        sudoku.decode([11] * 81)
    with pytest.raises(ValueError, match=r"shape \(80,\); expected \(81,\)"):
        sudoku.decode([1] * 80)
    with pytest.raises(ValueError, match=r"shape \(81,\); expected \(boards, 81\)"):
        sudoku.batch_decode([1] * 81)
    with pytest.raises(ValueError, match="rows of unequal length; each must have 81 ids"):
        sudoku.batch_decode([[1] * 81, [1] * 80])
    with pytest.raises(TypeError, match="float32; expected integers"):
        sudoku.decode(torch.ones(81))
    with pytest.raises(ValueError, match="format='html' is not allowed"):
        sudoku.decode([1] * 81, format="html")


# --- verdicts -----------------------------------------------------------------------------------------------


def changed(line: str, index: int, cell: str) -> str:
    return line[:index] + cell + line[index + 1 :]


def test_right_sudoku_answer_is_solved(sudoku):
    verdict = sudoku.check(PUZZLE, ANSWER)
    assert verdict.solved and bool(verdict)
    assert sudoku.check("." * 81, ANSWER)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (changed(ANSWER, 0, "1"), "the clue 5 in row 1, column 1 became 1"),
        (changed(ANSWER, 80, "."), "the clue 9 in row 9, column 9 became blank"),
        (PUZZLE, "row 1, column 3 is blank (blank cells: 51)"),
        (changed(ANSWER, 2, "5"), "row 1 has two 5s"),
        # two cells of row 1 swapped: all rows stay right
        (changed(changed(ANSWER, 2, "6"), 3, "4"), "column 3 has two 6s"),
    ],
)
def test_wrong_sudoku_answer_has_its_first_broken_rule_named(sudoku, answer, reason):
    assert sudoku.check(PUZZLE, answer) == Verdict(solved=False, reason=reason)


def test_broken_box_is_named_by_its_rows_and_columns():
    latin_square = "1234" + "2341" + "3412" + "4123"
    verdict = HRMGridProcessor.for_sudoku(4).check("." * 16, latin_square)
    assert verdict.reason == "the box of rows 1-2 and columns 1-2 has two 2s"


def test_boxes_of_6x6_are_two_rows_by_three_columns_unless_given():
    answer = "123456456123214365365214531642642531"
    assert HRMGridProcessor.for_sudoku(6).check("." * 36, answer)
    tall = HRMGridProcessor("sudoku", 6, 6, box_height=3, box_width=2)
    assert tall.check("." * 36, answer).reason == "the box of rows 1-3 and columns 1-2 has two 1s"


def test_right_maze_answers_are_solved(maze):
    verdict = maze.check(MAZE, MAZE_ANSWER)
    assert verdict == Verdict(True, "the path leads from S to G in the fewest steps (4)")
    assert maze.check(MAZE, "######Soo## #o##  G######")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("######So ##oo ##  G######", "row 3, column 3 was '#' and became 'o'"),
        ("###### So## #o##  G######", "row 2, column 2 was 'S' and became ' '"),
        (MAZE, "the path does not lead from S (row 2, column 2) to G (row 4, column 4)"),
        (
            changed(MAZE_ANSWER, 16, " "),
            "the path does not lead from S (row 2, column 2) to G (row 4, column 4)",
        ),
        (changed(MAZE_ANSWER, 7, "o"), "row 2, column 3 is a stray path cell (stray cells: 1)"),
        ("?" * 25, "row 1, column 1 was '#' and became '?'"),
    ],
)
def test_wrong_maze_answer_has_its_first_broken_rule_named(maze, answer, reason):
    assert maze.check(MAZE, answer) == Verdict(solved=False, reason=reason)


def test_maze_path_must_be_the_shortest():
    processor = HRMGridProcessor.for_maze(3, 3)
    verdict = processor.check("S G" + "   " + "   ", "S G" + "o o" + "ooo")
    assert verdict.reason == "the path takes 6 steps, the shortest 2"


def test_maze_path_does_not_wrap_around_the_edge():
    processor = HRMGridProcessor.for_maze(2, 3)
    assert processor.check("##SG##", "##SG##").reason == "this maze has no path from S to G"


def test_arc_answer_is_judged_by_the_truth(arc):
    assert arc.check(GRID, [[5, 6]], truth=[[5, 6]])
    assert arc.check(GRID, [[5, 6]], truth=[[5], [6]]).reason == "the grid is 1x2, expected 2x1"
    assert arc.check(GRID, [[5, 6]], truth=[[5, 7]]).reason == ("row 1, column 2 is 6, expected 7 (wrong cells: 1)")
    assert arc.check(GRID, arc.decode([0] * 16, "grid"), truth=[[5]]).reason == "the prediction has no grid"


def test_truth_is_for_arc_and_for_arc_only(arc, sudoku):
    with pytest.raises(ValueError, match="give the expected grid as truth"):
        arc.check(GRID, GRID)
    with pytest.raises(ValueError, match="checked by its rules"):
        sudoku.check(PUZZLE, ANSWER, truth=ANSWER)


def test_check_batch_judges_tokens_as_check_judges_boards(sudoku, maze, arc):
    inputs = sudoku([PUZZLE, PUZZLE], [ANSWER, ANSWER])
    predictions = inputs["labels"].clone()
    predictions[1, 2] = 6
    verdicts = sudoku.check_batch(inputs["input_ids"], predictions)
    assert [verdict.solved for verdict in verdicts] == [True, False]
    assert verdicts[1].reason == "row 1 has two 5s"

    inputs = maze([MAZE], [MAZE_ANSWER])
    assert maze.check_batch(inputs["input_ids"], inputs["labels"])[0].solved

    inputs = arc(TASK, answers=TASK)
    verdicts = arc.check_batch(inputs["input_ids"], inputs["labels"].flip(0), truth=inputs["labels"])
    assert [verdict.reason for verdict in verdicts] == [
        "the grid is 1x2, expected 1x1",
        "the grid is 1x1, expected 1x2",
    ]


def test_check_batch_refuses_unequal_numbers_of_rows(sudoku):
    tokens = sudoku([PUZZLE, PUZZLE])["input_ids"]
    with pytest.raises(ValueError, match="predictions has 1 rows, but input_ids has 2"):
        sudoku.check_batch(tokens, tokens[:1])


# --- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("puzzle", "message"),
    [
        (PUZZLE[:-1], r"^The puzzle: it has 80 cells; a 9x9 Sudoku has 81"),
        ([PUZZLE, PUZZLE + "1"], r"^Puzzle 2 of 2: it has 82 cells"),
        ("", r"it has 0 cells"),
        (
            changed(PUZZLE, 12, "x"),
            r"illegal character 'x' in row 2, column 4; a cell is a digit 1-9, or a blank",
        ),
        (changed(PUZZLE, 12, "٣"), r"illegal character '٣' in row 2, column 4"),
        (changed(PUZZLE, 2, "5"), r"row 1 has two 5s, so no answer exists; correct the clues"),
        (changed(PUZZLE, 40, "3"), r"row 5 has two 3s"),
        ([], r"There is no puzzle: the list is empty"),
        ([[]], r"it has 1 rows"),
        (INTEGERS[:8], r"it has 8 rows; a 9x9 Sudoku has 9"),
        (
            [*INTEGERS[:3], INTEGERS[3][:-1], *INTEGERS[4:]],
            r"row 4 has 8 cells; a 9x9 Sudoku has 9 in each row",
        ),
        # the expected number of cells, but not in rows of nine
        ("\n".join([PUZZLE[:10], PUZZLE[10:18], *rows_of(PUZZLE[18:])]), r"row 1 has 10 cells"),
        (
            [[10] + [0] * 8] + [[0] * 9] * 8,
            r"row 1, column 1 is 10; in a list or array a cell is an integer 0-9",
        ),
        (np.full((9, 9), -1), r"row 1, column 1 is -1"),
        (np.zeros((9, 8), dtype=int), r"row 1 has 8 cells"),
        (np.zeros(81, dtype=int), r"array of shape \(81,\); give one board"),
    ],
)
def test_bad_sudoku_is_refused_with_its_place(sudoku, puzzle, message):
    with pytest.raises(ValueError, match=message):
        sudoku(puzzle)


@pytest.mark.parametrize(
    ("puzzle", "message"),
    [
        (None, "The puzzle is None"),
        (5, r"The puzzle is 5 \(int\)"),
        ([0] * 81, "flat list that starts with 0"),
        ({"input": GRID}, "is not a board"),
        (np.zeros((9, 9)), "row 1, column 1 is 0.0"),
        ([[True] * 9] * 9, "row 1, column 1 is True"),
    ],
)
def test_sudoku_of_a_wrong_type_is_refused(sudoku, puzzle, message):
    with pytest.raises(TypeError, match=message):
        sudoku(puzzle)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ANSWER[:-1], "The answer: it has 80 cells"),
        ([ANSWER, ANSWER], "There are 2 answers for 1 puzzles"),
        (PUZZLE, "row 1, column 3 is blank"),
        (changed(ANSWER, 0, "9"), "the clue 5 in row 1, column 1 became 9"),
        (changed(ANSWER, 2, "5"), "row 1 has two 5s; a label must be the full, right solution"),
    ],
)
def test_bad_sudoku_answer_is_refused(sudoku, answer, message):
    with pytest.raises(ValueError, match=message):
        sudoku(PUZZLE, answers=answer)


def test_rules_are_not_checked_when_the_caller_says_so(sudoku):
    inputs = sudoku(changed(PUZZLE, 2, "5"), answers=PUZZLE, check_rules=False)
    assert inputs["input_ids"][0, 2] == 6


@pytest.mark.parametrize(
    ("puzzle", "message"),
    [
        (MAZE.replace("S", " "), "it has 0 cells S; a maze has exactly one S and one G"),
        (changed(MAZE, 7, "G"), "it has 2 cells G"),
        (changed(MAZE, 7, "."), "illegal character '.' in row 2, column 3"),
        (changed(MAZE, 7, "?"), r"illegal character '\?' in row 2, column 3"),
        (MAZE_ANSWER, "row 3, column 2 is already path"),
        (MAZE[:-1], "it has 24 cells; a 5x5 maze has 25"),
        ("\n".join(MAZE_ROWS[:4] + ["####"]), "row 5 has 4 cells; a 5x5 maze has 5 in each row"),
        ([MAZE_ROWS[:2]], "it has 2 rows; a 5x5 maze has 5"),
        ([[*"####", ""], *map(list, MAZE_ROWS[1:])], "row 1, column 5 is ''"),
    ],
)
def test_bad_maze_is_refused_with_its_place(maze, puzzle, message):
    with pytest.raises(ValueError, match=message):
        maze(puzzle)


def test_maze_of_numbers_is_refused(maze):
    with pytest.raises(TypeError, match="row 1, column 1 is 1"):
        maze(np.ones((5, 5), dtype=int))


def test_maze_answer_of_another_maze_is_refused(maze):
    with pytest.raises(ValueError, match="row 1, column 1 was '#' and became ' '"):
        maze(MAZE, answers=changed(MAZE_ANSWER, 0, " "))


@pytest.mark.parametrize(
    ("puzzle", "error", "message"),
    [
        ([[1, 10]], ValueError, "row 1, column 2 is 10; a cell is a color"),
        ([[-1]], ValueError, "row 1, column 1 is -1"),
        ([[1.0]], TypeError, "row 1, column 1 is 1.0"),
        ([[1, 2], [3]], ValueError, "row 2 has 1 cells and row 1 has 2"),
        ([[]], ValueError, "the grid is empty"),
        ([], ValueError, "the list is empty"),
        ([[0] * 5], ValueError, "the grid is 1x5; the canvas has room for at most 4x4"),
        ("not json", ValueError, "'not json' is not JSON"),
        ("7", TypeError, "The puzzle is 7"),
        ({"output": GRID}, ValueError, 'no "input"'),
        ({"train": [], "test": []}, ValueError, r'"test" is \[\]; give a list of at least one pair'),
    ],
)
def test_bad_arc_grid_is_refused(arc, puzzle, error, message):
    with pytest.raises(error, match=message):
        arc(puzzle)


def test_arc_answer_without_output_is_refused(arc):
    with pytest.raises(ValueError, match='no "output"'):
        arc({"input": GRID}, answers={"input": GRID})


def test_check_and_pretty_take_one_board(arc, sudoku):
    with pytest.raises(ValueError, match="There are 2 boards; give one puzzle here"):
        arc.check(TASK, GRID, truth=GRID)
    with pytest.raises(ValueError, match="There are 2 boards"):
        sudoku.pretty([PUZZLE, PUZZLE])


def test_unknown_return_type_is_refused(sudoku):
    with pytest.raises(ValueError, match="return_tensors='tf' is not allowed"):
        sudoku(PUZZLE, return_tensors="tf")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"task": "chess", "height": 8, "width": 8}, ValueError, "task='chess' is not allowed"),
        ({"task": "sudoku", "height": 5, "width": 5}, ValueError, "must be 4, 6, 9 or 16"),
        ({"task": "sudoku", "height": 9, "width": 4}, ValueError, "height=9 and width=4"),
        ({"task": "maze", "height": 0, "width": 4}, ValueError, "height=0 is not allowed"),
        ({"task": "maze", "height": 4, "width": "4"}, ValueError, "width='4' is not allowed"),
        ({"task": "maze", "height": 4, "width": 4, "box_height": 2}, ValueError, "only a Sudoku has boxes"),
        (
            {"task": "sudoku", "height": 6, "width": 6, "box_height": 2},
            ValueError,
            "do not have room for the 6 digits",
        ),
        (
            {"task": "sudoku", "height": 9, "width": 9, "box_height": 1, "box_width": 8},
            ValueError,
            "do not have room for the 9 digits",
        ),
        ({"task": "arc", "height": 4, "width": 4, "puzzle_identifiers": ["a"]}, TypeError, "is a list"),
        ({"task": "arc", "height": 4, "width": 4, "puzzle_identifiers": {"a": 0}}, ValueError, "'a': 0"),
        (
            {"task": "arc", "height": 4, "width": 4, "puzzle_identifiers": {"a": 1, "b": 1}},
            ValueError,
            "gives 1 to",
        ),
    ],
)
def test_processor_that_cannot_be_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        HRMGridProcessor(**arguments)


# --- saving and loading -------------------------------------------------------------------------------------

PROCESSORS = {
    "sudoku 9": HRMGridProcessor.for_sudoku(),
    "sudoku 6 with tall boxes": HRMGridProcessor("sudoku", 6, 6, box_height=3, box_width=2),
    "maze": HRMGridProcessor.for_maze(),
    "arc": HRMGridProcessor.for_arc({"<blank>": 0, "007bbfb7": 1, "00d62c1b": 2}),
    "numpy sizes": HRMGridProcessor("maze", np.int64(5), np.int64(7), puzzle_identifiers={"a": np.int64(1)}),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_class_loads_what_it_saved(tmp_path, name):
    PROCESSORS[name].save_pretrained(tmp_path)
    loaded = HRMGridProcessor.from_pretrained(tmp_path)
    assert repr(loaded) == repr(PROCESSORS[name])
    assert loaded.to_dict() | {"auto_map": None} == PROCESSORS[name].to_dict() | {"auto_map": None}


def test_saved_folder_has_the_code_and_says_how_to_load_it(tmp_path):
    PROCESSORS["arc"].save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "processor_config.json").read_text())
    assert saved["auto_map"] == {"AutoProcessor": "processing_hrm.HRMGridProcessor"}
    assert saved["puzzle_identifiers"] == {"<blank>": 0, "007bbfb7": 1, "00d62c1b": 2}
    assert (tmp_path / "processing_hrm.py").read_text() == Path(processing_hrm.__file__).read_text()


def test_auto_processor_loads_and_saves_again_where_the_project_is_not_installed(tmp_path):
    PROCESSORS["sudoku 6 with tall boxes"].save_pretrained(tmp_path / "first")
    script = """
import sys
from transformers import AutoProcessor
processor = AutoProcessor.from_pretrained("first", trust_remote_code=True)
processor.save_pretrained("second")
processor = AutoProcessor.from_pretrained("second", trust_remote_code=True)
print(type(processor).__module__.split(".")[0], "processing_hrm" in sys.modules, processor)
print(processor(["." * 36])["input_ids"].tolist() == [[1] * 36])
"""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HF_HOME": str(tmp_path / "hf_home"), "HF_HUB_OFFLINE": "1"}
    # -P: the working directory is not importable, so the code can only come from the saved folder
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"transformers_modules False {PROCESSORS['sudoku 6 with tall boxes']}",
        "True",
    ]


def test_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no processor_config.json with task, height, width"):
        HRMGridProcessor.from_pretrained(tmp_path)
