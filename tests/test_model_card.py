"""Model cards: they agree with the files of a run, and the code in them runs."""

import json
import re
import shutil
import sys
from pathlib import Path

import jinja2
import jinja2.meta
import pytest
import yaml
from huggingface_hub import ModelCard

from hrm_hf import model_card
from hrm_hf.puzzles.sudoku.build import build_sudoku
from hrm_hf.text.build import build_text
from hrm_hf.utils.environment import describe_environment
from hrm_hf.utils.statistics import binomial_interval
from processing_hrm import HRMGridProcessor
from train_accelerate import main as train_main


NETWORK = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "H_layers": 1, "L_layers": 1}
STEPS = {"max_steps": 6, "warmup_steps": 2, "log_steps": 2, "eval_steps": 3, "max_eval_rows": 8, "seed": 3}
TEST = {
    "split": "test",
    "n": 1000,
    "exact_accuracy": 0.986,
    "cell_accuracy": 0.99944451,
    "halt_accuracy": 0.97,
    "mean_segments": 3.853,
    "max_segments": 16,
    "early_stop": True,
    "halt_threshold": 0.9,
}


def train(folder: Path, **options) -> Path:
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    assert train_main([*arguments, "--output_dir", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def sudoku_run(tmp_path_factory) -> Path:
    """A run of six steps on 4x4 Sudoku; do not change it."""
    folder = tmp_path_factory.mktemp("sudoku")
    build_sudoku(folder / "sudoku-4x4", size=4, clues=8, num_train=20, num_test=8)
    network = NETWORK | {"halt_max_steps": 2, "halting": "lean", "puzzle_emb_ndim": 0, "ema_decay": 0.9}
    return train(folder / "run", dataset=folder / "sudoku-4x4", batch_size=4, **network, **STEPS)


@pytest.fixture
def run(sudoku_run, tmp_path) -> Path:
    """A copy of it, with a result on the test split."""
    copy = tmp_path / "run"
    shutil.copytree(sudoku_run, copy)
    (copy / "test.json").write_text(json.dumps(TEST | {"model": str(copy / "model"), "dataset": "data/sudoku-4x4"}))
    return copy


def test_metadata_have_the_results_with_their_numbers_of_puzzles(hrm_hf, run):
    code, out, _ = hrm_hf("card", run, "--repo", "me/sudoku", "--dataset", "me/sudoku-4x4", "--license", "mit")
    assert code == 0 and out.split() == [str(run / "model" / name) for name in ("README.md", "curve.png")]
    data = ModelCard.load(run / "model/README.md").data
    assert (data.license, data.library_name, data.datasets) == ("mit", "transformers", ["me/sudoku-4x4"])
    assert {"hrm", "sudoku", "grid-solving"} <= set(data.tags)
    exact, cell = data.eval_results
    assert (exact.metric_type, exact.metric_value, cell.metric_type, cell.metric_value) == (
        *("exact_accuracy", 0.986),
        *("cell_accuracy", 0.999445),
    )
    for result in (exact, cell):
        assert (result.dataset_type, result.dataset_split) == ("me/sudoku-4x4", "test")
        assert result.metric_args == {"n": 1000, "max_segments": 16}


def test_the_text_says_what_the_files_say(hrm_hf, run, sudoku_run):
    assert hrm_hf("card", run)[0] == 0
    card = (run / "model/README.md").read_text()
    low, high = binomial_interval(0.986, 1000)
    assert (
        f"| test | 1,000 | **98.6%** [{100 * low:.1f}, {100 * high:.1f}] | 99.94% | 97.0% | at most 16, mean 3.9 |"
        in card
    )
    result = json.loads((run / "result.json").read_text())
    assert f"| test | 8 | **{result['exact_accuracy']:.1%}**" not in card  # the same split: the later one counts
    assert f"| parameters | {result['parameters']:,} |" in card
    assert f"| compute | {result['train_minutes']:.1f} minutes on 1 x CPU" in card
    assert "| steps | 6 of batch 4 |" in card and "20 puzzles of the split train" in card
    assert f"torch {result['torch']}" in card and "moving average, decay 0.9" in card
    assert "single one, with seed 3" in card and "vary by 2 points" in card and "contested" in card
    assert "unseen ARC puzzle id" not in card  # it is not an ARC model
    command = "hrm-hf evaluate path/to/this/folder sudoku-4x4 --split test --limit 1000 --max-segments 16"
    assert f"{command} --halt-threshold 0.9\n" in card
    # with the recipe, without paths of this machine
    recipe = yaml.safe_load(card.partition("```yaml\n")[2].partition("```")[0])
    said = yaml.safe_load((run / "recipe.yaml").read_text())
    assert recipe == {name: value for name, value in said.items() if "output_dir" not in name} | {
        "dataset": "sudoku-4x4"
    }
    assert str(run.parent) not in card and str(sudoku_run.parent) not in card
    assert not re.search(r"\n\n\n|[{}]|None|undefined", card)


def test_notes_stand_below_the_results(hrm_hf, run, tmp_path):
    notes = tmp_path / "notes.md"
    notes.write_text("\nMeasured besides: `{{ kept }}` as it is.\n\n")
    assert hrm_hf("card", run, "--notes", notes)[0] == 0
    card = (run / "model/README.md").read_text()
    assert "split test.*\n\nMeasured besides: `{{ kept }}` as it is.\n\n## How to load it" in card
    code, _, err = hrm_hf("card", run, "--notes", tmp_path / "other.md")
    assert code == 1 and "There is no file" in err and "give a Markdown file, or leave the notes out" in err


def test_the_optimizer_is_the_one_of_the_recipe(hrm_hf, run):
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    for optimizer, words in (
        ("adam_atan2", "| optimizer | AdamATan2, "),
        ("muon", "| optimizer | Muon for the matrices of blocks, AdamATan2 for the rest, "),
    ):
        (run / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"optimizer": optimizer}))
        assert hrm_hf("card", run)[0] == 0
        assert words in (run / "model/README.md").read_text()


def test_a_run_without_a_test_shows_its_own_evaluation(hrm_hf, run):
    (run / "test.json").unlink()
    code, out, _ = hrm_hf("card", run, "--json")
    result = json.loads((run / "result.json").read_text())
    assert code == 0 and json.loads(out)["files"] == [str(run / "model" / name) for name in ("README.md", "curve.png")]
    card = ModelCard.load(run / "model/README.md")
    assert [entry.metric_args["n"] for entry in card.data.eval_results] == [8, 8]
    assert card.data.eval_results[1].metric_value == pytest.approx(result["cell_accuracy"], abs=1e-6)
    assert card.data.eval_results[0].dataset_type == "sudoku-4x4"


def test_the_code_in_the_card_runs(hrm_hf, run, monkeypatch, capsys):
    monkeypatch.chdir(run)
    assert hrm_hf("card", ".", "--repo", "./model")[0] == 0
    code = (run / "model/README.md").read_text().partition("```python\n")[2].partition("```")[0]
    exec(code, {})
    assert "Verdict(solved=" in capsys.readouterr().out


def test_the_curve_has_the_points_of_the_log(run):
    record = model_card.read_run(run)
    left, right = model_card.draw_curve(record).axes
    training = [line for line in record.log if "lm_loss" in line]
    evaluations = [line for line in record.log if "eval_n" in line]
    assert (len(training), len(evaluations)) == (3, 2)
    assert left.lines[0].get_xydata().tolist() == [[line["step"], line["lm_loss"]] for line in training]
    exact, cells = right.lines[1], right.lines[2]
    assert exact.get_xydata().tolist() == [[line["step"], 100 * line["eval_exact_accuracy"]] for line in evaluations]
    assert cells.get_xydata().tolist() == [[line["step"], 100 * line["eval_cell_accuracy"]] for line in evaluations]
    assert "exactly solved, test, at most 2 segments" in exact.get_label()


def test_every_word_of_the_template_is_given(run, monkeypatch):
    given = {}
    monkeypatch.setattr(
        model_card.ModelCard, "from_template", lambda data, template_path, **content: given.update(content)
    )
    model_card.run_card(model_card.read_run(run), None, None, "mit")
    template = jinja2.Environment().parse(model_card.template_path().read_text())
    assert jinja2.meta.find_undeclared_variables(template) == given.keys() | {"card_data"}


def test_an_arc_card_says_that_unseen_tasks_score_nothing(run):
    processor = HRMGridProcessor.for_arc({"a": 1})
    processor.save_pretrained(run / "model")
    card = str(model_card.run_card(model_card.read_run(run), "me/arc", None, "mit"))
    assert "an unseen ARC puzzle id scores nothing" in card
    assert 'processor(puzzle, identifiers="name of the task")' in card
    assert "processor.check" not in card  # there are no rules to check by


def test_a_maze_card_shows_how_a_maze_is_written(run):
    HRMGridProcessor.for_maze(5, 7).save_pretrained(run / "model")
    card = str(model_card.run_card(model_card.read_run(run), None, None, "mit"))
    assert "# HRM for mazes 5x7" in card and "5 lines of 7 characters" in card


def test_text_runs_have_cards_too(hrm_hf, tmp_path):
    stories = [f"The {number}th story has {number} words, and then it ends. " * 4 for number in range(40)]
    (tmp_path / "stories.txt").write_text("\n\n\n".join(stories))
    blocks = {"train_bpe": 300, "block_size": 32, "document_separator": r"\n\n\n", "validation_share": 0.1}
    build_text(tmp_path / "text", inputs=[str(tmp_path / "stories.txt")], **blocks)
    network = NETWORK | {"halt_max_steps": 1, "halting": "lean", "token_loss": "softmax", "task": "text"}
    run = train(tmp_path / "run", dataset=tmp_path / "text", eval_split="validation", batch_size=4, **network, **STEPS)
    assert hrm_hf("card", run, "--repo", "me/text")[0] == 0
    card, result = ModelCard.load(run / "model/README.md"), json.loads((run / "result.json").read_text())
    bits, perplexity = card.data.eval_results
    assert card.data.pipeline_tag == "text-generation"
    assert (bits.metric_type, bits.metric_value) == ("bits_per_byte", round(result["bits_per_byte"], 6))
    assert (perplexity.metric_type, perplexity.metric_args) == ("perplexity", {"n_tokens": result["n_tokens"]})
    assert f"| validation | {result['n_tokens']:,} | **{result['bits_per_byte']:.3f}** |" in card.text
    assert 'pipeline("text-generation", model="me/text", trust_remote_code=True)' in card.text
    assert "states falsehoods" in card.text and str(tmp_path) not in card.text
    assert (run / "model/curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda run: (run / "result.json").unlink(), "has no result.json, so it is not a finished training run"),
        (lambda run: (run / "recipe.yaml").unlink(), "has no recipe.yaml, so it is not a finished training run"),
        (lambda run: (run / "test.json").write_text("{"), "test.json is not JSON"),
        (lambda run: (run / "test.json").write_text("[]"), "test.json is not a JSON object but a list"),
        (
            lambda run: (run / "test.json").write_text("{}"),
            "test.json has no exact_accuracy, cell_accuracy, n, so it was",
        ),
        (lambda run: (run / "log.jsonl").write_text('{"step": 1}\n{"ste'), "line 2 of .*log.jsonl is not JSON"),
        (lambda run: (run / "recipe.yaml").write_text("["), "recipe.yaml is not YAML"),
    ],
)
def test_what_is_no_run_is_one_sentence(hrm_hf, run, spoil, sentence):
    spoil(run)
    code, _, err = hrm_hf("card", run)
    assert code == 1 and re.search(sentence, err), err
    assert err.count("\n") == 1
    assert not (run / "model/README.md").exists() and not (run / "model/curve.png").exists()


# --- for bug reports


def test_the_environment_is_shown_without_names_and_paths(hrm_hf):
    import torch

    code, out, _ = hrm_hf("env")
    assert code == 0
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert torch.__version__.startswith(rows["torch"]) and rows["offline"] == "yes (HF_HUB_OFFLINE)"
    assert rows["python"] == ".".join(map(str, sys.version_info[:3]))
    code, out, _ = hrm_hf("env", "--json")
    assert code == 0 and json.loads(out) == describe_environment()
    assert str(Path.home()) not in out
