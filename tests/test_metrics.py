"""The `evaluate` modules of metrics/: loaded by path, against values computed by hand, and against the library."""

import doctest
import json
import math
import runpy
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import evaluate
import numpy as np
import pytest
import torch
from huggingface_hub import metadata_load

from hrm_hf.evaluation.grid import compare
from hrm_hf.text.scores import text_scores
from processing_hrm import HRMGridProcessor


METRICS = Path(__file__).parent.parent / "metrics"
NAMES = ("arc_pass_at_k", "bits_per_byte", "cell_accuracy", "exact_accuracy", "maze_validity", "sudoku_validity")
LN2 = math.log(2)
SUDOKU, SUDOKU_ANSWER = "12..34..2143432.", "1234341221434321"


@pytest.fixture(scope="module")
def metrics() -> dict[str, evaluate.Metric]:
    """All metrics by name."""
    return {name: evaluate.load(str(METRICS / name)) for name in NAMES}


# --- every module


def test_there_is_no_other_metric():
    assert sorted(path.name for path in METRICS.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_examples_of_docstring_and_card_give_what_they_show(name, monkeypatch):
    monkeypatch.chdir(METRICS.parent)  # they load metrics/<name>
    module = sys.modules[type(evaluate.load(f"metrics/{name}")).__module__]
    for text in (module._INPUTS, (METRICS / name / "README.md").read_text()):
        test = doctest.DocTestParser().get_doctest(text, {"evaluate": evaluate}, name, None, None)
        assert len(test.examples) >= 2
        assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_card_describes_a_space_of_a_metric(name):
    card = metadata_load(METRICS / name / "README.md")
    assert {"evaluate", "metric"} <= set(card["tags"])
    assert card["sdk"] == "gradio" and card["sdk_version"] and card["title"]
    assert (METRICS / name / card["app_file"]).is_file()
    assert "evaluate" in (METRICS / name / "requirements.txt").read_text()
    assert len(card["description"]) > 20 and card["license"] == "apache-2.0"


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_is_one_file_of_its_own(name):
    imports = [line for line in (METRICS / name / f"{name}.py").read_text().splitlines() if " import " in f" {line}"]
    modules = {line.split()[1] for line in imports if line.startswith(("import ", "from "))}
    assert modules <= {"collections", "datasets", "evaluate", "math"}


@pytest.mark.parametrize("name", NAMES)
def test_the_page_computes_its_example_and_shows_errors(name, tmp_path, monkeypatch):
    class Shown(Exception):
        pass

    pages = []
    gradio = SimpleNamespace(
        Code=lambda value, **_: value,
        JSON=lambda **_: None,
        Error=Shown,
        Interface=lambda fn, **settings: pages.append((fn, settings)),
    )
    monkeypatch.setitem(sys.modules, "gradio", gradio)
    shutil.copytree(METRICS / name, tmp_path / "app")  # a Space does not keep the name of the folder
    runpy.run_path(str(tmp_path / "app" / "app.py"))
    ((compute, settings),) = pages
    scores = compute(settings["inputs"])
    assert all(math.isfinite(score) for score in scores.values())
    assert settings["article"].strip().startswith("# Metric card")
    with pytest.raises(Shown, match="no predictions"):
        compute('{"references": [], "predictions": null, "tasks": []}' if "arc" in name else '{"references": ["a"]}')


@pytest.mark.parametrize("name", NAMES)
def test_unequal_numbers_are_one_sentence(metrics, name):
    grids = {"predictions": [[[[1]]]], "references": [[[1]], [[1]]], "tasks": ["a", "a"]}
    losses = {"predictions": [[1.0]], "references": ["a", "b"]}
    boards = {"predictions": [SUDOKU], "references": [SUDOKU, SUDOKU]}
    inputs = {"arc_pass_at_k": grids, "bits_per_byte": losses}.get(name, boards)
    with pytest.raises(ValueError, match=r"^There are 1 predictions(,| and) 2 references[^\n]*; give [^\n]*\.$"):
        metrics[name].compute(**inputs)
    with pytest.raises(ValueError, match=r"^There is no \w+( input)? to score; give at least one\.$"):
        metrics[name].compute(**{key: [] for key in inputs})


# --- exact and cell accuracy

# 3 of 3, 2 of 3, and 1 of 2 cells correct: the last cell of the third does not count
BOARDS = {"predictions": [[2, 3, 4], [2, 3, 3], [2, 2, 9]], "references": [[2, 3, 4], [2, 3, 4], [2, 3, -100]]}


def test_exact_accuracy_counts_whole_puzzles(metrics):
    assert metrics["exact_accuracy"].compute(**BOARDS) == {"exact_accuracy": pytest.approx(1 / 3), "n": 3}


def test_cell_accuracy_is_a_mean_over_puzzles(metrics):
    expected = (1 + 2 / 3 + 1 / 2) / 3
    assert metrics["cell_accuracy"].compute(**BOARDS) == {"cell_accuracy": pytest.approx(expected), "n": 3}


def test_another_ignore_index_can_be_given(metrics):
    boards = {"predictions": [[2, 5], [2, 3]], "references": [[2, 0], [3, 0]]}
    assert metrics["exact_accuracy"].compute(**boards, ignore_index=0)["exact_accuracy"] == 0.5
    assert metrics["cell_accuracy"].compute(**boards, ignore_index=0)["cell_accuracy"] == 0.5
    assert metrics["cell_accuracy"].compute(**boards)["cell_accuracy"] == 0.25


def test_both_agree_with_the_library_on_tensors(metrics):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (50, 6), generator=generator)
    predictions = torch.where(torch.rand(50, 6, generator=generator) < 0.2, 0, labels)
    labels[:, 0] = -100
    exact, cells = compare(predictions, labels)
    assert 0 < exact.float().mean() < 1
    inputs = {"predictions": predictions, "references": labels}
    assert metrics["exact_accuracy"].compute(**inputs)["exact_accuracy"] == pytest.approx(exact.float().mean().item())
    assert metrics["cell_accuracy"].compute(**inputs)["cell_accuracy"] == pytest.approx(cells.mean().item())


@pytest.mark.parametrize("name", ["exact_accuracy", "cell_accuracy"])
def test_text_is_compared_character_by_character(metrics, name):
    expected = {"exact_accuracy": 0.5, "cell_accuracy": 0.875}[name]
    assert metrics[name].compute(predictions=["1234", "1233"], references=["1234", "1234"])[name] == expected


@pytest.mark.parametrize("name", ["exact_accuracy", "cell_accuracy"])
def test_boards_of_unequal_length_are_refused(metrics, name):
    with pytest.raises(ValueError, match=r"^Prediction 2 has 1 cells, but its reference has 2; they must be equal\.$"):
        metrics[name].compute(predictions=[[2, 3], [2]], references=[[2, 3], [2, 3]])
    with pytest.raises(ValueError, match="Reference 1 has no cell that counts"):
        metrics[name].compute(predictions=[[2, 3]], references=[[-100, -100]])
    # and the metric works after an error
    assert metrics[name].compute(predictions=[[2, 3]], references=[[2, 3]])[name] == 1.0


def test_batches_can_be_added(metrics):
    for prediction, reference in zip(BOARDS["predictions"], BOARDS["references"], strict=True):
        metrics["exact_accuracy"].add_batch(predictions=[prediction], references=[reference])
    assert metrics["exact_accuracy"].compute() == {"exact_accuracy": pytest.approx(1 / 3), "n": 3}


# --- ARC


def test_a_task_is_counted_by_both_rules(metrics):
    # task a: ranks 2 and 1; task b: rank 3; task c: never
    scores = metrics["arc_pass_at_k"].compute(
        predictions=[[[[0]], [[1]]], [[[2, 2]]], [[[0]], [[1]], [[3], [3]]], [[[4, 4]]]],
        references=[[[1]], [[2, 2]], [[3], [3]], [[4], [4]]],
        tasks=["a", "a", "b", "c"],
        k=[1, 2, 3],
    )
    assert scores == {
        "hrm_pass@1": 0.0,
        "trm_pass@1": pytest.approx(0.5 / 3),
        "hrm_pass@2": pytest.approx(1 / 3),
        "trm_pass@2": pytest.approx(1 / 3),
        "hrm_pass@3": pytest.approx(2 / 3),
        "trm_pass@3": pytest.approx(2 / 3),
        "n_tasks": 3,
        "n_test_inputs": 4,
    }


def test_no_attempt_solves_nothing_and_the_order_of_tasks_does_not_matter(metrics):
    scores = metrics["arc_pass_at_k"].compute(
        predictions=[[[[1]]], [], [[[1]]]], references=[[[1]], [[1]], [[1]]], tasks=["a", "b", "a"]
    )
    assert {name: score for name, score in scores.items() if "pass" in name} == {
        f"{rule}_pass@{k}": 0.5 for rule in ("hrm", "trm") for k in (1, 2, 10, 100, 1000)
    }


def test_arc_refuses_what_is_no_grid_or_no_k(metrics):
    inputs = {"predictions": [[[[1]]]], "tasks": ["a"]}
    with pytest.raises(ValueError, match=r"Reference 1 is \[\[1, 2\], \[3\]\]"):
        metrics["arc_pass_at_k"].compute(**inputs, references=[[[1, 2], [3]]])
    with pytest.raises(ValueError, match=r"k=\[0\] is not allowed"):
        metrics["arc_pass_at_k"].compute(**inputs, references=[[[1]]], k=[0])


# --- Sudoku and mazes by their rules


def test_a_sudoku_answer_must_keep_clues_and_rules(metrics):
    wrong = {
        "a clue is changed": "2134341212434321",
        "a cell is open": ".234341221434321",
        "a row has a digit twice": "1234341221434322",
    }
    # the digits 1 and 2 exchanged: a proper board, but not of these clues
    wrong["another board"] = SUDOKU_ANSWER.translate(str.maketrans("12", "21"))
    compute = metrics["sudoku_validity"].compute
    assert compute(predictions=[SUDOKU_ANSWER], references=[SUDOKU]) == {"sudoku_validity": 1.0, "n": 1}
    for answer in wrong.values():
        assert compute(predictions=[answer], references=[SUDOKU])["sudoku_validity"] == 0.0
    # rows and columns are right, boxes are not
    latin = "1234234134124123"
    assert compute(predictions=[latin, SUDOKU_ANSWER], references=["." * 16] * 2)["sudoku_validity"] == 0.5


def test_boxes_of_another_shape(metrics):
    compute = metrics["sudoku_validity"].compute
    answer = "123456456123231564564231312645645312"  # in boxes of 2 rows and 3 columns
    assert compute(predictions=[answer], references=["." * 36])["sudoku_validity"] == 1.0
    upright = compute(predictions=[answer], references=["." * 36], box_height=3, box_width=2)
    assert upright["sudoku_validity"] == 0.0
    with pytest.raises(ValueError, match="box_height=4 and box_width=2 do not hold 6 digits"):
        compute(predictions=[answer], references=["." * 36], box_height=4, box_width=2)


@pytest.mark.parametrize("kind", ["text", "token ids"])
def test_sudoku_validity_is_the_verdict_of_the_processor(metrics, kind):
    processor = HRMGridProcessor.for_sudoku(4)
    rng = np.random.default_rng(0)
    labels = processor(SUDOKU_ANSWER)["input_ids"].repeat(200, 1)
    puzzles = torch.where(torch.from_numpy(rng.random((200, 16)) < 0.5), 1, labels)
    noise = torch.from_numpy(rng.integers(0, 6, (200, 16)))
    answers = torch.where(torch.from_numpy(rng.random((200, 16)) < 0.03), noise, labels)
    verdicts = [verdict.solved for verdict in processor.check_batch(puzzles, answers)]
    assert 0 < sum(verdicts) < 200
    inputs = {"predictions": answers, "references": puzzles}
    if kind == "text":
        inputs = {name: processor.batch_decode(boards) for name, boards in inputs.items()}
    assert metrics["sudoku_validity"].compute(**inputs)["sudoku_validity"] == sum(verdicts) / 200


@pytest.mark.parametrize(
    ("prediction", "reference", "message"),
    [
        ("1234", SUDOKU, "Prediction 1 has 4 cells, but its puzzle has 16"),
        ("1234", "12345", "Puzzle 1 has 5 cells; a board is a square"),
        ("1234341221434325", SUDOKU, "Prediction 1: the cell in row 4, column 4 is '5'"),
        ([2] * 16, [6] + [1] * 15, "Puzzle 1: the cell in row 1, column 1 is 6"),
        ("1" * 25, "." * 25, "A 5x5 Sudoku has no usual boxes"),
    ],
)
def test_sudoku_refuses_what_is_no_board(metrics, prediction, reference, message):
    with pytest.raises(ValueError, match=message):
        metrics["sudoku_validity"].compute(predictions=[prediction], references=[reference])


@pytest.mark.parametrize(
    ("answer", "valid"),
    [
        ("S #oo##oG", True),
        ("S #oo###G", False),  # a wall is moved
        ("S #o ##oG", False),  # the path has a gap
        ("So#oo##oG", False),  # an extra path cell
        ("S ?oo##oG", False),  # an unknown symbol
        ("S #  ## G", False),  # no path at all
    ],
)
def test_a_maze_answer_must_draw_a_path_and_nothing_else(metrics, answer, valid):
    scores = metrics["maze_validity"].compute(predictions=[answer], references=["S #  ## G"])
    assert scores == {"maze_validity": float(valid), "n": 1}


def test_a_maze_answer_must_be_a_shortest_path_but_any_of_them(metrics):
    maze = "S  \n   \n  G"
    answers = ["Soo\n  o\n  G", "S  \no  \nooG", "Soo\n oo\n  G"]
    valid = [metrics["maze_validity"].compute(predictions=[a], references=[maze])["maze_validity"] for a in answers]
    assert valid == [1.0, 1.0, 0.0]
    # a path of 6 steps where 2 are enough
    long = metrics["maze_validity"].compute(predictions=["S G\no o\nooo"], references=["S G\n   \n   "])
    assert long["maze_validity"] == 0.0


@pytest.mark.parametrize("kind", ["text", "token ids"])
def test_maze_validity_is_the_verdict_of_the_processor(metrics, kind):
    processor = HRMGridProcessor.for_maze(3, 4)
    puzzles = processor(["S  #" + " #  " + "   G"] * 300)["input_ids"]
    rng = np.random.default_rng(0)
    floor = (puzzles == 2).numpy()
    answers = puzzles.clone()
    answers[torch.from_numpy(floor & (rng.random((300, 12)) < 0.5))] = 5
    answers[torch.from_numpy(rng.random((300, 12)) < 0.01)] = 0
    verdicts = [verdict.solved for verdict in processor.check_batch(puzzles, answers)]
    assert 0 < sum(verdicts) < 300
    inputs = {"predictions": answers, "references": puzzles}
    if kind == "text":
        inputs = {name: processor.batch_decode(boards) for name, boards in inputs.items()}
    assert metrics["maze_validity"].compute(**inputs, width=4)["maze_validity"] == sum(verdicts) / 300


@pytest.mark.parametrize(
    ("prediction", "reference", "width", "message"),
    [
        ("SG", "SG", None, "Maze 1 has 2 cells, which is not a square"),
        ("SG", "SG", 3, "Maze 1 has 2 cells, which make no rows of 3"),
        ("S G", "S\n\nG ", None, "Maze 1 has rows of .1, 2. cells"),
        ("SooG", "S  G", 2, None),
        ("S G ", "S  G", None, None),
        ("SoG", "S  G", None, "Prediction 1 has 3 cells, which is not a square"),
        ("So\nGo\n  ", "S \nG ", None, "Prediction 1 is 3x2, its maze 2x2"),
        ("SooS", "S  S", None, "Maze 1 is 'S  S'; a maze has one S and one G"),
        ("SooG", "So G", None, "and no path .o. yet"),
        ("SxxG", "S  G", None, "Prediction 1 has the character 'x'"),
        ([3, 5, 6, 4], [3, 2, 2, 4], None, "Prediction 1 has the token id 6"),
    ],
)
def test_maze_refuses_what_is_no_maze(metrics, prediction, reference, width, message):
    def compute():
        return metrics["maze_validity"].compute(predictions=[prediction], references=[reference], width=width)

    if message is None:
        assert compute()["maze_validity"] == 0.0
        return
    with pytest.raises(ValueError, match=message):
        compute()


# --- text


def test_bits_per_byte_is_bits_over_bytes_of_all_texts(metrics):
    # 1 + 2 bits for "ab", 6 bits for the two bytes and one of "éa": 9 bits, 5 bytes
    scores = metrics["bits_per_byte"].compute(predictions=[[LN2, 2 * LN2], [6 * LN2]], references=["ab", "éa"])
    assert scores == {"bits_per_byte": pytest.approx(9 / 5), "n_bytes": 5}


def test_unscored_tokens_cost_what_the_others_do(metrics):
    # 2 scored tokens of 3 bits together and 1 more of the mean, for 3 bytes
    scores = metrics["bits_per_byte"].compute(predictions=[[LN2, 2 * LN2]], references=["abc"], unscored_tokens=1)
    assert scores["bits_per_byte"] == pytest.approx(4.5 / 3)
    library = text_scores(nats=3 * LN2, scored=2, n_tokens=3, n_bytes=3, seconds=1.0)
    assert scores["bits_per_byte"] == pytest.approx(library.bits_per_byte)


@pytest.mark.parametrize(
    ("predictions", "references", "options", "message"),
    [
        ([[-0.5]], ["a"], {}, "Prediction 1 has the cross entropy -0.5"),
        ([[1.0], [math.inf]], ["a", "b"], {}, "Prediction 2 has the cross entropy inf"),
        ([[math.nan]], ["a"], {}, "Prediction 1 has the cross entropy nan"),
        ([[1.0]], [""], {}, "There are 1 cross entropies for 0 bytes"),
        ([[]], ["a"], {}, "There are 0 cross entropies for 1 bytes"),
        ([[1.0]], ["a"], {"unscored_tokens": -1}, "unscored_tokens=-1 is not allowed"),
    ],
)
def test_bits_per_byte_refuses_what_is_no_loss(metrics, predictions, references, options, message):
    with pytest.raises(ValueError, match=message):
        metrics["bits_per_byte"].compute(predictions=predictions, references=references, **options)


def test_results_can_be_written_as_json(metrics):
    assert json.loads(json.dumps(metrics["exact_accuracy"].compute(**BOARDS)))["n"] == 3
