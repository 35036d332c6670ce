"""Outputs in docs/commands.md: commands that need no run of one's own are run again, and print the same in form."""

import re
import shlex
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent
# of `make demo`, of a Hub, of a wheel that is built, or of this machine
_NOT_HERE = ("runs/demo", "--repo", " push ", "space", "env", "runs/random", "runs/original")


def blocks() -> list[tuple[str, list[str]]]:
    """Commands of the page, with the lines that stand below them."""
    page = (ROOT / "docs" / "commands.md").read_text()
    found = []
    for block in re.findall(r"```console\n(.*?)```", page, flags=re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.rstrip().splitlines()
            found.append((command, [line for line in lines if line.strip()]))
    return found


def in_form(line: str) -> str:
    """A line without what differs between machines: numbers, and how wide they are."""
    return " ".join(re.sub(r"\d[\d,.]*", "#", line).split())


RUN = [
    (command, lines)
    for command, lines in blocks()
    if command.startswith("hrm-hf ") and not any(word in command for word in _NOT_HERE)
]


def test_most_kinds_of_commands_are_run():
    assert {command.split()[1] for command, _ in RUN} >= {"solve", "generate", "data", "explore"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the commands run, one after another as on the page."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


@pytest.mark.parametrize(("command", "lines"), RUN, ids=[command for command, _ in RUN])
def test_a_command_prints_what_the_page_says(command, lines, hrm_hf, folder, monkeypatch):
    monkeypatch.chdir(folder)
    command, _, otherwise = command.removesuffix(" 2>/dev/null").partition(" || ")
    command, _, given = command.partition(" < ")
    code, out, _ = hrm_hf(*shlex.split(command)[1:], stdin=Path(given).read_text() if given else "")
    if otherwise:
        assert lines.pop() == f"exit code {code}"
    else:
        assert code == 0
    printed = [in_form(line) for line in out.splitlines() if line.strip()]
    if " generate " in command:
        # another processor may choose another word in the end
        assert printed[0].split()[:6] == in_form(lines[0]).split()[:6]
    elif "..." in lines:
        gap = lines.index("...")
        after = len(lines) - gap - 1
        assert printed[:gap] == [in_form(line) for line in lines[:gap]]
        assert printed[len(printed) - after :] == [in_form(line) for line in lines[gap + 1 :]]
    else:
        assert printed == [in_form(line) for line in lines]
