"""Run the commands of docs/commands.md, or of another page, and insert their output below them.

    make demo && python docs/run_commands.py
    python docs/run_commands.py clients

Every ```console block has lines `$ command`; the rest of the block is rewritten. Commands run in the root of the
repository, in order; `...` replaces the middle of a long output.
"""

import re
import subprocess
import sys
from pathlib import Path

from hrm_hf.utils.files import whole_file


ROOT = Path(__file__).resolve().parent.parent
MOST_LINES = 22


def run(command: str) -> str:
    """The output of a command, without progress bars.

    Raises:
        RuntimeError: if it fails.
    """
    process = subprocess.run(["bash", "-c", command], cwd=ROOT, text=True, capture_output=True, check=False)
    if process.returncode:
        raise RuntimeError(f"{command} ended with exit code {process.returncode}: {process.stderr[-2000:]}")
    lines = process.stdout.replace(f"{ROOT}/", "").rstrip().splitlines()
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 5], "...", *lines[-4:]]
    return "\n".join(lines)


def fill(match: re.Match) -> str:
    """A block with the output of its commands."""
    parts = []
    for command in re.findall(r"^\$ (.+)$", match[1], flags=re.MULTILINE):
        print(f"$ {command}", file=sys.stderr)
        parts += [f"$ {command}", run(command)]
    return "```console\n" + "\n".join(part for part in parts if part) + "\n```"


def main():
    """Command line: the name of the page."""
    page = ROOT / "docs" / f"{sys.argv[1] if len(sys.argv) > 1 else 'commands'}.md"
    text = re.sub(r"```console\n(.*?)```", fill, page.read_text(), flags=re.DOTALL)
    with whole_file(page) as partial:
        partial.write_text(text)


if __name__ == "__main__":
    main()
