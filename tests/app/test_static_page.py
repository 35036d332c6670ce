"""The static page in a real browser: built by its command, solving, checked by the rules, offline, on a phone."""

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest


sync_api = pytest.importorskip("playwright.sync_api", reason="there is no playwright")
for _name in ("onnx", "onnxruntime"):
    pytest.importorskip(_name, reason=f"there is no {_name}")

ROOT = Path(__file__).resolve().parents[2]
MODELS = ["sudoku-hard", "maze-16x16"]  # the third takes longer than the others together
HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
HARDEST = "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3.."  # AI Escargot
NO_SOLUTION = "..9.287..8.6..4..5..3.....46.........2.71345.........23.....5..9..4..8.7..125.3.."
VERDICT = "#verdict.good, #verdict.bad"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page as its build command makes it, with few models and few puzzles compared."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm, which fetches onnxruntime-web")
    output = tmp_path_factory.mktemp("static") / "page"
    command = [sys.executable, "spaces_app/build_static.py", output, "--puzzles", "2"]
    command += [word for name in MODELS for word in ("--model", name)]
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return output


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}

    def log_message(self, *_):
        pass


def serve(folder: Path) -> http.server.ThreadingHTTPServer:
    """Serve a folder at a free port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def address(server: http.server.ThreadingHTTPServer) -> str:
    """Where it is served."""
    return f"http://127.0.0.1:{server.server_address[1]}/"


@pytest.fixture(scope="module")
def url(folder):
    """Address of the page."""
    server = serve(folder)
    yield address(server)
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(chromium, url):
    """The page, just opened; at the end it must have made no errors and asked nobody but its server."""
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(60_000)
    errors, asked = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    yield page
    page.close()
    assert errors == []
    assert [each for each in asked if not each.startswith((url, "blob:", "data:"))] == []


def solve(page, puzzle: str) -> tuple[str, str]:
    """Open a puzzle by its link and solve it: what stands on the board, and the verdict."""
    page.evaluate("link => { location.hash = '#s=' + link; }", puzzle)
    page.wait_for_function(
        "puzzle => [...document.querySelectorAll('.cell')].map(cell => cell.textContent || '.').join('') === puzzle",
        arg=puzzle,
    )
    page.click("#solve")
    page.wait_for_selector(VERDICT)
    board = "".join(text or "." for text in page.locator(".cell").all_text_contents())
    return board, page.inner_text("#verdict")


def test_20_puzzles_of_17_clues_are_solved_as_python_does(page):
    from benchmarks.seventeen_clues import read_puzzles
    from hrm_hf.puzzles.sudoku.rules import format_boards
    from hrm_hf.puzzles.sudoku.solver import solve as solve_exactly

    puzzles = read_puzzles()[:20]
    # each has one solution, and `hrm-hf solve` finds it: tests/test_solving.py
    for puzzle, answer in zip(
        format_boards(puzzles), format_boards(solve_exactly(puzzles, 9, limit=1)[0]), strict=True
    ):
        board, verdict = solve(page, puzzle)
        assert verdict.startswith("Solved") and board == answer, puzzle


def test_a_board_without_solution_is_not_solved(page):
    for puzzle, said in (
        (NO_SOLUTION, "no solution"),
        ("55" + "." * 79, "stands twice"),
        ("." * 81, "more than one solution"),
    ):
        board, verdict = solve(page, puzzle)
        assert verdict.startswith("Not solved") and said in verdict
        assert board == puzzle  # the model was not asked


def test_a_wrong_answer_of_the_model_is_not_called_solved(chromium, url, folder):
    manifest = json.loads((folder / "models" / "sudoku-hard" / "manifest.json").read_text())
    # halts after the first segment, of states that it has never seen
    manifest["halting"]["threshold_value"] = -1e9
    manifest["start_states"] = {name: [3.0] * manifest["hidden_size"] for name in ("z_H", "z_L")}
    context = chromium.new_context(service_workers="block")
    context.route("**/sudoku-hard/manifest.json", lambda route: route.fulfill(json=manifest))
    page = context.new_page()
    page.goto(url)
    board, verdict = solve(page, HARDEST)
    context.close()
    assert verdict.startswith("Not solved") and "In the last answer of the model" in verdict
    assert board != HARDEST  # the answer is shown for what it is


def test_a_maze_is_solved_and_one_without_a_way_is_not(page, screenshots):
    page.click("[data-side='16']")
    page.click("#solve")
    page.wait_for_selector(VERDICT)
    assert "fewest steps" in page.inner_text("#verdict")
    page.screenshot(path=screenshots / "static_maze.png")
    page.click("#clear")
    page.click("#solve")
    assert "no S" in page.inner_text("#verdict")
    assert page.url.split("#s=")[1].startswith("m16.-1.-1.")


def test_the_replay_shows_each_segment(page, screenshots):
    board, verdict = solve(page, HARD)
    count = int(verdict.split("\n")[1].split()[0])
    slider = page.locator("#step")
    assert slider.get_attribute("max") == str(count) and page.locator(".bar").count() == count
    page.screenshot(path=screenshots / "static_sudoku.png")
    slider.fill("0")
    assert page.inner_text("#shown") == "the puzzle"
    assert "".join(text or "." for text in page.locator(".cell").all_text_contents()) == HARD
    page.click("#again")
    page.wait_for_function("count => document.querySelector('#step').value == count", arg=str(count))
    assert "".join(page.locator(".cell").all_text_contents()) == board


def test_keyboard_paste_and_link(page, chromium, url):
    page.click("#clear")
    page.locator(".cell").first.click()
    for key in ("5", "ArrowRight", "3", "ArrowDown", "7", "Backspace", "End", "9"):
        page.keyboard.press(key)
    link = "#s=53......" + "." * 9 + "9" + "." * 63
    # the browser tells the test about a new address a moment later
    page.wait_for_url(lambda address: address.endswith(link))
    assert page.url.endswith(link)
    paste = """text => { const data = new DataTransfer(); data.setData("text", text);
        document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, cancelable: true})); }"""
    page.evaluate(paste, HARD[:80])
    assert "80 cells" in page.inner_text("#note")
    page.evaluate(paste, HARD.replace(".", "0"))
    assert page.inner_text("#note") == "" and page.url.endswith(HARD)
    page.locator(".cell").first.click()
    page.keyboard.press("Enter")
    page.wait_for_selector("#verdict.good")
    page.evaluate("location.hash = '#s=<b>nonsense'")
    page.wait_for_function("document.querySelector('#note').innerText.includes('no puzzle')")


def test_it_works_offline_after_the_first_load(chromium, folder):
    server = serve(folder)
    context = chromium.new_context()
    try:
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(address(server))
        page.wait_for_selector("body[data-offline=ready]")
        server.shutdown()
        server.server_close()
        page.reload()
        page.click("#solve")
        page.wait_for_selector("#verdict.good")
        # a model that was not looked at before is there as well
        page.click("[data-side='16']")
        page.click("#solve")
        page.wait_for_selector("#verdict.good")
    finally:
        context.close()


def test_a_phone_has_room(chromium, url, screenshots):
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme="dark"
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(url)
    for side in ("9", "16"):
        page.tap(f"[data-side='{side}']")
        page.tap("#solve")
        page.wait_for_selector(VERDICT)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        for button in page.locator("button:visible").all():
            box = button.bounding_box()
            assert box["height"] >= 40 and box["width"] >= 30, button.inner_text()
        page.screenshot(path=screenshots / f"static_phone_{side}.png", full_page=True)
        page.wait_for_function("document.querySelector('#verdict').className !== ''")
    context.close()


def test_rules_links_and_copies(page):
    result = page.evaluate("""async () => {
        const p = await import("./puzzles.js");
        const faults = [];
        for (const side of [16, 30]) for (let round = 0; round < 5; round++) {
            const maze = p.randomMaze(side);
            if (p.fault("maze", side, maze) !== null) faults.push("a random maze has a fault");
            const link = p.fromLink(p.toLink("maze", side, maze));
            if (link.side !== side || String(link.puzzle) !== String(maze)) faults.push("a link changes a maze");
            for (let number = 0; number < 8; number++) {
                const copy = p.symmetry("maze", side, number);
                if (String(p.undo(copy, p.apply(copy, maze))) !== String(maze)) faults.push("maze copy " + number);
            }
            if (p.judge("maze", side, maze, maze).solved) faults.push("a maze without path counts as solved");
        }
        return faults;
    }""")
    assert result == []


def test_solutions_are_counted_and_answers_judged_as_python_does(page):
    import numpy as np

    from hrm_hf.puzzles.sudoku.generator import generate
    from hrm_hf.puzzles.sudoku.rules import format_boards
    from hrm_hf.puzzles.sudoku.solver import solve
    from processing_hrm import HRMGridProcessor

    questions, answers, _ = generate(12, 9, progress=False)
    without = questions.copy()  # one clue fewer has more solutions, a wrong one mostly none
    changed = questions.copy()
    for row in range(12):
        clue = np.flatnonzero(questions[row])[row]
        without[row, clue] = 0
        changed[row, clue] = questions[row, clue] % 9 + 1
    boards = np.concatenate([questions, without, changed])
    processor = HRMGridProcessor.for_sudoku(9)
    swapped = answers.copy()
    swapped[:, [0, 1]] = swapped[:, [1, 0]]
    pairs = [*zip(questions, answers, strict=True), *zip(questions, swapped, strict=True)]
    judged = processor.check_batch(*(np.array(part).astype(np.int64) + 1 for part in zip(*pairs, strict=True)))
    lines = [format_boards(np.stack(pair)) for pair in pairs]
    found = page.evaluate(
        """async ([boards, pairs]) => {
            const p = await import("./puzzles.js");
            const tokens = (line) => [...line].map((symbol) => "..123456789".lastIndexOf(symbol));
            const copies = boards.every((line) => [1, 2, 3].every((number) => {
                const copy = p.symmetry("sudoku", 9, number);
                const turned = p.apply(copy, tokens(line));
                return String(p.undo(copy, turned)) === String(tokens(line))
                    && p.countSolutions(turned) === p.countSolutions(tokens(line));
            }));
            return [boards.map((line) => p.countSolutions(tokens(line))), copies,
                pairs.map(([puzzle, answer]) => p.judge("sudoku", 9, tokens(puzzle), tokens(answer)).solved)];
        }""",
        [format_boards(boards), lines],
    )
    assert found == [solve(boards, 9, limit=2)[1].tolist(), True, [verdict.solved for verdict in judged]]


def test_the_page_is_small(folder):
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    page = sum(size for name, size in sizes.items() if not name.startswith(("models/", "runtime/")))
    assert page < 200_000
    for name in MODELS:
        assert sizes[f"models/{name}/model.int8.onnx"] < 4_000_000
    named = json.loads((folder / "sw.js").read_text().split("FILES = ")[1].split(";")[0])
    assert set(named) == {"./", *sizes} - {"sw.js", "README.md"}


def test_the_loop_without_torch_solves(folder):
    code = (
        "import runpy, sys; sys.modules['torch'] = None; sys.modules['transformers'] = None; "
        "runpy.run_path('examples/solve_onnx.py', run_name='__main__')"
    )
    command = [sys.executable, "-c", code, str(folder / "models" / "sudoku-hard")]
    done = subprocess.run([*command, HARD], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "8 1 2 7 5 3 6 4 9"), done.stderr
    assert "\nsolved after" in done.stdout
    done = subprocess.run([*command, NO_SOLUTION], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "not solved" in done.stdout
