"""The README's own code and tables."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.tables import FILES, render


ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_python_of_the_readme_runs_as_it_stands(readme_code, tmp_path):
    # only the shipped model, not the repository
    shutil.copytree(ROOT / "hrm_hf/pretrained", tmp_path / "hrm_hf/pretrained")
    assert len(readme_code.strip().splitlines()) <= 10
    (tmp_path / "readme.py").write_text(readme_code)
    process = subprocess.run(
        [sys.executable, "-I", "readme.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr[-3000:]
    assert "Verdict(solved=True" in process.stdout


@pytest.mark.parametrize("name", FILES)
def test_the_tables_are_what_the_records_say(name):
    text = (ROOT / name).read_text()
    assert "<!-- table: " in text
    assert render(text) == text


PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md"))),
]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not target.startswith("http")]
    parts = [target.partition("#") for target in targets]
    files = [(ROOT / page if file == "" else (ROOT / page).parent / file, name) for file, _, name in parts]
    assert [str(file) for file, _ in files if not file.exists()] == []
    assert [(str(file), name) for file, name in files if name and name not in heading_names(file)] == []


def test_the_readme_is_short_and_every_page_is_in_the_index():
    assert len(README.splitlines()) <= 130
    index = (ROOT / "docs/README.md").read_text()
    assert [
        page.name
        for page in (ROOT / "docs").glob("*.md")
        if page.name != "README.md" and f"({page.name})" not in index
    ] == []
    assert (ROOT / "docs/commands.md").read_text().count("```console\n$ hrm-hf") >= 5


def heading_names(file: Path) -> list[str]:
    """GitHub's names for the headings of a Markdown file in links."""
    headings = re.findall(r"^#+ (.*)$", file.read_text(), flags=re.MULTILINE)
    return [re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings]
