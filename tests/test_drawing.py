"""Pictures: what is drawn where, read back from the figure; and the explorer on data sets of every kind."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from hrm_hf.colors import ARC_FILLS
from hrm_hf.data.explorer import explore
from hrm_hf.drawing import draw_board, draw_puzzle, draw_puzzles, draw_texts, draw_thinking
from hrm_hf.puzzles.arc.build import build_arc
from hrm_hf.puzzles.arc.drawing import draw_arc_task
from hrm_hf.puzzles.arc.tasks import ArcPair, ArcTask
from hrm_hf.puzzles.maze.build import build_maze
from hrm_hf.puzzles.rows import load_rows
from hrm_hf.puzzles.sudoku.build import build_sudoku
from hrm_hf.text.build import build_text
from processing_hrm import HRMGridProcessor


PUZZLE, ANSWER = "12..34..2143432.", "1234341221434321"
MAZE, PATH = "S #\n  #\n# G", "S #\noo#\n#oG"
RED = "#b42318"


def tokens(processor: HRMGridProcessor, board: str) -> torch.Tensor:
    return processor(board, check_rules=False)["input_ids"][0]


def texts(axes) -> list[tuple[str, str]]:
    """The texts of the cells, row by row, with their colors."""
    return [(text.get_text(), text.get_color()) for text in axes.texts if text.get_text()]


def fills(axes) -> np.ndarray:
    """Colors of the cells."""
    (image,) = axes.images
    return np.array([[to_hex(cell) for cell in row] for row in image.get_array()])


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() or axes.get_title(loc="left") for axes in figure.axes]


# --- boards


def test_a_sudoku_has_its_clues_and_what_is_wrong_in_red():
    processor = HRMGridProcessor.for_sudoku(4)
    wrong = "1244" + ANSWER[4:]
    axes = Figure().subplots()
    draw_board(axes, processor, tokens(processor, wrong), tokens(processor, PUZZLE), tokens(processor, ANSWER))
    written = texts(axes)
    assert "".join(symbol for symbol, _ in written) == wrong
    assert [cell for cell, (_, color) in enumerate(written) if color == RED] == [2]
    bold = [cell for cell, text in enumerate(axes.texts) if text.get_fontweight() == "bold"]
    assert bold == [cell for cell, symbol in enumerate(PUZZLE) if symbol != "."]
    # the fills lie under the clues and under the wrong cell
    filled = {(int(patch.get_y()), int(patch.get_x())) for patch in axes.patches}
    assert filled == {divmod(cell, 4) for cell, symbol in enumerate(PUZZLE) if symbol != "." or cell == 2}


def test_digits_over_nine_are_the_letters_of_the_text_form():
    processor = HRMGridProcessor.for_sudoku(16)
    axes = Figure().subplots()
    draw_board(axes, processor, tokens(processor, "9ABCDEFG" + "." * 248))
    assert "".join(symbol for symbol, _ in texts(axes)) == "9ABCDEFG"


def test_a_maze_has_a_color_for_every_kind_of_cell():
    processor = HRMGridProcessor.for_maze(3, 3)
    axes = Figure().subplots()
    draw_board(axes, processor, tokens(processor, PATH))
    drawn = fills(axes)
    kinds = {}
    for symbol, color in zip(PATH.replace("\n", ""), drawn.reshape(-1), strict=True):
        assert kinds.setdefault(symbol, color) == color
    assert len(set(kinds.values())) == len(kinds) == 5
    assert [symbol for symbol, _ in texts(axes)] == ["S", "G"]


def test_a_wrong_path_is_red_and_what_is_missing_of_it_light_red():
    processor = HRMGridProcessor.for_maze(3, 3)
    axes = Figure().subplots()
    draw_board(axes, processor, tokens(processor, "So#\no #\n#oG"), labels=tokens(processor, PATH))
    drawn = fills(axes)
    assert drawn[0, 1] == RED
    assert drawn[1, 1] == "#fde2df"
    assert drawn[1, 0] == drawn[2, 1] == "#6ba3e0"


def test_an_arc_grid_has_the_colors_of_the_viewer_and_frames_around_wrong_cells():
    processor = HRMGridProcessor.for_arc()
    axes = Figure().subplots()
    board, truth = (processor([grid])["input_ids"][0] for grid in ([[0, 1, 2], [3, 4, 5]], [[0, 1, 2], [3, 4, 9]]))
    draw_board(axes, processor, board, labels=truth)
    assert fills(axes).tolist() == [list(ARC_FILLS[:3]), list(ARC_FILLS[3:6])]
    assert {tuple(map(int, patch.get_xy())) for patch in axes.patches} == {(2, 1)}


def test_an_arc_prediction_without_a_grid_says_so():
    processor = HRMGridProcessor.for_arc()
    axes = Figure().subplots()
    draw_board(axes, processor, torch.zeros(900, dtype=torch.long))
    assert [symbol for symbol, _ in texts(axes)] == ["no grid"]


# --- figures


def test_input_label_and_prediction_side_by_side_with_a_verdict():
    processor = HRMGridProcessor.for_sudoku(4)
    puzzle, answer = tokens(processor, PUZZLE), tokens(processor, ANSWER)
    assert titles(draw_puzzle(processor, puzzle)) == ["puzzle"]
    assert titles(draw_puzzle(processor, puzzle, answer, answer)) == ["puzzle", "answer", "prediction: right"]
    wrong = answer.clone()
    wrong[:3] = answer[:3].roll(1)
    figure = draw_puzzle(processor, puzzle, answer, wrong)
    assert titles(figure)[2] == "prediction: 3 wrong"
    assert sum(color == RED for _, color in texts(figure.axes[2])) == 3


def test_padding_is_not_counted_as_wrong():
    processor = HRMGridProcessor.for_arc()
    example = processor([[[1, 2]]], [[[2, 1]]])
    prediction = example["labels"][0].clamp(min=0)
    prediction[500:] = 7
    figure = draw_puzzle(processor, example["input_ids"][0], example["labels"][0], prediction)
    assert titles(figure)[2] == "prediction: right"


def test_several_puzzles_are_columns():
    processor = HRMGridProcessor.for_sudoku(4)
    puzzles = torch.stack([tokens(processor, PUZZLE)] * 3)
    answers = torch.stack([tokens(processor, ANSWER)] * 3)
    figure = draw_puzzles(processor, puzzles, answers, titles=["a", "b", "c"])
    assert titles(figure) == ["a", "b", "c", "answer", "answer", "answer"]
    with pytest.raises(ValueError, match="no puzzle to draw"):
        draw_puzzles(processor, [])


def test_thinking_has_a_panel_a_segment():
    processor = HRMGridProcessor.for_sudoku(4)
    puzzle, answer = tokens(processor, PUZZLE), tokens(processor, ANSWER)
    figure = draw_thinking(processor, puzzle, [puzzle, answer], [0.25, 0.99], answer)
    assert titles(figure) == ["puzzle", "segment 1: 25% sure", "segment 2: 99% sure"]
    with pytest.raises(ValueError, match="2 boards and 1 probabilities"):
        draw_thinking(processor, puzzle, [puzzle, answer], [0.5])


def test_an_arc_task_has_a_column_a_pair_and_its_attempts_below():
    grid, other = np.array([[1, 2]], dtype=np.uint8), np.array([[3], [4]], dtype=np.uint8)
    task = ArcTask("t", "s", "evaluation", (ArcPair(grid, other),), (ArcPair(other, grid),))
    assert titles(draw_arc_task(task)) == ["example 1", "test 1", "output", "output"]
    figure = draw_arc_task(task, attempts=[[other, grid]])
    assert titles(figure)[4:] == ["", "attempt 1: wrong", "", "attempt 2: right"]
    assert fills(figure.axes[3]).tolist() == [[ARC_FILLS[1], ARC_FILLS[2]]]
    with pytest.raises(ValueError, match="attempts for 2 test pairs, but t has 1"):
        draw_arc_task(task, attempts=[[grid], [grid]])


def test_texts_are_cut_and_wrapped():
    figure = draw_texts(["word " * 50, "cost: $5 and $6"], ["one", "two"], characters=205)
    shown = [axes.texts[0].get_text() for axes in figure.axes]
    assert shown[0].endswith("...") and max(map(len, shown[0].splitlines())) <= 100
    assert shown[1] == r"cost: \$5 and \$6"
    figure.canvas.draw()


# --- explorer


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("explored")
    build_sudoku(root / "sudoku", size=4, num_train=6, num_test=4)
    build_maze(root / "maze", height=5, width=6, num_train=6, num_test=4)
    tasks = root / "tasks"
    tasks.mkdir()
    for number in range(2):
        # with another width in each task, or one would equal the other under its symmetries
        pairs = [{"input": [[color] * (number + 2) + [1]], "output": [[1], [color]]} for color in (3, 5, 7)]
        (tasks / f"task{number}.json").write_text(json.dumps({"train": pairs[:2], "test": pairs[2:]}))
    build_arc(root / "arc", evaluation=[tasks], num_aug=3)
    text = root / "book.txt"
    text.write_text("\n\n".join(f"The king said {number}." for number in range(200)))
    build_text(root / "text", [str(text)], train_bpe=300, block_size=64, document_separator=r"\n\n")
    return {name: str(root / name) for name in ("sudoku", "maze", "arc", "text")}


def test_the_cards_have_a_picture(folders):
    for folder in folders.values():
        card = (Path(folder) / "README.md").read_text()
        assert "(samples.png)" in card
        assert (Path(folder) / "samples.png").read_bytes().startswith(b"\x89PNG")


def test_rows_of_boards(folders):
    figure = explore(folders["sudoku"], "test", rows=[3, 0])
    assert [title.split(",")[0] for title in titles(figure)] == ["row 3", "row 0", "answer", "answer"]
    rows = load_rows(folders["sudoku"], "test")
    written = ["".join(symbol for symbol, _ in texts(axes)) for axes in figure.axes[2:]]
    assert written == [rows[3]["answer"], rows[0]["answer"]]
    assert fills(explore(folders["maze"], "train", [5]).axes[0]).shape == (5, 6)


def test_predictions_beside_the_answers(folders):
    def copy_the_puzzle(input_ids, puzzle_identifiers):
        assert input_ids.shape == (2, 16) and puzzle_identifiers.shape == (2,)
        return input_ids

    figure = explore(folders["sudoku"], "test", [0, 1], predict=copy_the_puzzle)
    assert all(title.startswith("prediction: ") and title.endswith(" wrong") for title in titles(figure)[4:])


def test_arc_tasks_and_their_augmentations(folders):
    plain, turned = explore(folders["arc"], "test", [1]), explore(folders["arc"], "test", [1], member=2)
    assert plain.get_suptitle() == "task1 (tasks, evaluation)"
    assert turned.get_suptitle().startswith("task1_t")
    assert titles(plain) == titles(turned) == ["example 1", "example 2", "test 1", "output", "output", "output"]
    assert [fills(axes).tolist() for axes in plain.axes] != [fills(axes).tolist() for axes in turned.axes]

    def always_one(input_ids, puzzle_identifiers):
        assert puzzle_identifiers.min() > 0
        return torch.full_like(input_ids, 3)

    assert titles(explore(folders["arc"], "test", [0], predict=always_one))[-1] == "attempt 1: wrong"


def test_blocks_of_text(folders):
    figure = explore(folders["text"], "train", [0, 1])
    assert titles(figure)[0].startswith("block 0: 64 tokens, ")
    assert "The king said" in figure.axes[0].texts[0].get_text()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("sudoku", {"rows": [6]}, "no row 6: .* has the rows 0 to 5"),
        ("sudoku", {"rows": []}, "no rows to draw"),
        ("maze", {"member": 1}, "member=1 is for ARC tasks"),
        ("arc", {"rows": [0, 1]}, "2 rows of .* one at a time"),
        ("arc", {"member": 4000}, "no member 4000 of the task in row 0"),
        ("text", {"predict": lambda *batch: batch[0]}, "is text, and predictions are not drawn for text"),
        ("text", {"split": "test"}, "no split 'test'"),
        ("text", {"rows": [-1]}, "no row -1"),
    ],
)
def test_what_is_not_there_is_said(folders, name, arguments, message):
    with pytest.raises(ValueError, match=message):
        explore(folders[name], **arguments)


def test_a_folder_of_other_files_is_no_data_set(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n1,2,3,4\n")
    with pytest.raises(ValueError, match="cannot be opened as a data set"):
        explore(str(tmp_path))


def test_of_an_arc_task_with_many_pairs_the_first_are_drawn():
    """RE-ARC has a thousand pairs per task, and each takes most of a second."""
    grid = np.zeros((2, 2), dtype=np.uint8)
    task = ArcTask("many", "here", "training", (ArcPair(grid, grid),) * 400, (ArcPair(grid, grid),) * 30)
    figure = draw_arc_task(task, attempts=[[grid]] * 30)
    assert len(figure.axes) == 3 * (10 + 4)
    assert figure.get_suptitle() == "many, the first 10 of 400 examples, the first 4 of 30 tests"
