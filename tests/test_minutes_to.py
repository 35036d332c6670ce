"""The benchmark of minutes until an accuracy: what is counted, and what is said of it."""

import json

import pytest
import typer

from benchmarks import minutes_to as benchmark
from benchmarks import records
from benchmarks.minutes_to import main, minutes_to, records_of, sentence


def evaluation(step: int, accuracy: float, minutes: float, compiled: float | None = None) -> dict:
    line = {"step": step, "minutes": minutes, "eval_n": 100, "eval_exact_accuracy": accuracy}
    if compiled is not None:
        line |= {"compile_minutes": compiled, "evaluation_minutes": 0.5, "total_minutes": minutes + 0.75}
    return line


RISING = [evaluation(10, 0.2, 2.0, 1.0), evaluation(20, 0.4, 3.0, 1.0), evaluation(30, 0.8, 5.0, 1.5)]


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """A run that has ended, and a folder of its own for records."""
    folder = tmp_path / "grown"
    folder.mkdir()
    training = {"step": 10, "minutes": 2.0, "loss": 1.0}
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [training, *RISING]))
    (folder / "recipe.yaml").write_text("seed: 3\n")
    result = {"device": "GPU", "torch": "2", "transformers": "5", "parameters": 7, "eval_split": "validation"}
    (folder / "result.json").write_text(json.dumps(result))
    for module in (benchmark, records):
        monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    return folder


def test_minutes_are_those_of_the_first_evaluation_that_is_so_good_without_compilation():
    found = minutes_to(RISING, 0.4, "exact_accuracy")
    assert (found["step"], found["reached"], found["minutes"]) == (20, 0.4, 2.0)
    assert found["before"] == {"step": 10, "reached": 0.2, "minutes": 1.0}
    assert (found["compile_minutes"], found["evaluation_minutes"], found["total_minutes"]) == (1.0, 0.5, 3.75)
    # nothing between two evaluations is made up
    assert minutes_to(RISING, 0.41, "exact_accuracy")["minutes"] == 3.5
    assert "interpolated_minutes" not in found


def test_a_straight_line_between_evaluations_only_where_it_is_asked_for():
    found = minutes_to(RISING, 0.5, "exact_accuracy", interpolate=True)
    assert found["minutes"] == 3.5 and found["interpolated_minutes"] == pytest.approx(2.375)
    assert minutes_to(RISING, 0.1, "exact_accuracy", interpolate=True)["interpolated_minutes"] is None


def test_the_first_time_counts_where_the_accuracy_falls_again():
    falling = [evaluation(10, 0.6, 1.0, 0.0), evaluation(20, 0.5, 2.0, 0.0), evaluation(30, 0.7, 3.0, 0.0)]
    found = minutes_to(falling, 0.55, "exact_accuracy")
    assert (found["minutes"], found["before"]) == (1.0, None)


def test_an_accuracy_that_is_not_reached_has_no_minutes(run_folder):
    (found,) = records_of(run_folder, [0.9], "exact_accuracy")
    assert (found["step"], found["minutes"], found["total_minutes"]) == (None, None, None)
    assert sentence(found).endswith("not reached; 80.0 % at the end, after 3.50 minutes")


def test_a_record_says_what_is_left_out_and_the_total(run_folder):
    one, two = records_of(run_folder, [0.4, 0.8], "exact_accuracy")
    assert (one["variant"], one["seed"], one["split"], one["n"]) == ("grown", 3, "validation", 100)
    assert one["minutes_exclude"] == ["compilation", "evaluation"]
    assert "without compilation and without evaluation, total 3.75 minutes" in sentence(one)
    assert "of which compilation 1.00 and evaluation 0.50" in sentence(one)
    assert two["minutes"] == 3.5


def test_a_log_that_does_not_tell_compilation_apart_is_one_whose_minutes_include_it(run_folder):
    old = [evaluation(10, 0.2, 2.0), evaluation(20, 0.6, 3.0)]
    (run_folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    (found,) = records_of(run_folder, [0.5], "exact_accuracy")
    assert found["minutes_exclude"] == ["evaluation"]
    assert (found["minutes"], found["compile_minutes"], found["total_minutes"]) == (3.0, None, None)
    assert "compilation" not in sentence(found)


def test_records_of_other_runs_are_kept(run_folder, capsys):
    other = run_folder.rename(run_folder.with_name("other"))
    main([other], [0.4], commit="abc")
    grown = other.rename(other.with_name("grown"))
    for _ in range(2):
        main([grown], [0.4, 0.8], commit="def")
    written = records.read_records("minutes_to")
    assert [(line["variant"], line["accuracy"], line["commit"]) for line in written] == [
        ("other", 0.4, "abc"),
        ("grown", 0.4, "def"),
        ("grown", 0.8, "def"),
    ]
    assert "grown: 80 % of 100 (exact_accuracy) after 3.50 minutes" in capsys.readouterr().out


def test_a_log_that_was_kept_is_described_by_its_record(run_folder, tmp_path):
    kept = tmp_path / "results" / "hard.log.jsonl"
    about = {"device": "H", "torch": "2", "transformers": "5", "seed": 1, "parameters": 2, "variant": "x"}
    records.write_records("hard", [about | {"benchmark": "b"}], commit="abc", day="2026-11-27")
    kept.write_text((run_folder / "log.jsonl").read_text())
    (found,) = records_of(kept, [0.4], "exact_accuracy")
    assert (found["variant"], found["device"], found["commit"], found["date"]) == ("hard", "H", "abc", "2026-11-27")


@pytest.mark.parametrize(
    ("change", "accuracy", "score", "message"),
    [
        (lambda run: (run / "result.json").unlink(), 0.5, "exact_accuracy", "has no result.json; give the folder"),
        (lambda run: (run / "log.jsonl").write_text(""), 0.5, "exact_accuracy", "log.jsonl has no evaluation"),
        (lambda run: None, 55, "exact_accuracy", "--accuracy 55 is not allowed; it must be above 0"),
        (lambda run: None, 0.5, "accuracy", "have no accuracy; they have exact_accuracy, n"),
    ],
)
def test_what_cannot_be_is_one_sentence(run_folder, change, accuracy, score, message):
    change(run_folder)
    with pytest.raises(typer.BadParameter, match=message):
        main([run_folder], [accuracy], score=score)
