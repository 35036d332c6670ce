"""Take the pictures of the app again: a replay of a hard Sudoku before the model is sure, and a hard maze.

python docs/app_pictures.py          # needs the test packages, and chromium
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from hrm_hf.app.context import AppSettings
from hrm_hf.app.main import launch


IMAGES = Path(__file__).resolve().parent / "images"


def draw_sudoku(page: Page, picture: Path):
    """The first page, AI Escargot: one segment before the end."""
    expect(page.locator("#sudoku-board .cell.given")).to_have_count(23)
    page.get_by_role("button", name="Solve", exact=True).first.click()
    expect(page.locator("#sudoku-verdict")).to_contain_text("Solved in", timeout=60_000)
    page.get_by_text("See inside").first.click()
    draw_replay(page, "#sudoku-board", 1, picture)


def draw_maze(page: Page, picture: Path):
    """The page for mazes: its first maze, solved."""
    page.get_by_role("tab", name="Maze", exact=True).click()
    expect(page.locator("#maze-board .cell.c-wall").first).to_be_visible(timeout=60_000)
    page.locator("#maze-solve").click()
    expect(page.locator("#maze-verdict")).to_contain_text("Solved in", timeout=60_000)
    draw_replay(page, "#maze-board", 0, picture)


def draw_replay(page: Page, board: str, segments_before_end: int, picture: Path):
    """Stop the replay a number of segments before its end, and take the picture."""
    slider = page.locator(board).get_by_role("slider")
    slider.fill(str(int(slider.get_attribute("max")) - segments_before_end))
    page.wait_for_timeout(500)  # the board fades over
    page.screenshot(path=picture, full_page=True)


def main() -> int:
    """Serve the app with the shipped models, and take the pictures."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("There is no chromium; run apt-get install chromium.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        nothing = Path(folder)
        app = launch(AppSettings(nothing, nothing, nothing), wait=False, quiet=True)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, draw in (("app_puzzles", draw_sudoku), ("app_maze", draw_maze)):
            page = browser.new_page(viewport={"width": 1100, "height": 900})
            page.goto(app.local_url)
            draw(page, IMAGES / f"{name}.png")
            print(f"written to {IMAGES / name}.png")
        browser.close()
        app.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
