"""The app as people use it, in a real browser: puzzles, by mouse, keyboard and paste, on a screen and on a phone."""

import json
import re
import sys
import threading
import time

import pytest
from conftest import ANSWER, MAZE_SIDE, PUZZLE
from PIL import Image, ImageChops


expect = pytest.importorskip("playwright.sync_api", reason="there is no playwright").expect


@pytest.fixture
def page(chromium, app_url):
    """The app, just opened; at the end it must have made no errors."""
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(app_url)
    yield page
    page.close()
    assert errors == []


def cells(page, board: str) -> str:
    """What stands on a Sudoku board, as a line."""
    return "".join(text or "." for text in page.locator(f"#{board} .cell").all_text_contents())


def paste(page, board: str, text: str) -> None:
    """Paste into the first cell."""
    page.locator(f"#{board} .cell").first.evaluate(
        """(cell, text) => { const data = new DataTransfer(); data.setData("text", text);
        cell.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true})); }""",
        text,
    )


def test_one_click_solves_and_the_slider_replays(page, screenshots):
    board = page.locator("#sudoku-board")
    expect(board.locator(".cell.given").first).to_be_visible()
    paste(page, "sudoku-board", PUZZLE)
    page.get_by_role("button", name="Solve", exact=True).first.click()
    expect(page.locator("#sudoku-verdict")).to_contain_text("Solved in")
    slider = board.get_by_role("slider")
    expect(slider).to_have_value(slider.get_attribute("max"))
    assert cells(page, "sudoku-board") == ANSWER
    assert board.locator(".cell.filled").count() == PUZZLE.count(".")
    expect(board.locator(".cell.filled").first).to_have_attribute(
        "aria-label", re.compile(r"row 1, column 3: 3, .* sure")
    )
    page.screenshot(path=screenshots / "sudoku.png", full_page=True)
    slider.fill("0")
    assert cells(page, "sudoku-board") == PUZZLE
    slider.fill("1")
    expect(board.locator(".replay-label")).to_contain_text("Segment 1 of")
    bars = board.get_by_role("img").first.get_attribute("aria-label")
    assert bars.startswith("Halting probability by segment: 1: ")
    # step, play, pause
    board.get_by_role("button", name="One segment back").click()
    expect(board.locator(".replay-label")).to_have_text("The puzzle.")
    board.get_by_label("Speed").select_option("Slow")
    board.get_by_role("button", name="Play").click()
    board.get_by_role("button", name="Pause").click()
    expect(board.get_by_role("button", name="Play")).to_be_visible()
    board.get_by_text("See inside").click()
    expect(board.get_by_role("img", name=re.compile("Slow state: change"))).to_be_visible()


def test_the_board_is_a_grid_that_the_keyboard_fills(page):
    page.get_by_role("button", name="Clear").first.click()
    board = page.locator("#sudoku-board")
    expect(board.locator(".cell.given")).to_have_count(0)
    assert board.get_by_role("grid").get_attribute("aria-label") == "Sudoku, 4 by 4"
    assert board.get_by_role("gridcell").count() == 16
    board.get_by_role("gridcell").first.click()
    for key in ("1", "ArrowRight", "2", "ArrowDown", "ArrowLeft", "3", "ArrowUp", "9"):
        page.keyboard.press(key)
    assert cells(page, "sudoku-board") == "12..3..........."
    page.keyboard.press("ArrowRight")
    page.keyboard.press("1")
    expect(board.locator(".cell.wrong")).to_have_count(2)
    expect(board.locator(".cell").nth(1)).to_have_attribute("aria-label", "row 1, column 2: 1, given, breaks a rule")
    page.keyboard.press("Backspace")
    assert cells(page, "sudoku-board") == "1...3..........."
    board.get_by_role("button", name="digit 4").click()
    assert cells(page, "sudoku-board") == "14..3..........."
    assert board.locator(".cell:focus").get_attribute("data-index") == "1"


def test_a_puzzle_that_contradicts_itself_is_a_sentence_on_the_page(page):
    paste(page, "sudoku-board", "11" + "." * 14)
    page.locator("#sudoku-solve").click()
    expect(page.locator("#sudoku-verdict")).to_contain_text("Row 1 has two 1s")


def test_an_edit_that_is_still_on_its_way_does_not_wipe_a_verdict(page, monkeypatch):
    from hrm_hf.app import board_events

    as_seen = board_events.as_seen

    def slow(board, read):
        if sys._getframe(2).f_code.co_name == "edited":
            time.sleep(3)
        return as_seen(board, read)

    monkeypatch.setattr(board_events, "as_seen", slow)
    paste(page, "sudoku-board", "11" + "." * 14)
    page.locator("#sudoku-solve").click()
    expect(page.locator("#sudoku-verdict")).to_contain_text("Row 1 has two 1s")
    page.wait_for_timeout(4000)
    expect(page.locator("#sudoku-verdict")).to_contain_text("Row 1 has two 1s")


def test_text_is_pasted_and_what_is_no_puzzle_is_told_without_becoming_html(page):
    paste(page, "sudoku-board", "<img src=x onerror=document.title='hit'>")
    verdict = page.locator("#sudoku-verdict")
    expect(verdict).to_contain_text("there is no puzzle")
    paste(page, "sudoku-board", "1 2 3")
    expect(verdict).to_contain_text("3 cells")
    box = page.locator("#sudoku-text textarea, #sudoku-text input").first
    box.fill("<img src=x onerror=document.title='hit'>")
    box.press("Enter")
    expect(verdict).to_contain_text("there is no puzzle")
    # as a spreadsheet copies it
    paste(page, "sudoku-board", "1\t2\t\t\n3\t4\t\t\n2\t1\t4\t3\n4\t3\t2\t")
    expect(page.locator("#sudoku-board .cell.given")).to_have_count(11)
    assert cells(page, "sudoku-board") == PUZZLE
    # a screen reader says what changes there
    expect(verdict).to_have_attribute("aria-live", "polite")
    # passing through the box changes nothing
    box.focus()
    page.keyboard.press("Tab")
    box.fill("${document.title='hit'}`")
    box.press("Enter")
    box.fill(ANSWER.replace("1", "."))
    box.press("Enter")
    expect(page.locator("#sudoku-board .cell.given")).to_have_count(12)
    assert "hit" not in page.title()


def test_examples_and_random_puzzles(page):
    given = page.locator("#sudoku-board .cell.given")
    page.locator("#sudoku-difficulty").get_by_text("easy").click()
    expect(given).to_have_count(9)
    page.get_by_role("button", name="Random").first.click()
    expect(given).to_have_count(9)
    page.locator("#sudoku-difficulty").get_by_text("hard").click()
    expect(given).to_have_count(5)


def test_a_maze_is_drawn_by_mouse_and_keyboard_and_its_path_appears(page, screenshots):
    page.get_by_role("tab", name="Maze").click()
    board = page.locator("#maze-board")
    expect(board.locator(".cell.c-wall").first).to_be_visible()
    page.get_by_role("button", name="Clear").locator("visible=true").click()
    expect(board.locator(".cell.c-wall")).to_have_count(0)
    cell = board.locator(".cell")
    start, end = cell.nth(2 * MAZE_SIDE).bounding_box(), cell.nth(2 * MAZE_SIDE + 4).bounding_box()
    page.mouse.move(start["x"] + 10, start["y"] + 10)
    page.mouse.down()
    page.mouse.move(end["x"] + 10, end["y"] + 10, steps=12)
    page.mouse.up()
    expect(board.locator(".cell.c-wall")).to_have_count(5)
    cell.nth(MAZE_SIDE - 1).click()  # the tool is the wall
    page.keyboard.press("s")
    expect(board.locator(".cell.c-start")).to_have_count(1)
    expect(cell.nth(MAZE_SIDE - 1)).to_have_text("S")
    board.get_by_role("button", name="Goal").click()
    cell.nth(3 * MAZE_SIDE).click()
    expect(cell.nth(3 * MAZE_SIDE)).to_have_attribute("aria-label", "row 4, column 1: goal")
    page.locator("#maze-solve").click()
    expect(page.locator("#maze-verdict")).to_contain_text("olved in")
    board.get_by_role("slider").fill("1")
    expect(board.locator(".replay-label")).to_contain_text("Segment 1 of")
    page.screenshot(path=screenshots / "maze.png", full_page=True)


def test_what_a_reader_does_while_the_page_opens_stays(chromium, app_url, monkeypatch):
    from hrm_hf.app import board_events
    from hrm_hf.puzzles.maze.examples import random_maze

    random_maze(MAZE_SIDE, MAZE_SIDE)  # is compiled when it is first called
    link_of, asked, acted = board_events.link_of, threading.Event(), threading.Event()

    def slow(request):
        asked.set()
        acted.wait(60)
        return link_of(request)

    monkeypatch.setattr(board_events, "link_of", slow)
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.goto(app_url)
    page.get_by_role("tab", name="Maze").click()
    assert asked.wait(30)
    page.get_by_role("button", name="Clear").locator("visible=true").click()
    page.wait_for_timeout(1000)
    acted.set()
    page.wait_for_timeout(2000)
    expect(page.locator("#maze-board .cell.c-wall")).to_have_count(0)
    page.close()


def test_a_finger_scrolls_unless_a_tool_is_chosen(chromium, app_url):
    context = chromium.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto(app_url)
    page.get_by_role("tab", name="Maze").click()
    board = page.locator("#maze-board")
    page.get_by_role("button", name="Clear").locator("visible=true").click()
    expect(board.locator(".cell.c-wall")).to_have_count(0)
    floor = board.locator(".cell").nth(2 * MAZE_SIDE)
    floor.tap()
    expect(board.locator(".cell.c-wall")).to_have_count(0)
    assert board.locator(".grid").evaluate("grid => getComputedStyle(grid).touchAction") == "auto"
    board.get_by_role("button", name="Wall").tap()
    assert board.locator(".grid").evaluate("grid => getComputedStyle(grid).touchAction") == "none"
    floor.tap()
    expect(board.locator(".cell.c-wall")).to_have_count(1)
    board.get_by_role("button", name="Undo").tap()
    expect(board.locator(".cell.c-wall")).to_have_count(0)
    context.close()


def test_a_reader_plays_with_digits_notes_hints_and_undo(page, screenshots):
    board, verdict = page.locator("#sudoku-board"), page.locator("#sudoku-verdict")
    paste(page, "sudoku-board", PUZZLE)
    expect(board.locator(".cell.given")).to_have_count(16 - PUZZLE.count("."))
    first_open, second_open = [index for index, cell in enumerate(PUZZLE) if cell == "."][:2]
    cell = board.locator(".cell")
    # a clue stays what it is
    cell.nth(0).click()
    page.keyboard.press("4")
    expect(board.locator(".status")).to_contain_text("is a clue")
    wrong = "1" if ANSWER[first_open] != "1" else "2"
    cell.nth(first_open).click()
    page.keyboard.press(wrong)
    expect(cell.nth(first_open)).to_have_class(re.compile(r"\bown\b"))
    board.get_by_role("button", name="Notes").click()
    cell.nth(second_open).click()
    page.keyboard.press("3")
    page.keyboard.press("1")
    expect(cell.nth(second_open)).to_have_text("13")
    page.locator("#sudoku-hint").click()
    expect(verdict).to_contain_text("Look again at row 1, column 3")
    page.screenshot(path=screenshots / "sudoku_play.png", full_page=True)
    for _ in range(3):
        board.get_by_role("button", name="Undo").click()
    expect(board.locator(".cell.own, .cell.pencil")).to_have_count(0)
    board.get_by_role("button", name="My digits").click()
    page.locator("#sudoku-hint").click()
    expect(verdict).to_contain_text("Hint: row")
    expect(board.locator(".cell.own")).to_have_count(1)
    # an example discards nothing: undo brings the puzzle back, with its digits
    page.get_by_role("button", name="Example").first.click()
    expect(board.locator(".cell.own")).to_have_count(0)
    board.get_by_role("button", name="Undo").click()
    assert cells(page, "sudoku-board").count(".") == PUZZLE.count(".") - 1
    for index, digit in enumerate(ANSWER):
        if PUZZLE[index] == ".":
            cell.nth(index).click()
            page.keyboard.press(digit)
    expect(board.locator(".status")).to_contain_text("Solved by you in")


def test_a_link_holds_puzzle_and_segment(chromium, app_url):
    context = chromium.new_context(
        viewport={"width": 1200, "height": 900}, permissions=["clipboard-read", "clipboard-write"]
    )
    page = context.new_page()
    page.goto(app_url)
    paste(page, "sudoku-board", PUZZLE)
    page.locator("#sudoku-solve").click()
    expect(page.locator("#sudoku-verdict")).to_contain_text("Solved in")
    board = page.locator("#sudoku-board")
    board.get_by_role("slider").fill("1")
    board.get_by_role("button", name="Copy link").click()
    expect(board.locator(".status")).to_contain_text("clipboard")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.endswith("&step=1")
    with page.expect_download() as download:
        board.get_by_role("button", name="Save all segments as JSON").click()
    assert json.loads(download.value.path().read_text())["puzzle"] == PUZZLE
    with page.expect_download() as download:
        board.get_by_role("button", name="Save as a picture").click()
    picture = Image.open(download.value.path())
    with page.expect_download() as download:
        board.get_by_role("button", name="Save all segments as a GIF").click()
    film = Image.open(download.value.path())
    steps = int(board.get_by_role("slider").get_attribute("max"))
    assert (picture.format, film.format, film.n_frames) == ("PNG", "GIF", steps + 1)
    # the frame of the segment that is shown is the picture, but for colors that the palette lacks
    film.seek(1)
    difference = ImageChops.difference(film.convert("RGB"), picture.convert("RGB"))
    assert max(high for _, high in difference.getextrema()) <= 32
    page.goto(link)
    expect(page.locator("#sudoku-verdict")).to_contain_text("Solved in")
    expect(board.locator(".replay-label")).to_contain_text("Segment 1 of")
    page.goto(f"{app_url}?kind=maze&puzzle=S%20G")
    expect(page.locator("#maze-verdict")).to_contain_text("Not possible")
    expect(page.locator("#maze-board")).to_be_visible()
    context.close()


def test_an_arc_task_is_shown_and_solved_or_unknown(page, screenshots):
    page.get_by_role("tab", name="ARC").click()
    expect(page.locator("#arc-demonstrations figure")).to_have_count(4)
    expect(page.locator("#arc-demonstrations").get_by_label("row 1, column 1: green").first).to_be_visible()
    page.locator("#arc-solve").click()
    expect(page.locator("#arc-verdict")).to_contain_text("with two attempts each")
    page.screenshot(path=screenshots / "arc.png", full_page=True)
    page.get_by_label("Data set").locator("visible=true").click()
    page.get_by_role("option", name="other").click()
    expect(page.locator("#arc-verdict")).to_contain_text("does not know the task turn-other")


def test_the_model_picker_tells_what_a_model_is(page):
    page.get_by_role("button", name="About this model").first.click()
    expect(page.get_by_text("Sudoku 4x4").first).to_be_visible()


def test_a_reader_races_the_model_at_sudoku(page, screenshots):
    board, verdict = page.locator("#sudoku-board"), page.locator("#sudoku-verdict")
    paste(page, "sudoku-board", PUZZLE)
    expect(board.locator(".cell.given")).to_have_count(16 - PUZZLE.count("."))
    page.locator("#sudoku-race").click()
    expect(verdict).to_contain_text("Race.")
    expect(board.get_by_role("timer")).to_contain_text(re.compile(r"Your time: 0:0\d\. The model took \d segment"))
    assert board.locator(".filled").count() == 0  # no answer is shown
    page.screenshot(path=screenshots / "race.png", full_page=True)
    for index, digit in enumerate(ANSWER):
        if PUZZLE[index] == ".":
            board.locator(".cell").nth(index).click()
            page.keyboard.press(digit)
    expect(board.locator(".status")).to_contain_text(re.compile(r"Solved by you in \d:\d\d\. The model took \d seg"))
    expect(board.get_by_role("timer")).to_be_empty()
    # a full board is no race
    paste(page, "sudoku-board", ANSWER)
    expect(board.locator(".cell.given")).to_have_count(16)
    page.locator("#sudoku-race").click()
    expect(verdict).to_contain_text("No race.")


def test_a_reader_draws_the_path_of_a_maze(page, screenshots):
    page.get_by_role("tab", name="Maze").click()
    board, status = page.locator("#maze-board"), page.locator("#maze-board .status")
    page.get_by_role("button", name="Clear").locator("visible=true").click()
    expect(board.locator(".cell.c-wall")).to_have_count(0)
    board.get_by_role("button", name="My path").click()
    cell = board.locator(".cell")

    def drag(*indexes: int):
        for number, index in enumerate(indexes):
            box = cell.nth(index).bounding_box()
            page.mouse.move(box["x"] + 8, box["y"] + 8, steps=4)
            if number == 0:
                page.mouse.down()
        page.mouse.up()

    last = MAZE_SIDE * MAZE_SIDE - 1
    down = [row * MAZE_SIDE for row in range(1, MAZE_SIDE)]
    drag(*down)
    drag(*range(down[-1] + 1, last))
    expect(status).to_contain_text("Solved by you in")
    page.screenshot(path=screenshots / "maze_path.png", full_page=True)
    # one cell too many, by the keyboard
    cell.nth(1).focus()
    page.keyboard.press("o")
    expect(status).to_contain_text("Erase 1 cell beside it")
    page.keyboard.press("o")
    expect(status).to_contain_text("Solved by you")
    # a detour, and no longer straight down
    for key in ("o", "ArrowDown", "o", "ArrowDown", "o"):
        page.keyboard.press(key)
    cell.nth(MAZE_SIDE).focus()
    page.keyboard.press("o")
    expect(status).to_contain_text("Your path takes 12 steps; the shortest takes 10.")
    board.get_by_role("button", name="Undo").click()
    # a wall on the path ends it there
    board.get_by_role("button", name="Wall").click()
    before = board.locator(".cell.own").count()
    cell.nth(down[-1]).click()
    expect(board.locator(".cell.own")).to_have_count(before - 1)


def test_a_model_of_the_table_is_tried(page, screenshots):
    page.get_by_role("tab", name="Models", exact=True).click()
    expect(page.locator("#models")).to_contain_text("Mazes of 6x6")
    page.screenshot(path=screenshots / "models.png", full_page=True)
    page.locator("#models tr", has_text="Mazes").get_by_role("link", name="Try it").click()
    expect(page.locator("#maze-board .cell.c-start")).to_have_count(1)
    page.locator("#maze-solve").click()
    expect(page.locator("#maze-verdict")).to_contain_text("olved in")


@pytest.mark.parametrize(("width", "theme"), [(390, "light"), (390, "dark"), (1200, "dark")])
def test_pages_fit_phones_and_dark_screens(chromium, app_url, screenshots, width, theme):
    page = chromium.new_page(viewport={"width": width, "height": 844})
    page.goto(f"{app_url}?__theme={theme}")
    page.locator("#sudoku-solve").click()
    expect(page.locator("#sudoku-verdict")).to_contain_text("olved in")
    page.screenshot(path=screenshots / f"sudoku_{theme}_{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
