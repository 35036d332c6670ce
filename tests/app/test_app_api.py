"""The app as programs use it: endpoints of puzzles and models, and what it refuses."""

import asyncio
import html
import http.client
import io
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import PIL.Image
import pytest
import torch
from conftest import ANSWER, MAZE_SIDE, PUZZLE
from gradio.queueing import EventQueue
from gradio_client.exceptions import AppError

from hrm_hf.app.context import Deadline
from hrm_hf.app.limits import SESSION_SECONDS, GuardedBlocks, check_cost
from hrm_hf.app.link_preview import LinkPreviews
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.models_page import models_html
from hrm_hf.app.others_files import card_html
from hrm_hf.app.solving import PuzzleDesk, verdict_text
from hrm_hf.evaluation.trace import trace_thinking
from hrm_hf.puzzles.maze.examples import random_maze


SUDOKU = "sudoku/model"
RUBBISH = ["", "\x00\x1b[31m\x07", "../../../etc/passwd", "<script>alert(1)</script>", "9" * 100_000, "🙂" * 50]


# --- solving


def test_a_puzzle_is_solved_and_its_thinking_told(app_client):
    result = app_client.predict(model=SUDOKU, puzzle=PUZZLE, api_name="/solve_puzzle")
    assert (result["puzzle"], result["answer"], result["solved"]) == (PUZZLE, ANSWER, True)
    assert len(result["steps"]) == result["segments"] and result["copies"] == 1
    last = result["steps"][-1]
    assert last["cells"] == ANSWER and len(last["sure"]) == 16 and 0 <= last["halt"] <= 1
    assert all(0 < share <= 1 for share in last["sure"])
    assert all(other <= share for share, other in zip(last["sure"], last["second_sure"], strict=True))
    assert all(a != b for a, b in zip(last["cells"], last["second"], strict=True))
    assert len(last["change_H"]) == len(last["change_L"]) == 16 and min(last["change_L"]) >= 0
    assert result["ballots"] == [ANSWER] and result["seconds"] > 0


def test_a_printed_board_is_a_puzzle_too(app_client):
    drawn = "\n".join("|".join((PUZZLE[row : row + 2], PUZZLE[row + 2 : row + 4])) for row in range(0, 16, 4))
    assert app_client.predict(model=SUDOKU, puzzle=drawn, api_name="/solve_puzzle")["answer"] == ANSWER


def test_copies_are_asked_when_the_first_answer_breaks_the_rules(app_client):
    puzzle = "3..44.......2..3"  # unlike the one that the model knows
    result = app_client.predict(model=SUDOKU, puzzle=puzzle, max_segments=2, copies=3, api_name="/solve_puzzle")
    assert 1 < result["copies"] <= 3
    assert result["steps"][-1]["title"] == f"The best of {result['copies']} copies"
    assert len(result["ballots"]) == result["copies"] and result["answer"] in result["ballots"]
    assert result["steps"][-1]["cells"] == result["answer"] and result["steps"][-1]["sure"] is None


@pytest.mark.parametrize(
    ("model", "puzzle", "outcome", "reason"),
    [
        (SUDOKU, "11" + "." * 14, "no solution", "row 1 has two 1s"),
        (SUDOKU, "123....4........", "no solution", "an exact search"),
        (SUDOKU, "." * 16, "more than one solution", "two boards"),
        (SUDOKU, ANSWER, "solved", "full"),
        ("maze", "S#    " + "##    " + "      " * 3 + "     G", "no solution", "no path from S to G"),
    ],
)
def test_what_exact_search_tells_is_told_before_the_model_is_asked(app_client, model, puzzle, outcome, reason):
    result = app_client.predict(model=model, puzzle=puzzle, copies=4, api_name="/solve_puzzle")
    assert (result["outcome"], result["solved"]) == (outcome, outcome == "solved")
    assert (result["segments"], result["copies"], result["steps"]) == (0, 0, [])
    assert reason in result["reason"]
    assert verdict_text(result).startswith(f"**{outcome.capitalize()}**.") and "may help" not in verdict_text(result)


def test_boards_on_the_way_keep_the_clues(app_client):
    puzzle = "3..44.......2..3"
    result = app_client.predict(model=SUDOKU, puzzle=puzzle, early_stop=False, copies=4, api_name="/solve_puzzle")
    for step in result["steps"]:
        assert all(cell == clue for cell, clue in zip(step["cells"], puzzle, strict=True) if clue != ".")


def test_what_the_command_reads_is_read_here(app_client):
    rows = [PUZZLE[start : start + 4] for start in range(0, 16, 4)]
    for text in (
        "# a comment\n" + "\n".join(rows),
        "\n".join("\t".join(row).replace(".", "") for row in rows),
        str([[0 if cell == "." else int(cell) for cell in row] for row in rows]),
        PUZZLE.replace(".", "-"),
    ):
        result = app_client.predict(model=SUDOKU, puzzle=text, api_name="/solve_puzzle")
        assert (result["puzzle"], result["answer"]) == (PUZZLE, ANSWER)


def test_a_maze_is_judged_by_the_rules(app_client):
    maze = app_client.predict(height=MAZE_SIDE, width=MAZE_SIDE, difficulty="easy", seed=1, api_name="/random_maze")
    assert len(maze) == MAZE_SIDE**2 and maze.count("S") == maze.count("G") == 1
    result = app_client.predict(model="maze", puzzle=maze, max_segments=2, early_stop=False, api_name="/solve_puzzle")
    assert len(result["steps"]) == 2 and not result["solved"] and result["reason"]


def test_the_trace_is_what_solve_gives(app_settings):
    model, processor = ModelShelf(app_settings).load_grid("maze")
    inputs = processor(random_maze(MAZE_SIDE, MAZE_SIDE, "easy", seed=2))
    thinking = trace_thinking(model, **inputs, max_segments=5, early_stop=False)
    solved = model.solve(**inputs, max_segments=5, early_stop=False, return_history=True)
    assert torch.equal(thinking.boards, solved.prediction_history[0])
    torch.testing.assert_close(thinking.halt_probabilities, solved.halt_probability_history[0])
    assert thinking.halted == solved.halted[0]
    one = trace_thinking(model, **inputs, max_segments=1)
    logits = model(**inputs).logits[0]
    torch.testing.assert_close(one.confidence[0], logits.softmax(-1).max(-1).values)
    assert (thinking.norm_H > 0).all() and (thinking.change_L > 0).all()
    top = logits.softmax(-1).topk(2)
    torch.testing.assert_close(one.second_confidence[0], top.values[:, 1])
    assert torch.equal(one.second_boards[0], top.indices[:, 1])
    # the change of all cells together is that of the states, whose positions are the cells here
    together = thinking.cell_change_H.square().mean(1).sqrt()
    torch.testing.assert_close(together, thinking.change_H)


def test_a_verdict_names_what_is_wrong():
    result = {"outcome": "not solved", "reason": "row 1 has two 1s", "segments": 1, "copies": 1, "seconds": 0.123}
    advice = "More segments or copies may help."
    assert verdict_text(result) == f"**Not solved** in 1 segment, 0.12 seconds. Row 1 has two 1s. {advice}"
    solved = verdict_text(result | {"outcome": "solved", "reason": "all rules hold", "segments": 5, "copies": 2})
    assert solved == "**Solved** in 5 segments on 2 copies, 0.12 seconds. All rules hold."
    fault = verdict_text({"outcome": "no solution", "reason": "no digit fits", "segments": 0, "copies": 0})
    assert fault == "**No solution**. No digit fits."


@pytest.mark.parametrize("difficulty", ["easy", "hard"])
def test_random_sudoku_have_one_solution(app_client, difficulty):
    from hrm_hf.puzzles.sudoku.rules import SYMBOLS
    from hrm_hf.puzzles.sudoku.solver import solve

    line = app_client.predict(size=6, difficulty=difficulty, seed=3, api_name="/random_sudoku")
    assert line == app_client.predict(size=6, difficulty=difficulty, seed=3, api_name="/random_sudoku")
    import numpy as np

    _, counts, _ = solve(np.array([[SYMBOLS.index(cell) for cell in line]], dtype=np.uint8), 6)
    assert counts.tolist() == [1]


# --- ARC


def test_arc_votes_on_a_task_that_the_model_knows(app_client):
    assert app_client.predict(api_name="/arc_data_sets") == ["known", "other"]
    assert app_client.predict(data_set="known", api_name="/arc_tasks") == ["turn-known"]
    task = app_client.predict(data_set="known", task="turn-known", api_name="/arc_task")
    assert task["test"] == [{"input": [[7, 1]], "output": [[1], [7]]}]
    result = app_client.predict(
        model="arc", data_set="known", task="turn-known", augmentations=1, max_segments=1, api_name="/solve_arc"
    )
    assert result["task"] == task and result["notice"] == ""
    (answer,) = result["answers"]
    assert answer["votes"] == 2 and len(answer["attempts"]) <= 2
    (segment,) = answer["segments"]
    assert 0 <= segment["halt"] <= 1 and isinstance(segment["grid"], list)


def test_a_task_that_the_model_does_not_know_is_a_sentence(app_client):
    with pytest.raises(AppError, match="does not know"):
        app_client.predict(model="arc", data_set="other", task="turn-other", api_name="/solve_arc")


# --- models


def test_every_endpoint_says_what_it_takes_and_its_example_runs(app_url, app_client):
    with urllib.request.urlopen(f"{app_url}gradio_api/info") as answer:
        endpoints = json.load(answer)["named_endpoints"]
    ran = set()
    for name, endpoint in endpoints.items():
        assert endpoint["description"], name
        for each in endpoint["parameters"]:
            assert each["python_type"]["description"] and each["label"] == each["parameter_name"], (name, each)
        wanted = [each for each in endpoint["parameters"] if not each["parameter_has_default"]]
        if name.startswith(("/monitor", "/data_", "/generate", "/arc_task", "/solve_arc")):
            continue  # there are no runs, data sets of boards and text models here, and no built-in tasks
        app_client.predict(api_name=name, **{each["parameter_name"]: each["example_input"] for each in wanted})
        ran.add(name)
    assert {"/solve_puzzle", "/random_sudoku", "/random_maze", "/models", "/describe_model"} <= ran


def test_models_are_named_by_task_and_described(app_client):
    models = app_client.predict(api_name="/models")
    assert (models["sudoku"], models["maze"], models["arc"]) == ([SUDOKU], ["maze"], ["arc"])
    card = app_client.predict(model="maze", api_name="/describe_model")
    assert "Mazes of 6x6" in card and "parameters" in card and "A card" in card and "license" not in card


def test_shipped_models_come_first_and_models_of_the_hub_last(app_settings, tmp_path, monkeypatch):
    import shutil

    shutil.copytree(app_settings.models_root / "maze", tmp_path / "best")
    monkeypatch.setattr("hrm_hf.app.models._SHIPPED", tmp_path)
    shelf = ModelShelf(replace(app_settings, hub_models=("owner/name",)))
    assert shelf.grid_models("maze") == ["shipped/best", "maze", "owner/name"]
    assert shelf.load_grid("shipped/best")[1].task == "maze"
    assert "huggingface.co/owner/name" in shelf.describe("owner/name")


def test_the_table_of_models_tells_what_they_reach(app_settings, tmp_path, monkeypatch):
    import shutil

    metric = "{type: exact_accuracy, value: 0.9394, name: Exact, args: {n: 10000, max_segments: 16}}"
    results = f"[{{dataset: {{name: '<b>hard'}}, metrics: [{metric}]}}]"
    shutil.copytree(app_settings.models_root / "maze", tmp_path / "<i>own")
    (tmp_path / "<i>own" / "README.md").write_text(f"---\nmodel-index:\n- {{name: x, results: {results}}}\n---\n")
    monkeypatch.setattr("hrm_hf.app.models._SHIPPED", tmp_path / "none")
    facts = ModelShelf(replace(app_settings, models_root=tmp_path, hub_models=("owner/name",))).facts()
    own = next(each for each in facts if each.kind == "maze")
    assert own.results == ("Exact: 93.9% on <b>hard (n 10,000, max segments 16)",)
    assert own.purpose == "Mazes of 6x6"
    table = models_html(facts)
    assert "&lt;i&gt;own" in table and "on &lt;b&gt;hard" in table and "<i>" not in table and "<b>" not in table
    assert '?kind=maze&amp;model=%3Ci%3Eown">Try it' in table and table.count("Try it</a>") == 1
    assert "owner/name" in table and "on the Hub" in table


def test_few_models_stay_loaded(app_settings, monkeypatch):
    monkeypatch.setattr("hrm_hf.app.models._MAX_LOADED", 1)
    shelf = ModelShelf(app_settings)
    first = shelf.load_grid("maze")
    assert shelf.load_grid("maze") is first
    shelf.load_grid(SUDOKU)
    assert shelf.load_grid("maze") is not first


@pytest.mark.parametrize("name", ["../models/maze", "/etc", "maze/../maze", "", "maze\x00", ".", "..", "owner/name"])
def test_a_model_is_a_name_of_the_list_and_no_path(app_client, name):
    for call in ({"puzzle": PUZZLE, "api_name": "/solve_puzzle"}, {"api_name": "/describe_model"}):
        with pytest.raises(AppError, match="no model"):
            app_client.predict(model=name, **call)


def test_a_damaged_model_does_not_tell_where_it_is(app_settings, tmp_path):
    import shutil

    shutil.copytree(app_settings.models_root / "maze", tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="The weights of broken are damaged") as caught:
        ModelShelf(replace(app_settings, models_root=tmp_path)).load_grid("broken")
    assert str(tmp_path) not in str(caught.value)


def test_a_damaged_folder_is_no_matter_of_the_others(app_settings, tmp_path):
    import shutil

    for name, file, content in (
        ("list", "processor_config.json", "[1, 2]"),
        ("deep", "processor_config.json", "[" * 100_000),
        ("numbers", "processor_config.json", '{"task": 1e999, "height": 1e999}'),
        ("text", "config.json", "no JSON"),
        ("card", "README.md", "---\n{ no: [yaml\n---\n# Card"),
        ("brackets", "README.md", f"---\nmodel-index: {'[' * 20_000}\n---\n# Card"),
    ):
        shutil.copytree(app_settings.models_root / "maze", tmp_path / "models" / name)
        (tmp_path / "models" / name / file).write_text(content)
    shutil.copytree(app_settings.models_root / "maze", tmp_path / "outside")
    (tmp_path / "models" / "linked").symlink_to(tmp_path / "outside")
    for name, file in (("secret", "README.md"), ("foreign", "model.safetensors"), ("pipe", "model.safetensors")):
        shutil.copytree(app_settings.models_root / "maze", tmp_path / "models" / name)
        (tmp_path / "models" / name / file).unlink()
        if name == "pipe":
            os.mkfifo(tmp_path / "models" / name / file)
        else:
            (tmp_path / "models" / name / file).symlink_to(tmp_path / "outside" / file)
    shutil.copytree(app_settings.models_root / "maze", tmp_path / "models" / "weights")
    (tmp_path / "models" / "weights" / "model.safetensors").write_bytes(b"nothing")
    (tmp_path / "models" / "good").symlink_to(tmp_path / "models" / "card")
    shelf = ModelShelf(replace(app_settings, models_root=tmp_path / "models"))
    offered = [name for name in shelf.grid_models("maze") if not name.startswith("shipped/")]
    assert offered == ["brackets", "card", "good", "weights"]
    start = time.process_time()
    facts = {each.name: each for each in shelf.facts() if each.kind == "maze"}
    # PyYAML takes seconds for brackets in brackets
    assert time.process_time() - start < 1
    assert facts["card"].results == () and facts["card"].num_parameters > 0
    assert facts["weights"].fault and str(tmp_path) not in facts["weights"].fault
    for name in ("card", "good"):
        assert "parameters" in shelf.describe(name) and shelf.load_grid(name)
    for look in (shelf.describe, shelf.load_grid):
        with pytest.raises(ValueError) as caught:
            look("weights")
        assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    "hostile",
    [
        "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1)) ![x](javascript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "<img src=x onerror=alert(1)>",
        "```\n</code></pre>\n\n<script>alert(1)</script>\n```",
        "<a href='vbscript:x'>y</a>",
    ],
)
def test_cards_hold_no_html_and_no_scripts_of_their_authors(hostile):
    from html.parser import HTMLParser

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attributes):
            seen.append((tag, attributes))

    seen = []
    Tags().feed(card_html(f"# Title\n\n{hostile}\n\n[good](https://example.org) | a | b |"))
    assert {tag for tag, _ in seen} <= {"h1", "p", "a", "pre", "code"}
    assert [attributes for tag, attributes in seen if tag == "a"] == [[("href", "https://example.org")]]


def test_a_card_keeps_its_tables_and_code():
    drawn = card_html("| a | b |\n|---|---|\n| 1 | `x < y` |\n\n```python\na\n\nb\n```")
    assert "<td>1</td>" in drawn and "<code>x &lt; y</code>" in drawn
    # a blank line would end the block for the parser of the page, which knows images
    drawn = card_html("text\n```\na\n   \n![i](http://example.org/p.png)\n\n```")
    assert all(line.strip() for line in drawn.splitlines()) and "<img" not in drawn


# --- what is refused


def test_what_runs_a_model_must_queue(app_url, app_client):
    body = json.dumps({"data": [SUDOKU, PUZZLE], "fn_index": 0, "session_hash": "x"}).encode()
    for path in ("run/solve_puzzle", "api/solve_puzzle", "run/predict", "api/predict"):
        assert 400 <= fetch(f"{app_url}gradio_api/{path}", body) < 500
    # and the client, which queues, is answered
    assert app_client.predict(model=SUDOKU, puzzle=PUZZLE, api_name="/solve_puzzle")["solved"]


def test_hostile_requests_do_not_fill_the_log(app_url, capfd):
    def ask(path: str, body: dict) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{app_url}gradio_api/{path}", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    for path, body in (
        ("queue/join", {"data": [1], "fn_index": 10**9, "session_hash": "x"}),
        ("component_server", {"data": 1, "component_id": 99_999, "fn_name": "x", "session_hash": "x"}),
    ):
        status, text = ask(path, body)
        assert status == 400 and b"does not exist" in text
    for data in ([], [{}] * 5, [None] * 5):
        status, text = ask("call/solve_puzzle", {"data": data})
        event = json.loads(text)["event_id"]
        with urllib.request.urlopen(f"{app_url}gradio_api/call/solve_puzzle/{event}") as answer:
            said = answer.read().decode()
        assert "event: error" in said and ("enough input values" in said or "not allowed" in said)
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err + captured.out


def test_visitors_take_turns_and_none_fills_the_queue():
    def asked(host: str, session: str, number: int) -> SimpleNamespace:
        request = SimpleNamespace(client=SimpleNamespace(host=host))
        return SimpleNamespace(session_hash=session, request=request, fn=SimpleNamespace(batch=False), number=number)

    app = GuardedBlocks()
    app.queue(max_size=8)
    waiting = app._queue.event_queue_per_concurrency_id["model"] = EventQueue("model", 2)
    waiting.queue = [asked("1.1.1.1", "a", number) for number in range(4)]
    waiting.queue += [asked("1.1.1.1", "b", 4), asked("2.2.2.2", "c", 5), asked("2.2.2.2", "c", 6)]
    request = SimpleNamespace(client=SimpleNamespace(host="1.1.1.1"))
    order = []
    while waiting.queue:
        (event,), _, _ = app._queue.get_events()
        order.append(event.number)
    # addresses in turn, and the sessions of an address in turn
    assert order == [0, 5, 4, 6, 1, 2, 3]
    waiting.queue = [asked("1.1.1.1", "a", number) for number in range(7)]
    with ThreadPoolExecutor(1) as pool:  # the browser's tests may have a loop in this thread
        refused = pool.submit(asyncio.run, app._queue.push(SimpleNamespace(fn_index=0), request, None)).result()
    assert refused == (False, "7 of your requests are waiting; try again when some are answered.", "queue_full")


def test_what_visitors_leave_behind_expires(app_settings):
    import gradio

    from hrm_hf.app.main import build_app

    app = build_app(app_settings, ModelShelf(app_settings))
    states = [block for block in app.blocks.values() if isinstance(block, gradio.State)]
    # flags of a page are small; texts and results are not
    assert len([state for state in states if state.time_to_live == SESSION_SECONDS]) == 3
    assert app.delete_cache


def test_a_link_to_the_app_has_a_title_and_a_picture_of_its_puzzle(app_url):
    def tags(query: str) -> dict[str, list[str]]:
        with urllib.request.urlopen(app_url + query) as answer:
            page = answer.read().decode()
        assert int(answer.headers["content-length"]) == len(page.encode())
        found: dict[str, list[str]] = {}
        for name, content in re.findall(
            r'<meta\s+(?:property|name)="((?:og|twitter):[^"]*)"\s+content="([^"]*)"', page
        ):
            found.setdefault(name, []).append(html.unescape(content))
        return found

    def picture(address: str) -> PIL.Image.Image:
        with urllib.request.urlopen(address) as answer:
            assert answer.headers["content-type"] == "image/png"
            return PIL.Image.open(io.BytesIO(answer.read()))

    plain, linked = tags(""), tags(f"?kind=sudoku&puzzle={PUZZLE}&step=2&model=%22%3E%3Cscript%3E")
    assert plain["og:title"] == ["Watch a small network think"]
    # whole addresses, as other sites need them, one each
    (of_app,), (of_puzzle,) = plain["og:image"], linked["og:image"]
    assert of_app == f"{app_url}preview.png" and of_puzzle.startswith(f"{of_app}?kind=sudoku&puzzle=")
    assert picture(of_app).size == picture(of_puzzle).size == (1200, 630)
    assert picture(of_app).tobytes() != picture(of_puzzle).tobytes()
    for nonsense in ("kind=sudoku&puzzle=%00", "kind=no&puzzle=1", "kind=maze&puzzle=" + "#" * 5000):
        link = f"{app_url}preview.png?{nonsense}"
        if len(nonsense) > 5000:  # too long to be a puzzle: the picture of the app
            assert picture(link).size == (1200, 630)
        else:
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(link)


def test_the_picture_of_a_link_comes_with_the_model_for_its_puzzle(app_settings, tmp_path, monkeypatch):
    import shutil

    from starlette.testclient import TestClient

    monkeypatch.setattr("hrm_hf.app.models._SHIPPED", tmp_path / "none")
    visitor = TestClient(LinkPreviews(None, ModelShelf(replace(app_settings, models_root=tmp_path))))
    address = f"/preview.png?kind=sudoku&puzzle={PUZZLE}"
    assert visitor.get(address).status_code == 404
    shutil.copytree(app_settings.models_root / "sudoku" / "model", tmp_path / "late")
    assert visitor.get(address).headers["content-type"] == "image/png"


def test_the_cost_of_a_request_is_bounded(app_settings):
    check_cost(16, 8, 900)
    with pytest.raises(
        ValueError, match="64 segments on 32 copies of 81 cells are too much .* fewer segments or copies"
    ):
        check_cost(64, 32, 81)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"puzzle": "1x.............."}, "'x'"),
        ({"puzzle": f"{PUZZLE}\n{PUZZLE}"}, "2 puzzles"),
        ({"puzzle": "12"}, "2 cells"),
        ({"max_segments": 0}, "max_segments=0"),
        ({"max_segments": 10_000}, "from 1 to 64"),
        ({"copies": 1.5}, "copies=1.5"),
        ({"copies": "many"}, "copies=many"),
        ({"model": "arc"}, "is for ARC"),
        ({"puzzle": ["1"] * 16}, "must be text"),
    ],
)
def test_what_is_not_allowed_is_one_sentence(app_client, arguments, sentence):
    with pytest.raises(AppError, match=sentence):
        app_client.predict(**({"model": SUDOKU, "puzzle": PUZZLE, "api_name": "/solve_puzzle"} | arguments))


@pytest.mark.parametrize("text", RUBBISH, ids=range(len(RUBBISH)))
def test_rubbish_is_refused_and_the_app_lives_on(app_client, text):
    for arguments in (
        {"model": SUDOKU, "puzzle": text, "api_name": "/solve_puzzle"},
        {"model": text, "puzzle": PUZZLE, "api_name": "/solve_puzzle"},
        {"data_set": text, "task": text, "api_name": "/arc_task"},
        {"size": text, "difficulty": text, "api_name": "/random_sudoku"},
    ):
        with pytest.raises(AppError) as caught:
            app_client.predict(**arguments)
        assert len(str(caught.value)) < 700 and "<script" not in str(caught.value)
    assert app_client.predict(model=SUDOKU, puzzle=PUZZLE, api_name="/solve_puzzle")["solved"]


def fetch(url: str, data: bytes | None = None, kind: str = "application/json") -> int:
    """Status of a request."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": kind}), timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "setup.py", "README.md"],
)
def test_no_file_can_be_read(app_url, path):
    assert fetch(f"{app_url}gradio_api/file={path}") in (400, 403, 404)


def test_no_file_of_the_models_can_be_read(app_url, app_settings):
    for path in (app_settings.models_root / "maze" / "config.json", app_settings.models_root.parent / "secret.txt"):
        assert fetch(f"{app_url}gradio_api/file={path}") in (400, 403, 404)


def test_uploads_are_refused(app_url):
    assert fetch(f"{app_url}gradio_api/upload", b"file") == 403


@pytest.mark.parametrize(
    ("header", "status"),
    [(("Content-Length", "1100000"), 413), (("Content-Length", "x"), 400), (("Transfer-Encoding", "chunked"), 411)],
)
def test_large_requests_are_refused_before_they_are_read(app_url, header, status):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(app_url).netloc, timeout=20)
    connection.putrequest("POST", "/gradio_api/call/solve_puzzle")
    connection.putheader(*header)
    connection.endheaders()
    assert connection.getresponse().status == status
    connection.close()


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'{"data": 5}', b'{"data": []}', b'{"data": [[[[]]]]}', b"\xff\xfe", b'{"data": null}'],
)
def test_requests_of_wrong_shapes_are_no_error_of_the_server(app_url, body):
    for name in ("solve_puzzle", "random_sudoku", "models", "nothing"):
        assert fetch(f"{app_url}gradio_api/call/{name}", body) < 500


def test_events_of_the_page_with_wrong_boards_are_no_error_of_the_server(app_url, app_client):
    boards = {part["id"] for part in app_client.config["components"] if part["type"] == "html"}
    functions = [each for each in app_client.config["dependencies"] if boards & set(each["inputs"])]
    assert len(functions) >= 4  # solve and change the model, of Sudoku and mazes
    for board in (None, 5, "x", [], {}, {"given": 5}, {"given": "x" * 90_000}):
        for function in functions:
            data = [board if part in boards else None for part in function["inputs"]]
            body = {"data": data, "fn_index": function["id"], "session_hash": "test"}
            assert fetch(f"{app_url}gradio_api/queue/join", json.dumps(body).encode()) < 500
    assert app_client.predict(model=SUDOKU, puzzle=PUZZLE, api_name="/solve_puzzle")["solved"]


def test_a_request_has_a_time_limit(app_settings):
    desk = PuzzleDesk(replace(app_settings, seconds_per_request=1e-9), ModelShelf(app_settings))
    with pytest.raises(TimeoutError, match="1e-09 seconds"):
        desk.solve_puzzle(SUDOKU, PUZZLE)
    assert Deadline(60)("state", None, 0) == "state"


def test_the_command_serves_what_it_is_told(hrm_hf, monkeypatch, tmp_path):
    served = []
    monkeypatch.setattr("hrm_hf.app.main.launch", lambda *arguments: served.append(arguments))
    code, _, _ = hrm_hf("app", "--models", tmp_path, "--hub-model", "owner/name", "--port", "7999")
    ((settings, host, port),) = served
    assert (code, host, port) == (0, "127.0.0.1", 7999)
    assert settings.models_root == tmp_path and settings.hub_models == ("owner/name",)
