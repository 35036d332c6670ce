"""Draw docs/images/app_puzzles.png anew: the app with a hard Sudoku, replayed before it is sure.

python docs/app_pictures.py          # needs the packages of the tests, and chromium
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from hrm_hf.app.context import AppSettings
from hrm_hf.app.main import launch


PICTURE = Path(__file__).resolve().parent / "images" / "app_puzzles.png"
PUZZLE = (
    "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3.."  # AI Escargot, Inkala 2006
)


def main() -> int:
    """Serve the app with the shipped models, solve, replay, draw."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("There is no chromium to draw with; apt-get install chromium.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        nothing = Path(folder)
        app = launch(AppSettings(nothing, nothing, nothing), wait=False, quiet=True)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.goto(app.local_url)
        page.locator("#sudoku-difficulty").get_by_text("hard").click()
        text = page.locator("#sudoku-text textarea, #sudoku-text input").first
        text.fill(PUZZLE)
        text.press("Enter")
        expect(page.locator("#sudoku-board .cell.given")).to_have_count(81 - PUZZLE.count("."))
        text.fill("")
        page.get_by_role("button", name="Solve", exact=True).first.click()
        expect(page.locator("#sudoku-verdict")).to_contain_text("Solved in", timeout=60_000)
        slider = page.locator("#sudoku-board").get_by_role("slider")
        slider.fill(str(int(slider.get_attribute("max")) - 1))
        page.wait_for_timeout(500)  # the board fades over
        page.screenshot(path=PICTURE, full_page=True)
        browser.close()
        app.close()
    print(f"written to {PICTURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
