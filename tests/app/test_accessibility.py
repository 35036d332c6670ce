"""Every page checked by axe-core, light and dark, on a screen and on a phone: nothing critical and nothing serious."""

import shutil
import subprocess
import tarfile

import pytest
from served_pages import choose_tab, open_tab, world  # noqa: F401  world is opened by open_tab


_AXE = "axe-core@4.14.1"
_RUN = "axe.run(document, {resultTypes: ['violations']})"


@pytest.fixture(scope="module")
def axe(tmp_path_factory) -> str:
    """The script of axe-core, which npm fetches."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm, which fetches axe-core")
    folder = tmp_path_factory.mktemp("axe")
    packed = subprocess.run(["npm", "pack", "--silent", _AXE], cwd=folder, capture_output=True, text=True)
    if packed.returncode:
        pytest.skip(f"npm cannot fetch {_AXE}")
    with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


def faults(page, axe: str, seconds: int = 8) -> list[str]:
    """What axe finds serious or critical on the page once it stands still.

    While a part of a page is loading, its old content is pale for a moment, so what is found must last.
    """
    if not page.evaluate("typeof axe !== 'undefined'"):
        page.evaluate(axe)
    for _ in range(seconds):
        if not (found := _faults_now(page)):
            break
        page.wait_for_timeout(1000)
    return found


def _faults_now(page) -> list[str]:
    found = page.evaluate(_RUN)["violations"]
    return [
        f"{each['id']}: {len(each['nodes'])}, {each['nodes'][0]['html'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_of_the_app_is_hard_to_use(chromium, app_url, axe, theme, width):
    page = chromium.new_page(viewport={"width": width, "height": 900})
    page.goto(f"{app_url}?__theme={theme}")
    page.locator("#sudoku-solve").click()
    page.locator("#sudoku-board .replay").wait_for()
    page.get_by_text("See inside").first.click()
    found = {"Sudoku": faults(page, axe)}
    for name in ("Maze", "ARC", "Text", "Models", "Training", "Data", "API"):
        choose_tab(page, name)
        page.wait_for_timeout(700)
        found[name] = faults(page, axe)
    page.close()
    assert {name: these for name, these in found.items() if these} == {}


@pytest.mark.parametrize(("width", "dark"), [(1100, False), (390, True)])
def test_text_runs_and_data_are_not_hard_to_use(chromium, axe, width, dark):
    found = {}
    for name in ("Text", "Training", "Data"):
        page = open_tab(chromium, name, width=width, dark=dark)
        if name == "Text":
            page.locator("#text-write").click()
            page.locator("#text-tokens button").first.wait_for()
        page.wait_for_timeout(1500)
        found[name] = faults(page, axe)
        page.close()
    assert {name: these for name, these in found.items() if these} == {}
