"""Scores of grid models against hand-computed ones, from a stub whose answers are known."""

import json
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import torch
from accelerate import Accelerator

from hrm_hf.cli import main
from hrm_hf.evaluation.breakdown import by_group, by_rating, draw_segment_curve, segment_curve, write_predictions
from hrm_hf.evaluation.grid import SolvedPuzzles, compare, evaluate_grid, keep_rules, score, solve_puzzles
from hrm_hf.puzzles.sudoku.build import build_sudoku
from hrm_hf.utils.statistics import binomial_interval
from modeling_hrm import HRMForGridTask
from processing_hrm import IGNORE_INDEX, HRMGridProcessor


class Stub:
    """A model: cell c of puzzle p is right from segment `first_right[p][c]`, and it is sure from `sure[p]`."""

    config = SimpleNamespace(halt_max_steps=4, halting="lean", halt_threshold=0.5)

    def __init__(self, labels: torch.Tensor, first_right: list[list[int]], sure: list[int]):
        self.labels, self.first_right, self.sure = labels, torch.tensor(first_right), torch.tensor(sure)

    def solve(
        self, input_ids, identifiers, max_segments=4, early_stop=True, halt_threshold=None, return_history=False
    ):
        rows = input_ids[:, 0]  # the first token is the number of the puzzle
        numbers = torch.arange(1, max_segments + 1)
        boards = torch.where(self.first_right[rows, None, :] <= numbers[None, :, None], self.labels[rows, None], 0)
        probabilities = torch.where(self.sure[rows, None] <= numbers, 0.9, 0.1)
        segments = self.sure[rows].clamp(max=max_segments) if early_stop else torch.full_like(rows, max_segments)
        if early_stop:
            last = torch.minimum(numbers[None], segments[:, None]) - 1
            boards = boards.gather(1, last[:, :, None].expand_as(boards))[:, : int(segments.max())]
            probabilities = probabilities.gather(1, last)[:, : int(segments.max())]
        return SimpleNamespace(
            predictions=boards[:, -1],
            halt_probabilities=probabilities[:, -1],
            segments=segments,
            prediction_history=boards if return_history else None,
            halt_probability_history=probabilities if return_history else None,
        )


@pytest.fixture
def stub_and_puzzles():
    """Right from segment 1; right from 3, but sure at 2 when half right; never right and never sure."""
    input_ids = torch.tensor([[0, 0], [1, 0], [2, 0]])
    labels = torch.tensor([[5, 6], [7, 8], [9, IGNORE_INDEX]])
    stub = Stub(labels, [[1, 1], [1, 3], [9, 1]], sure=[1, 2, 9])
    return stub, {"input_ids": input_ids, "labels": labels, "puzzle_identifiers": torch.zeros(3, dtype=torch.long)}


def test_cells_without_a_label_do_not_count():
    labels = torch.tensor([[3, IGNORE_INDEX, 4], [3, IGNORE_INDEX, 4]])
    exact, cells = compare(torch.tensor([[3, 9, 4], [3, 0, 5]]), labels)
    assert exact.tolist() == [True, False]
    assert cells.tolist() == [1.0, 0.5]


def test_scores_of_a_known_model(stub_and_puzzles):
    stub, puzzles = stub_and_puzzles
    scores = evaluate_grid(stub, puzzles, Accelerator(cpu=True), batch_size=2)
    assert scores.n == 3 and scores.max_segments == 4
    assert scores.exact_accuracy == pytest.approx(1 / 3)
    assert scores.cell_accuracy == pytest.approx((1 + 0.5 + 0) / 3)
    # sure of the first (right), of the second (wrong), unsure of the third (wrong)
    assert scores.halt_accuracy == pytest.approx(2 / 3)
    assert scores.mean_segments == pytest.approx((1 + 2 + 4) / 3)
    assert scores.exact_ci95 == binomial_interval(1 / 3, 3)
    full = evaluate_grid(stub, puzzles, Accelerator(cpu=True), early_stop=False)
    assert full.exact_accuracy == pytest.approx(2 / 3) and full.mean_segments == 4


def test_any_shortest_path_solves_a_maze_but_only_the_expected_one_is_exact():
    processor = HRMGridProcessor.for_maze(3, 3)
    # the expected path, another shortest one, a longer one, and none
    answers = ["Soo  o  G", "S  o  ooG", "Soo ooooG", "S       G"]
    puzzles = processor(["S       G"] * 4, answers=["Soo  o  G"] * 4, return_tensors="pt")
    predictions = processor(["S       G"] * 4, answers=answers, return_tensors="pt")["labels"]
    exact, cells = compare(predictions, puzzles["labels"])
    solved = SolvedPuzzles(exact, cells, torch.ones(4), torch.ones(4).long(), predictions)
    by_rules = keep_rules(solved, puzzles, processor)
    assert by_rules.tolist() == [True, True, False, False]
    scores = score(solved, 1, keeps_rules=by_rules).as_dict()
    assert (scores["exact_accuracy"], scores["solved"]) == (0.25, 0.5)
    # a Sudoku has one solution, so there is nothing more to say
    assert keep_rules(solved, puzzles, HRMGridProcessor.for_sudoku(4)) is None
    assert "solved" not in score(solved, 1).as_dict()


def test_the_interval_is_wilsons():
    # 8 of 10, from the formula by hand
    assert binomial_interval(0.8, 10) == pytest.approx([0.49016, 0.94332], abs=1e-5)
    assert binomial_interval(1.0, 1000)[1] == 1.0
    assert binomial_interval(0.0, 5)[0] == 0.0
    with pytest.raises(ValueError, match="n=0"):
        binomial_interval(0.0, 0)


def test_by_source_and_by_rating():
    solved = SolvedPuzzles(
        exact=torch.tensor([True, False, True, True]),
        cell_accuracy=torch.tensor([1.0, 0.5, 1.0, 1.0]),
        halt_probabilities=torch.tensor([0.9, 0.9, 0.1, 0.9]),
        segments=torch.tensor([1, 4, 2, 3]),
    )
    groups = by_group(solved, ["b", "a", "b", "a"])
    assert [(part.group, part.n, part.exact_accuracy, part.cell_accuracy, part.mean_segments) for part in groups] == [
        ("b", 2, 1.0, 1.0, 1.5),
        ("a", 2, 0.5, 0.75, 3.5),
    ]
    bins = by_rating(solved, [7, 30, 0, 7], num_bins=2)
    assert [(part.group, part.n, part.exact_accuracy) for part in bins] == [("0", 1, 1.0), ("7 to 30", 3, 2 / 3)]
    # equal ratings are one bin, for any number of bins
    assert [(part.group, part.n) for part in by_rating(solved, [5, 5, 5, 5])] == [("5", 4)]
    with pytest.raises(ValueError, match="3 ratings for 4 puzzles"):
        by_rating(solved, [1, 2, 3])
    with pytest.raises(ValueError, match="2 group names for 4 puzzles"):
        by_group(solved, ["a", "b"])
    with pytest.raises(ValueError, match="num_bins=0"):
        by_rating(solved, [1, 2, 3, 4], num_bins=0)


def test_accuracy_against_segments(stub_and_puzzles):
    stub, puzzles = stub_and_puzzles
    curve = segment_curve(stub, puzzles, Accelerator(cpu=True), max_segments=10, batch_size=2)
    assert [point.segments for point in curve] == list(range(1, 11))
    assert [round(3 * point.exact_accuracy) for point in curve] == [1, 1, 2, 2, 2, 2, 2, 2, 3, 3]
    # the second is stopped at segment 2, before it is right; the third never before 9
    assert [round(3 * point.early_stop_exact_accuracy) for point in curve] == [1] * 8 + [2, 2]
    assert [round(3 * point.mean_segments) for point in curve] == [3, 5, 6, 7, 8, 9, 10, 11, 12, 12]
    assert curve[0].cell_accuracy == pytest.approx(1.5 / 3)
    figure = draw_segment_curve(curve, "title")
    lines = figure.axes[0].lines
    assert [label.get_text() for label in figure.axes[0].get_legend().get_texts()][::2] == [
        "exact accuracy",
        "cell accuracy",
    ]
    assert lines[0].get_ydata()[-1] == 1.0 and lines[1].get_xdata()[-1] == 4.0


def test_no_puzzle_is_an_error(stub_and_puzzles):
    stub, puzzles = stub_and_puzzles
    none = {name: tensor[:0] for name, tensor in puzzles.items()}
    for function in (evaluate_grid, solve_puzzles, segment_curve):
        with pytest.raises(ValueError, match="no puzzles to evaluate on"):
            function(stub, none, Accelerator(cpu=True))
    with pytest.raises(ValueError, match="no puzzles to score"):
        score(SolvedPuzzles(*(torch.zeros(0),) * 4), 4)


def test_predictions_as_rows_of_a_file(tmp_path):
    processor = HRMGridProcessor.for_sudoku(4)
    inputs = processor(["12..34..2143432."] * 2, ["1234341221434321"] * 2)
    wrong = inputs["labels"].clone()
    wrong[1, 2:4] = wrong[1, 2:4].flip(0)
    solved = SolvedPuzzles(
        *compare(wrong, inputs["labels"]), torch.tensor([0.75, 0.25]), torch.tensor([2, 9]), predictions=wrong
    )
    write_predictions(tmp_path / "rows.parquet", solved, processor, inputs)
    rows = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    assert rows[0] == {
        "puzzle": "12..34..2143432.",
        "prediction": "1234341221434321",
        "exact": True,
        "cell_accuracy": 1.0,
        "halt_probability": 0.75,
        "segments": 2,
        "keeps_rules": True,
    }
    assert (rows[1]["exact"], rows[1]["keeps_rules"], rows[1]["segments"]) == (False, False, 9)
    assert rows[1]["cell_accuracy"] == pytest.approx(14 / 16)
    assert list(tmp_path.iterdir()) == [tmp_path / "rows.parquet"]
    with pytest.raises(ValueError, match="predictions were not kept"):
        write_predictions(tmp_path / "no.parquet", solved.__class__(*(torch.zeros(1),) * 4), processor, inputs)


def test_the_command_writes_everything(tmp_path, monkeypatch, capsys):
    from configuration_hrm import HRMConfig

    build_sudoku(tmp_path / "data", size=4, num_train=3, num_test=9)
    capsys.readouterr()
    processor = HRMGridProcessor.for_sudoku(4)
    config = HRMConfig(
        vocab_size=processor.vocab_size,
        max_position_embeddings=16,
        hidden_size=16,
        num_attention_heads=2,
        H_layers=1,
        L_layers=1,
        puzzle_emb_ndim=0,
        halting="lean",
        halt_threshold=0.75,
    )
    torch.manual_seed(0)
    HRMForGridTask(config).save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    files = {name: str(tmp_path / name) for name in ("curve.svg", "rows.parquet", "result.json")}
    arguments = ["evaluate", str(tmp_path / "model"), str(tmp_path / "data"), "--max-segments", "3", "--rating-bins"]
    arguments += ["2", "--curve", files["curve.svg"], "--predictions", files["rows.parquet"]]
    monkeypatch.setattr("sys.argv", ["hrm-hf", *arguments, "--output", files["result.json"]])
    with pytest.raises(SystemExit) as exit_info:
        main()
    assert exit_info.value.code == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert json.loads(capsys.readouterr().out) == result
    assert result["halt_threshold"] == 0.75  # the model's own, since none was given
    assert result["layers_per_segment"] == 6  # 2 H cycles of 2 calls of L and one of H, each a layer
    assert result["n"] == 9 and [part["n"] for part in result["by_source"]] == [9]
    assert sum(part["n"] for part in result["by_rating"]) == 9
    assert [point["segments"] for point in result["by_segments"]] == [1, 2, 3]
    assert result["by_segments"][-1]["early_stop_exact_accuracy"] == pytest.approx(result["exact_accuracy"])
    assert pq.read_table(files["rows.parquet"]).num_rows == 9
    assert "<svg" in (tmp_path / "curve.svg").read_text()
