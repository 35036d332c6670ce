"""A custom task, from a table to a checked answer; and a kind of puzzle added by a file outside the package."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoProcessor

from hrm_hf.puzzles import registry
from hrm_hf.puzzles.grid.build import build_grid
from hrm_hf.puzzles.sets import open_puzzles
from hrm_hf.training.arguments import parse_recipe
from hrm_hf.training.loop import prepare, train


ROOT = Path(__file__).parent.parent
# a small model that learns to invert bits in a few seconds
TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "batch_size": 32,
    "batches_in_work": 2,
    "max_steps": 60,
    "eval_steps": 60,
    "weight_decay": 0.1,
    "ema_decay": 0.9,
    "learning_rate": 1e-2,
    "warmup_steps": 5,
    "log_steps": 20,
    "report_to": "none",
    "cpu_threads": 1,
}


INVERTED = str.maketrans("01", "10")


def run_recipe(recipe: str, dataset: Path, output: Path, **options) -> Path:
    """Train with a recipe of this repository; gives the model folder."""
    options = TINY | options | {"dataset": dataset, "output_dir": output}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    train(prepare(*parse_recipe([str(ROOT / "recipes" / recipe), *words])))
    return output / "model"


@pytest.fixture(scope="module", autouse=True)
def known_kinds():
    """Restore the known kinds after these tests."""
    kinds, plugins = dict(registry._kinds), set(registry._plugins)
    yield
    registry._kinds.clear()
    registry._kinds.update(kinds)
    registry._plugins.clear()
    registry._plugins.update(plugins)


@pytest.fixture(scope="module")
def inverted_bits(tmp_path_factory) -> tuple[Path, Path]:
    """A data set of strings of bits to invert, and a model trained on it."""
    folder = tmp_path_factory.mktemp("bits")
    rows = [f"{number:06b}" for number in range(64)]
    table = folder / "bits.csv"
    table.write_text("input,output\n" + "".join(f"{row},{row.translate(INVERTED)}\n" for row in rows))
    build_grid(str(table), output_dir=folder / "data")
    return folder / "data", run_recipe("grid.yaml", folder / "data", folder / "run")


@pytest.fixture
def futoshiki():
    """The kind of examples/futoshiki.py, and its module; known while the test runs."""
    registry.load_plugin(ROOT / "examples" / "futoshiki.py")
    return sys.modules["hrm_hf_plugin_futoshiki"]


# --- grids without rules


def test_the_recipe_takes_alphabet_and_shape_from_the_data(inverted_bits):
    config = json.loads((inverted_bits[1] / "config.json").read_text())
    assert (config["vocab_size"], config["max_position_embeddings"], config["grid_shape"]) == (3, 6, [1, 6])


def test_an_answer_without_rules_is_never_called_solved(inverted_bits, hrm_hf):
    code, out, _ = hrm_hf("solve", "001011", "--model", inverted_bits[1], "--json")
    answer = json.loads(out)
    assert code == 0
    assert (answer["solved"], answer["outcome"]) == (None, "answered")
    assert len(answer["answer"]) == 6
    assert 0 <= answer["halt_probability"] <= 1
    code, out, _ = hrm_hf("solve", "001011", "--model", inverted_bits[1])
    assert code == 0
    assert "solved" not in out
    assert "probability" in out


def test_several_questions_come_from_a_file(inverted_bits, hrm_hf, tmp_path):
    (tmp_path / "questions.txt").write_text("001011\n111000\n")
    _, out, _ = hrm_hf("solve", tmp_path / "questions.txt", "--model", inverted_bits[1], "--json")
    assert [json.loads(line)["puzzle"] for line in out.splitlines()] == ["001011", "111000"]


@pytest.mark.parametrize(
    ("question", "message"),
    [("0010", "it has 4 cells; a grid of 1x6 has 6"), ("00101x", "row 1, column 6 is 'x'; a cell is one of 0 1")],
)
def test_a_question_of_another_task_is_one_sentence(question, message, inverted_bits, hrm_hf):
    code, _, err = hrm_hf("solve", question, "--model", inverted_bits[1])
    assert code == 1
    assert message in err


def test_training_learns_the_task(inverted_bits, hrm_hf):
    code, out, _ = hrm_hf("evaluate", inverted_bits[1], inverted_bits[0], "--split", "train")
    assert code == 0
    assert json.loads(out)["cell_accuracy"] > 0.9


def test_a_saved_model_loads_with_the_auto_classes(inverted_bits):
    model = AutoModel.from_pretrained(inverted_bits[1], trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(inverted_bits[1], trust_remote_code=True)
    output = model.solve(**processor("001011"))
    assert set(processor.decode(output.predictions[0])) <= {"0", "1", "?"}
    assert processor.check("001011", "110100", truth="110100").solved
    assert not processor.check("001011", "110101", truth="110100").solved


def test_evaluation_takes_a_table_of_the_same_symbols_alone(inverted_bits, hrm_hf, tmp_path):
    for name, swap in (("same", "01"), ("other", "ab")):
        table = tmp_path / f"{name}.csv"
        rows = [f"{number:06b}".translate(str.maketrans("01", swap)) for number in range(64)]
        table.write_text("input,output\n" + "".join(f"{row},{row[::-1]}\n" for row in rows))
        build_grid(str(table), output_dir=tmp_path / name)
    assert hrm_hf("evaluate", inverted_bits[1], tmp_path / "same")[0] == 0
    code, _, err = hrm_hf("evaluate", inverted_bits[1], tmp_path / "other")
    assert code == 1
    assert "has the symbol 'a', but the model only knows 0 1" in err


# --- a custom kind


def test_generated_puzzles_have_one_solution(futoshiki):
    solutions = futoshiki.all_solutions()
    assert len(solutions) == 576  # Latin squares of size 4
    for puzzle in futoshiki.generate(20, seed=1):
        question = puzzle["input"]
        right = [board for board in solutions.tolist() if _fits(question, board)]
        assert len(right) == 1
        assert futoshiki.broken_rule(question, right[0]) is None


def _fits(question: list[list[str]], board: list[list[str]]) -> bool:
    pairs = [(asked, cell) for rows in zip(question, board, strict=True) for asked, cell in zip(*rows, strict=True)]
    return all(asked in (".", " ", cell) for asked, cell in pairs)


@pytest.fixture(scope="module")
def own_puzzles(tmp_path_factory):
    """A data set of Futoshiki."""
    folder = tmp_path_factory.mktemp("futoshiki") / "data"
    registry.load_plugin(ROOT / "examples" / "futoshiki.py")
    sys.modules["hrm_hf_plugin_futoshiki"].main(str(folder), 120)
    return folder


def test_all_symmetries_keep_the_rules_and_are_undone(futoshiki, own_puzzles):
    puzzles, kind = open_puzzles(str(own_puzzles), "train"), registry.get("futoshiki")
    examples = puzzles.examples()
    answers = puzzles.processor.keep_clues(examples["input_ids"], examples["labels"].clamp(min=0))
    numbers, seen = torch.arange(len(answers)), set()
    for number in range(kind.num_copies(puzzles.processor)):
        symmetry = kind.copies(puzzles.processor, numbers, torch.full_like(numbers, number), seed=0)
        copies = symmetry.apply(examples["input_ids"]), symmetry.apply(answers)
        assert all(kind.verdicts(puzzles.processor, *copies))
        assert torch.equal(symmetry.undo(copies[1]), answers)
        seen.add(tuple(copies[0][0].tolist()))
    assert len(seen) > 8
    changed = answers.clone()
    changed[:, 0] = changed[:, 0] % 4 + 1
    assert not any(kind.verdicts(puzzles.processor, examples["input_ids"], changed))


def test_a_kind_of_ones_own_is_trained_and_its_answers_are_judged(
    futoshiki, own_puzzles, tmp_path, hrm_hf, monkeypatch
):
    # the recipe names the plugin from there
    monkeypatch.chdir(ROOT)
    model = run_recipe("futoshiki.yaml", own_puzzles, tmp_path / "run")
    processor = AutoProcessor.from_pretrained(model, trust_remote_code=True)
    assert processor.kind == "futoshiki"
    question = open_puzzles(str(own_puzzles), "test").rows[0]["question"]
    plugin = ("--plugin", ROOT / "examples" / "futoshiki.py")
    code, out, _ = hrm_hf("solve", question, "--model", model, "--json", "--samples", 4, *plugin)
    answer = json.loads(out)
    assert answer["outcome"] in ("solved", "not solved")
    assert code == (0 if answer["solved"] else 2)
    right = answer["solved"] and futoshiki.broken_rule(*(_rows(answer[part]) for part in ("puzzle", "answer"))) is None
    assert answer["solved"] == bool(right)


def _rows(line: str) -> list[list[str]]:
    return [list(row) for row in line.split("/")]


def test_an_answer_that_obeys_the_rules_is_solved(futoshiki, own_puzzles):
    row, kind = open_puzzles(str(own_puzzles), "test").rows[0], registry.get("futoshiki")
    processor = open_puzzles(str(own_puzzles), "test").processor
    question, answer = (processor(row[name])["input_ids"] for name in ("question", "answer"))
    (verdict,) = kind.verdicts(processor, question, answer)
    assert verdict.solved
    (verdict,) = kind.verdicts(processor, question, question)
    assert not verdict.solved


def test_a_model_of_a_kind_that_is_not_known_asks_for_its_plug_in(own_puzzles):
    command = [sys.executable, "-m", "hrm_hf.cli", "explore", str(own_puzzles), str(own_puzzles / "rows.png")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "The kind of puzzle 'futoshiki' is not known" in done.stderr
    assert "--plugin" in done.stderr


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_module", r"The plugin .*own\.py cannot be imported \(ModuleNotFoundError: No module named"),
        ("x = 1", r"The plugin .*own\.py registers no kind of puzzle"),
    ],
)
def test_a_plug_in_that_does_not_import_is_one_sentence(code, message, tmp_path):
    (tmp_path / "own.py").write_text(code)
    with pytest.raises(ValueError, match=message):
        registry.load_plugin(tmp_path / "own.py")
