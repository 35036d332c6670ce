"""The command `hrm-hf` as a user calls it: output, exit codes, and errors in one sentence."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hrm_hf.puzzles.sudoku.build import build_sudoku


ROOT = Path(__file__).parent.parent
PUZZLE = "12..34..2143432."  # learned by the model below
ANSWER = "1234341221434321"


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory) -> str:
    """A small model that has learned one 4x4 puzzle by heart."""
    from configuration_hrm import HRMConfig
    from modeling_hrm import HRMForGridTask
    from processing_hrm import HRMGridProcessor

    torch.manual_seed(0)
    processor = HRMGridProcessor.for_sudoku(4)
    config = HRMConfig(
        vocab_size=processor.vocab_size,
        max_position_embeddings=16,
        hidden_size=32,
        intermediate_size=64,
        num_attention_heads=2,
        H_layers=1,
        L_layers=1,
        halting="lean",
        halt_max_steps=2,
        puzzle_emb_ndim=0,
        token_loss="softmax",
    )
    model = HRMForGridTask(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    inputs = processor(PUZZLE, ANSWER)
    carry = None
    for _ in range(100):
        output = model(**inputs, carry=carry)
        carry = output.carry
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("cli") / "model"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def test_a_solved_puzzle_is_shown_and_called_solved(hrm_hf, model_folder):
    code, out, _ = hrm_hf("solve", PUZZLE, "--model", model_folder)
    assert code == 0
    assert "[1][2] |  3  4" in out and "solved (" in out and "not solved" not in out


def test_no_wrong_board_is_shown_as_an_answer(hrm_hf, model_folder):
    arguments = ("solve", PUZZLE, "4...............", "--model", model_folder)
    code, out, _ = hrm_hf(*arguments, "--json")
    solved, several = map(json.loads, out.splitlines())
    assert code == 2
    assert (solved["solved"], solved["answer"]) == (True, ANSWER)
    assert (several["solved"], several["answer"]) == (False, None)
    assert several["outcome"] == "more than one solution" and several["reason"]
    code, out, _ = hrm_hf(*arguments)
    _, board = out.split("solved (")
    assert code == 2 and "more than one solution: " in board
    # the clue, and no other digit
    assert board.count("[4]") == 1 and board.split("more than")[0].count(" . ") == 15


def test_puzzles_come_from_stdin_too(hrm_hf, model_folder):
    for dash in ([], ["-"]):
        code, out, _ = hrm_hf("solve", *dash, "--model", model_folder, "--json", stdin=f"{PUZZLE}\n\n{PUZZLE}\n")
        assert code == 0 and len(out.splitlines()) == 2


def test_a_board_of_several_lines_is_one_puzzle(hrm_hf, model_folder):
    rows = [PUZZLE[start : start + 4] for start in range(0, 16, 4)]
    code, out, _ = hrm_hf("solve", "--model", model_folder, "--json", stdin="\n".join(rows))
    assert code == 0 and json.loads(out)["puzzle"] == PUZZLE


def test_steps_are_shown_on_request(hrm_hf, model_folder):
    code, out, _ = hrm_hf(
        *("solve", PUZZLE, "--model", model_folder, "--show-steps"),
        *("--max-segments", "3", "--halt-threshold", "1.0"),
    )
    assert code == 0
    assert [number for number in range(1, 5) if f"after segment {number}:" in out] == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["12..34"], "6 cells"),
        (["1x.............."], "'x'"),
        ([PUZZLE, "--max-segments", "0"], "max_segments=0"),
        ([PUZZLE, "--samples", "0"], "num_samples=0"),
        ([PUZZLE, "--halt-threshold", "2"], "halt_threshold=2"),
        ([], "no puzzle to solve; give one"),
        (["-"], "no puzzle to solve; give one"),
        (["some/model", PUZZLE], "some/model is not a puzzle; .* hrm-hf solve PUZZLE --model some/model$"),
    ],
)
def test_bad_puzzles_are_one_sentence(hrm_hf, model_folder, arguments, sentence):
    import re

    code, out, err = hrm_hf("solve", "--model", model_folder, *arguments)
    assert code == 1 and out == ""
    assert err.startswith("hrm-hf: ") and re.search(sentence, err.strip()), err
    assert len(err.strip().splitlines()) == 1


def test_a_model_folder_in_place_of_a_puzzle_is_one_sentence(hrm_hf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    code, out, err = hrm_hf("solve", "model", PUZZLE)
    assert code == 1 and out == "" and "hrm-hf solve PUZZLE --model model" in err


def test_a_missing_model_is_one_sentence(hrm_hf):
    code, _, err = hrm_hf("solve", PUZZLE, "--model", "./nowhere")
    assert code == 1 and "no folder ./nowhere" in err and len(err.strip().splitlines()) == 1


def test_a_configuration_of_a_far_larger_model_takes_no_memory(hrm_hf, model_folder, tmp_path):
    import shutil

    folder = shutil.copytree(model_folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text()) | {"puzzle_emb_ndim": 2**33}
    (folder / "config.json").write_text(json.dumps(config))
    code, out, err = hrm_hf("solve", PUZZLE, "--model", str(folder))
    assert code == 1 and out == "" and "parameters, but its weights have" in err


def test_evaluation_counts_by_hand(hrm_hf, model_folder, tmp_path):
    from modeling_hrm import HRMForGridTask
    from processing_hrm import HRMGridProcessor

    build_sudoku(tmp_path / "data", size=4, clues=12, num_train=20, num_test=30)
    code, out, _ = hrm_hf("evaluate", model_folder, str(tmp_path / "data"), "--output", str(tmp_path / "result.json"))
    result = json.loads(out)
    assert code == 0 and result == json.loads((tmp_path / "result.json").read_text())
    assert (result["n"], result["split"]) == (30, "test")

    import datasets

    rows = datasets.load_dataset(str(tmp_path / "data"), split="test")
    processor = HRMGridProcessor.from_pretrained(model_folder)
    solved = HRMForGridTask.from_pretrained(model_folder).solve(**processor(rows["question"][:]))
    boards = processor.batch_decode(solved.predictions)
    exact = [board == answer for board, answer in zip(boards, rows["answer"][:], strict=True)]
    cells = [sum(map(str.__eq__, board, answer)) / 16 for board, answer in zip(boards, rows["answer"][:], strict=True)]
    assert result["exact_accuracy"] == pytest.approx(sum(exact) / 30)
    assert result["cell_accuracy"] == pytest.approx(sum(cells) / 30)


def test_an_evaluation_of_a_missing_split_says_what_there_is(hrm_hf, model_folder, tmp_path):
    build_sudoku(tmp_path / "data", size=4, clues=12, num_train=5, num_test=5)
    code, _, err = hrm_hf("evaluate", model_folder, str(tmp_path / "data"), "--split", "dev")
    assert code == 1 and "no split 'dev'" in err and "train, test" in err


def test_explore_draws_rows_and_predictions(hrm_hf, model_folder, tmp_path):
    build_sudoku(tmp_path / "data", size=4, num_train=3, num_test=2)
    picture = tmp_path / "rows.svg"
    code, out, _ = hrm_hf(
        *("explore", str(tmp_path / "data"), str(picture), "--split", "test", "--row", "1", "--model", model_folder)
    )
    assert code == 0 and out.strip() == str(picture)
    assert picture.read_text().startswith("<?xml")
    code, _, err = hrm_hf("explore", str(tmp_path / "data"), "rows.doc")
    assert code == 1 and "rows.doc has an unknown ending" in err


def test_data_has_the_builders(hrm_hf, tmp_path):
    code, out, _ = hrm_hf("data", "--help")
    assert code == 0
    for name in ("sudoku", "maze", "arc", "text", "export-original", "import-original", "push"):
        assert name in out
    folder = str(tmp_path / "data")
    code, out, _ = hrm_hf("data", "sudoku", folder, "--size", "4", "--num-train", "3", "--num-test", "2")
    assert code == 0 and "train: 3 puzzles" in out
    code, _, err = hrm_hf("data", "sudoku", folder, "--size", "5")
    assert code == 1 and err.startswith("hrm-hf: ") and "already a data set" in err


def test_more_samples(hrm_hf, model_folder, tmp_path):
    code, out, _ = hrm_hf("solve", PUZZLE, "--model", model_folder, "--samples", "3", "--json")
    assert code == 0 and json.loads(out)["answer"] == ANSWER
    code, _, err = hrm_hf("solve", PUZZLE, "--model", model_folder, "--samples", "3", "--show-steps")
    assert code == 1 and "--show-steps is for one answer" in err
    build_sudoku(tmp_path / "data", size=4, num_train=3, num_test=5)
    code, out, _ = hrm_hf("evaluate", model_folder, str(tmp_path / "data"), "--samples", "4")
    result = json.loads(out[out.index("{") :])
    assert [point["max_samples"] for point in result["by_samples"]] == [1, 2, 4]
    assert result["by_samples"][0]["exact_accuracy"] == result["exact_accuracy"]
    accuracies = [point["keeps_rules"] for point in result["by_samples"]]
    assert accuracies == sorted(accuracies)


def test_arc_is_scored_by_votes(hrm_hf, tmp_path):
    from configuration_hrm import HRMConfig
    from hrm_hf.puzzles.arc.build import build_arc
    from hrm_hf.puzzles.sets import open_puzzles
    from modeling_hrm import HRMForGridTask

    pairs = [{"input": [[color, 1]], "output": [[1], [color]]} for color in (3, 5, 7)]
    (tmp_path / "tasks.json").write_text(json.dumps({"turn": {"train": pairs[:2], "test": pairs[2:]}}))
    build_arc(tmp_path / "arc", evaluation=[tmp_path / "tasks.json"], num_aug=2)
    processor = open_puzzles(str(tmp_path / "arc"), "test").processor
    torch.manual_seed(0)
    config = HRMConfig(
        vocab_size=processor.vocab_size,
        max_position_embeddings=900,
        num_puzzle_identifiers=processor.num_puzzle_identifiers,
        hidden_size=16,
        num_attention_heads=2,
        H_layers=1,
        L_layers=1,
        H_cycles=1,
        L_cycles=1,
        puzzle_emb_ndim=16,
    )
    HRMForGridTask(config).save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    code, out, _ = hrm_hf(
        *("evaluate-arc", str(tmp_path / "model"), str(tmp_path / "arc"), "--max-segments", "1"),
        *("--submission", str(tmp_path / "submission.json"), "--pictures", str(tmp_path / "pictures")),
    )
    assert code == 0
    result = json.loads(out[out.index("{\n") :])
    assert (result["n_tasks"], result["num_predictions"]) == (1, 3)
    assert {"hrm_pass@1", "hrm_pass@1000", "trm_pass@2"} <= result.keys()
    (entry,) = json.loads((tmp_path / "submission.json").read_text())["turn"]
    assert entry.keys() == {"attempt_1", "attempt_2"}
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["turn.png"]
    code, out, _ = hrm_hf("evaluate", str(tmp_path / "model"), str(tmp_path / "arc"), "--max-segments", "1")
    assert code == 0 and json.loads(out)["n"] == 1

    # identifiers of another data set are other puzzles: no scores from mismatched embeddings
    (tmp_path / "others.json").write_text(json.dumps({"other": {"train": pairs[:2], "test": pairs[2:]}}))
    build_arc(tmp_path / "other", evaluation=[tmp_path / "others.json"], num_aug=2)
    for command in ("evaluate", "evaluate-arc"):
        code, out, err = hrm_hf(command, str(tmp_path / "model"), str(tmp_path / "other"), "--max-segments", "1")
        assert code == 1 and out == "" and "does not know 3 of the 3 puzzles (for example other" in err

    # a test without outputs is for a submission
    (tmp_path / "x_challenges.json").write_text(json.dumps({"turn": {"train": pairs[:2], "test": [{"input": [[1]]}]}}))
    build_arc(tmp_path / "open", evaluation=[tmp_path / "x_challenges.json"], num_aug=2)
    command = ("evaluate-arc", str(tmp_path / "model"), str(tmp_path / "open"), "--max-segments", "1")
    code, _, err = hrm_hf(*command)
    assert code == 1 and "write a --submission" in err
    code, out, _ = hrm_hf(*command, "--submission", str(tmp_path / "open.json"))
    assert code == 0 and json.loads(out)["n_tasks"] == 0
    assert json.loads((tmp_path / "open.json").read_text())["turn"][0].keys() == {"attempt_1", "attempt_2"}
    code, _, err = hrm_hf("evaluate", *command[1:])
    assert code == 1 and "no known output" in err


# --- places to write to


@pytest.mark.parametrize(
    ("command", "options", "sentence"),
    [
        ("evaluate", ["--curve", "curve.xyz"], "The name of the file curve.xyz has an unknown ending; use .png"),
        ("evaluate", ["--curve", "curve"], "curve has an unknown ending"),
        ("evaluate", ["--predictions", "nowhere/p.parquet"], "no folder nowhere to write p.parquet to"),
        ("evaluate", ["--predictions", "."], ". is a folder"),
        ("evaluate", ["--output", "/proc/result.json"], "/proc/result.json cannot be written"),
        ("evaluate-arc", ["--submission", "nowhere/s.json"], "no folder nowhere to write s.json to"),
        ("evaluate-arc", ["--pictures", "/dev/null/pictures"], "/dev/null/pictures"),
        ("evaluate-arc", ["--output", "nowhere/o.json"], "no folder nowhere"),
        ("evaluate-text", ["--output", "nowhere/o.json"], "no folder nowhere"),
        ("explore", ["nowhere/rows.png"], "no folder nowhere"),
        ("evaluate", ["--batch-size", "0"], "--batch-size 0 is not allowed; it must be at least 1"),
        ("evaluate", ["--rating-bins", "0"], "--rating-bins 0 is not allowed"),
        ("evaluate", ["--limit", "0"], "--limit 0 is not allowed"),
        ("evaluate-arc", ["--batch-size", "-1"], "--batch-size -1 is not allowed"),
    ],
)
def test_what_would_lose_a_result_is_said_before_the_work(hrm_hf, tmp_path, monkeypatch, command, options, sentence):
    monkeypatch.chdir(tmp_path)
    # neither the model nor the data set exists, but this is checked later
    arguments = {"explore": ["./data"]}.get(command, ["./model", "./data"])
    code, out, err = hrm_hf(command, *arguments, *options)
    assert code == 1 and out == "" and sentence in err, err
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_printed_whatever_happens_to_its_files(hrm_hf, model_folder, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    def full_disk(*args, **kwargs):
        raise OSError(28, "No space left on device")

    build_sudoku(tmp_path / "data", size=4, clues=12, num_train=5, num_test=5)
    monkeypatch.setattr(Figure, "savefig", full_disk)
    monkeypatch.setattr("hrm_hf.evaluation.breakdown.write_predictions", full_disk)
    code, out, err = hrm_hf(
        *("evaluate", model_folder, str(tmp_path / "data"), "--curve", tmp_path / "curve.png"),
        *("--predictions", tmp_path / "p.parquet", "--output", tmp_path / "result.json"),
    )
    assert code == 1 and "No space left" in err
    assert json.loads(out[out.index("{\n") :])["n"] == 5
    assert json.loads((tmp_path / "result.json").read_text())["n"] == 5


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["solve", "--help"], ["nosuch"]])
def test_help_and_usage_errors_load_no_library_that_takes_seconds(arguments):
    code = (
        "import sys\nfrom hrm_hf.cli import main\n"
        f"sys.argv = ['hrm-hf', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'numba', 'matplotlib'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert process.stderr.splitlines()[-1] == "[]", process.stderr
