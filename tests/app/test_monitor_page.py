"""The monitor: logs read while they are written, curves and boards, its endpoints, and the page in a browser."""

import json
import math
import os
import re
import time

import pytest
from gradio_client.exceptions import AppError
from served_pages import (
    RUBBISH,
    client,  # noqa: F401  a fixture
    eval_line,
    open_tab,
    train_line,
    world,
    write_run,
)

from hrm_hf.app import run_logs
from hrm_hf.app.charts import Line, histogram, line_chart
from hrm_hf.app.monitor_page import charts_html, evaluation_html, recipes_html, status_html
from hrm_hf.app.others_files import folders_with
from hrm_hf.app.run_boards import board_svg
from hrm_hf.app.run_logs import RunLogs, thinned


# --- logs


def append(log, *records: dict, end: str = "\n") -> None:
    with open(log, "a") as file:
        file.write("\n".join(json.dumps(record) for record in records) + end)


def test_a_growing_log_is_followed_and_a_half_written_line_waits(tmp_path):
    log = write_run(tmp_path / "run", [train_line(10)])
    logs = RunLogs(tmp_path)
    assert logs.read("run").last_step == 10
    half = json.dumps(train_line(20))
    with open(log, "a") as file:
        file.write(half[:50])
    assert logs.read("run").last_step == 10
    with open(log, "a") as file:
        file.write(half[50:] + "\n")
    assert logs.read("run").series["lm_loss"].points("step") == ([10, 20], [1.6, 1.55])


def test_only_what_is_new_is_read(tmp_path):
    log = write_run(tmp_path / "run", [train_line(step) for step in range(1, 20_001)])
    logs = RunLogs(tmp_path)
    logs.read("run")
    version, start = logs.read("run").version, time.perf_counter()
    for _ in range(100):
        assert logs.read("run").version == version
    assert time.perf_counter() - start < 1
    append(log, train_line(20_001))
    assert logs.read("run").last_step == 20_001
    assert logs.read("run").version > version


def test_a_run_that_goes_on_rewrites_its_log_and_is_read_anew(tmp_path):
    log = write_run(tmp_path / "run", [train_line(step) for step in (10, 20, 30)])
    logs = RunLogs(tmp_path)
    logs.read("run")
    kept = log.read_text().splitlines(keepends=True)[:2]
    # as RunFolder does: written beside it and renamed; so it may be longer than before by the time it is looked at
    (tmp_path / "run" / "partial-log.jsonl").write_text("".join(kept))
    (tmp_path / "run" / "partial-log.jsonl").rename(log)
    append(log, *(train_line(step, lm_loss=9.0) for step in (25, 35, 45)))
    assert logs.read("run").series["lm_loss"].points("step")[0] == [10, 20, 25, 35, 45]
    write_run(tmp_path / "run", [train_line(7)])
    assert logs.read("run").series["lm_loss"].points("step")[0] == [7]


def test_lines_that_are_none_of_a_log_are_left_out(tmp_path):
    log = write_run(tmp_path / "run", [train_line(10)])
    with open(log, "ab") as file:
        file.write(
            b'\xff\xfe\x00\n[1, 2]\n{"step": "x", "minutes": 1}\n{"half": \n"text"\n\n{"step": 1e999, "minutes": 0}\n'
        )
    append(log, train_line(20, lm_loss=math.nan, eval_boards="no list"), eval_line(20, eval_boards=[3, {"puzzle": 1}]))
    run = RunLogs(tmp_path).read("run")
    assert run.series["lm_loss"].points("step") == ([10], [1.6])
    assert run.series["lr"].points("step")[0] == [10, 20]
    assert run.evaluations[-1].boards == [{"puzzle": 1}]
    assert charts_html([run], "minutes", True)
    assert evaluation_html([run], "newest")


def test_thinning_keeps_ends_and_peaks():
    rows = [(step, 0.0, 1.0) for step in range(1000)]
    rows[417] = (417, 0.0, 99.0)
    rows[733] = (733, 0.0, -5.0)
    kept = thinned(rows, 100)
    assert len(kept) <= 100
    assert {rows[0], rows[417], rows[733], rows[-1]} <= set(kept)
    assert kept == sorted(kept)


def test_memory_of_a_long_run_is_bounded(tmp_path):
    write_run(tmp_path / "run", [train_line(step) for step in range(1, 9000)])
    series = RunLogs(tmp_path).read("run").series["lr"]
    assert len(series) <= 2000
    assert series.points("step")[0][0] == 1
    assert series.points("step")[0][-1] == 8999


def test_the_state_of_a_run(tmp_path):
    logs = RunLogs(tmp_path)
    write_run(tmp_path / "new", [])
    write_run(tmp_path / "working", [train_line(10)])
    write_run(tmp_path / "over", [train_line(10)], result={"steps": 10})
    states = {name: logs.read(name).state() for name in logs.names()}
    assert states == {"new": "starting", "working": "running", "over": "finished"}
    assert logs.read("working").state(time.time() + 10_000) == "stopped"
    assert "step 10 of 200" in status_html([logs.read("working")], True)


def test_runs_in_folders_of_folders_are_found_and_nothing_outside_is(tmp_path):
    write_run(tmp_path / "root" / "sweep" / "a", [train_line(10)])
    write_run(tmp_path / "outside", [train_line(10)])
    logs = RunLogs(tmp_path / "root")
    assert logs.names() == ["sweep/a"]
    for name in ("../outside", str(tmp_path / "outside"), "sweep/../sweep/a", "", ".", None, 3, "\x00"):
        with pytest.raises(ValueError, match="There is no run"):
            logs.read(name)


# --- what is drawn


@pytest.fixture
def run(tmp_path):
    write_run(tmp_path / "<b>run</b>", [train_line(10), train_line(20), eval_line(20)])
    return RunLogs(tmp_path).read("<b>run</b>")


def test_a_damaged_run_is_no_matter_of_the_others(tmp_path):
    for name in ("pipe", "yaml", "deep", "good"):
        write_run(tmp_path / "runs" / name, [train_line(10)], result={"steps": 10})
    runs = tmp_path / "runs"
    (runs / "pipe" / "log.jsonl").unlink()
    os.mkfifo(runs / "pipe" / "log.jsonl")
    (runs / "yaml" / "recipe.yaml").write_text("a: [1, 2\n 2026-99-99: {")
    (runs / "deep" / "recipe.yaml").write_text("[" * 5_000)
    (runs / "deep" / "result.json").write_text("[" * 100_000)
    with open(runs / "deep" / "log.jsonl", "a") as log:
        log.write(
            "[" * 100_000 + "\n" + '{"step": 1e999, "minutes": 1}\n' + '{"step": 20, "minutes": 1, "x": 1e400}\n'
        )
    write_run(tmp_path / "outside", [train_line(10)])
    (runs / "linked").symlink_to(tmp_path / "outside")
    (runs / "yaml" / "result.json").unlink()
    (runs / "yaml" / "result.json").symlink_to(tmp_path / "outside" / "log.jsonl")
    (runs / "good" / "result.json").write_text('{"steps": [1]}')
    logs = RunLogs(runs)
    assert sorted(logs.names()) == ["deep", "good", "pipe", "yaml"]
    assert [logs.read(name).last_step for name in ("deep", "good", "pipe", "yaml")] == [20, 10, -1, 10]
    assert logs.read("yaml").options == {} and logs.read("deep").result is None
    assert logs.read("yaml").result is None
    assert status_html([logs.read(name) for name in logs.names()], True)
    assert board_svg({"prediction": "[" * 5_000})


def test_ten_thousand_runs_are_listed_and_read_without_a_scan_for_each(tmp_path, monkeypatch):
    for number in range(300):
        write_run(tmp_path / f"run{number}", [train_line(10)])
    scans = []
    monkeypatch.setattr(run_logs, "folders_with", lambda *where: scans.append(1) or folders_with(*where))
    logs = RunLogs(tmp_path)
    for name in logs.names():
        logs.read(name)
    assert len(scans) <= 3


def test_letters_of_lines_that_end_together_are_apart():
    chart = line_chart("Loss", [Line(str(n), [0, 1], [0, 1 + n / 1000], letter="abc"[n]) for n in range(3)], "step")
    heights = sorted(float(y) for y in re.findall(r'class="hrm-letter [^>]* y="([\d.]+)"', chart))
    assert len(heights) == 3 and min(b - a for a, b in zip(heights, heights[1:], strict=False)) >= 10


def test_curves_name_training_and_evaluation_cells_and_puzzles(run):
    html = charts_html([run], "step", False)
    exact = html[html.index("Exact accuracy: puzzles fully solved") :]
    assert "&lt;b&gt;run&lt;/b&gt;, training: 0.5 at 20" in exact
    assert "&lt;b&gt;run&lt;/b&gt;, evaluation: 0.625 at 20" in exact
    cells = html[html.index("Cell accuracy: single cells correct") :]
    assert cells.index("training: 0.75") < cells.index("evaluation: 0.875")
    for title in ("(lm_loss)", "(q_halt_loss)", "(q_continue_loss)", "Gradient norm", "Samples per", "Memory in GB"):
        assert title in html
    assert "Tokens per second" not in html  # this run does not log it
    assert "<b>run" not in html


def test_parts_that_are_always_zero_are_left_out(tmp_path):
    write_run(tmp_path / "lean", [train_line(10, q_continue_loss=0.0)])
    assert "q_continue_loss" not in charts_html([RunLogs(tmp_path).read("lean")], "step", False)


def test_runs_are_told_apart_without_colors(tmp_path):
    for name in ("one", "two"):
        write_run(tmp_path / name, [train_line(10), train_line(20)])
    logs = RunLogs(tmp_path)
    html = charts_html([logs.read("one"), logs.read("two")], "step", False)
    assert ">A</text>" in html
    assert ">B</text>" in html


def test_a_page_without_runs_or_lines_says_what_to_do(tmp_path):
    assert "train_accelerate.py" in status_html([], False)
    assert "Choose one" in status_html([], True)
    write_run(tmp_path / "new", [])
    new = RunLogs(tmp_path).read("new")
    assert "log_steps" in charts_html([new], "step", False)
    assert "eval_steps" in evaluation_html([new], "newest")


def test_samples_and_boards_of_the_evaluation_that_is_asked_for(tmp_path):
    sample = {"prompt": "<i>Once</i>", "continuation": "upon\na time"}
    write_run(tmp_path / "run", [eval_line(10), eval_line(20, eval_boards=[], eval_samples=[sample])])
    run = RunLogs(tmp_path).read("run")
    assert "1 cell wrong, 3 segments" in evaluation_html([run], "10")
    newest = evaluation_html([run], "newest")
    assert "&lt;i&gt;Once&lt;/i&gt;" in newest
    assert "upon\na time" in newest
    assert "There is no evaluation" in evaluation_html([run], "15")


def test_recipes_are_shown_as_they_are_written(run):
    assert "max_steps: 200" in recipes_html([run])


@pytest.mark.parametrize(
    ("board", "said"),
    [
        ({"prediction": "1234", "answer": "1244", "puzzle": "1..4"}, "sudoku board, 2 by 2: 1 cell wrong"),
        ({"prediction": "S o#G ", "answer": "S o#G "}, "maze board, 2 by 3: right"),
        ({"prediction": "[[1,2],[3,4]]", "answer": "[[1,2]]"}, "grid board, 2 by 2: wrong size"),
        ({"prediction": "[[1,2],[3]]"}, "no board"),
        ({"prediction": "[]"}, "no board"),
        ({"prediction": None}, "no board"),
        ({"prediction": '[["<script>", 99]]'}, "grid board, 1 by 2: no answer known"),
        ({"prediction": "<>&\x00", "segments": True}, "no answer known"),
        ({"prediction": "7" * 17}, "grid board, 1 by 17"),
        ({}, "no board"),
    ],
)
def test_boards_of_any_kind_and_rubbish(board, said):
    svg = board_svg(board)
    assert said in svg
    assert "<script>" not in svg


def test_a_16x16_sudoku_is_no_maze():
    """G is its sixteenth digit, and the goal of a maze."""
    digits = "123456789ABCDEFG"
    board = {"puzzle": "G" + "." * 255, "prediction": digits * 16}
    for logged in (board, board | {"kind": "sudoku", "width": 16}):
        svg = board_svg(logged)
        assert "sudoku board, 16 by 16" in svg and ">G</text>" in svg


def test_a_log_says_what_its_boards_are():
    line = "S" + " " * 10 + "G"
    assert "maze board, 3 by 4" in board_svg({"prediction": line})
    assert "maze board, 2 by 6" in board_svg({"prediction": line, "kind": "maze", "width": 6})
    # a kind of a plug-in that this app has not
    assert "grid board, 2 by 2" in board_svg({"prediction": "1..4", "kind": "futoshiki", "width": 2})


def test_charts_with_one_point_no_point_and_a_constant():
    assert "no values yet" in line_chart("a", [], "step")
    assert "<circle" in line_chart("a", [Line("one", [3], [5])], "step", log=True)
    assert "nan" not in line_chart("a", [Line("flat", [1, 2], [0.0, 0.0]), Line("bad", [1], [math.nan])], "step")
    assert "no values yet" in line_chart("a", [Line("below", [1, 2], [-1.0, 0.0])], "step", log=True)


def test_a_single_evaluation_has_no_axis_below_zero():
    chart = line_chart("Accuracy", [Line("exact", [100.0], [0.0])], "step")
    ticks = [float(text) for text in re.findall(r">(-?[\d.]+)</text>", chart)]
    assert 0.0 in ticks and min(ticks) >= 0


def test_steps_beyond_the_recipe_are_not_so_many_of_fewer(tmp_path):
    write_run(tmp_path / "runs" / "resumed", [train_line(454)], max_steps=60)
    status = status_html([RunLogs(tmp_path / "runs").read("resumed")], True)
    assert "step 454" in status and "of 60" not in status


def test_histograms_count_every_value():
    import numpy as np

    assert histogram(np.array([3, 3, 5])) == [("3", 2.0), ("4", 0.0), ("5", 1.0)]
    assert sum(count for _, count in histogram(np.arange(1000))) == 1000
    assert histogram(np.array([])) == []


# --- endpoints


def test_endpoints_give_runs_series_and_evaluations(client):  # noqa: F811
    runs = {run["run"]: run for run in client.predict(api_name="/monitor_runs")}
    assert runs["first"]["step"] == 100
    assert runs["first"]["max_steps"] == 200
    assert runs["first"]["scores"]["exact_accuracy"] == 0.625
    series = client.predict("first", "minutes", 5, api_name="/monitor_series")
    assert len(series["lm_loss"]["x"]) == len(series["lm_loss"]["y"]) <= 10
    assert series["eval_cell_accuracy"]["y"] == [0.875]
    evaluation = client.predict("first", 0, api_name="/monitor_evaluation")
    assert evaluation["boards"][0]["segments"] == 3


@pytest.mark.parametrize("rubbish", RUBBISH, ids=range(len(RUBBISH)))
def test_rubbish_is_answered_with_a_sentence(client, rubbish):  # noqa: F811
    with pytest.raises(AppError, match="There is no run"):
        client.predict(rubbish, "step", 10, api_name="/monitor_series")
    with pytest.raises(AppError, match="is unknown"):
        client.predict("first", rubbish, 10, api_name="/monitor_series")
    with pytest.raises(AppError, match="There is no evaluation"):
        client.predict("first", 10**9, api_name="/monitor_evaluation")


# --- in a browser


def test_a_live_run_is_watched_and_the_watching_can_be_paused(chromium):
    log = write_run(world().root / "runs" / "live", [train_line(10)])
    page = open_tab(chromium, "Training")
    status = page.locator("#monitor-status")
    status.get_by_text("step 10 of 200").wait_for()
    append(log, train_line(20), eval_line(20), end="\n" + json.dumps(train_line(30))[:30])
    status.get_by_text("step 20 of 200").wait_for()
    assert page.locator("#monitor-charts svg[role=img]").count() >= 10
    assert (
        page.locator("#monitor-shown svg").get_attribute("aria-label")
        == "sudoku board, 4 by 4: 1 cell wrong, 3 segments"
    )
    page.get_by_label("minutes").check()
    page.locator("#monitor-charts svg[aria-label*='by minutes']").first.wait_for()
    page.get_by_label("Refresh automatically").uncheck()
    page.wait_for_timeout(800)
    write_run(log.parent, [train_line(10), train_line(150)])
    page.wait_for_timeout(2500)
    assert status.get_by_text("step 20 of 200").is_visible()
    page.get_by_label("Refresh automatically").check()
    status.get_by_text("step 150 of 200").wait_for()
    page.close()
