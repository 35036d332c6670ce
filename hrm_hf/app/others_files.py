"""Untrusted files in folders of models, runs and data: none may break a page or lead out of its root."""

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml


_MAX_CHARACTERS = 1_000_000
_MAX_YAML = 100_000  # characters
# nested brackets: with a few hundred, PyYAML takes seconds before it gives up
_MAX_NESTING = 50
_SAFE_LINK = re.compile(r"(https?:|mailto:|#)", re.IGNORECASE)


def open_regular(path: Path, root: Path) -> Any:
    """A regular file, opened for reading bytes.

    Args:
        path: the file.
        root: folder that must contain it.

    Raises:
        OSError: for a pipe, which would wait for a writer, a device, or a link that leads out of the root.
    """
    if not is_inside(path, root):
        raise OSError(f"{path.name} is a link to another folder.")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path.name} is not a regular file.")
    return os.fdopen(descriptor, "rb")


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path, with all links followed, is below a folder."""
    return path.resolve().is_relative_to(root.resolve())


def holds_its_own(folder: Path, root: Path) -> bool:
    """Whether everything in a folder is a folder or a regular file, and no link leads out of the root."""
    try:
        with os.scandir(folder) as entries:
            return all(
                (entry.is_dir() or entry.is_file()) and (not entry.is_symlink() or is_inside(Path(entry.path), root))
                for entry in entries
            )
    except OSError:
        return False


def read_beginning(path: Path, root: Path, characters: int = _MAX_CHARACTERS) -> str:
    """The beginning of a text below a root; empty if it cannot be read."""
    try:
        with open_regular(path, root) as file:
            return file.read(4 * characters).decode("utf-8", errors="replace")[:characters]
    except OSError:
        return ""


def read_json_object(path: Path, root: Path) -> dict[str, Any]:
    """A JSON object below a root; an empty one if the file cannot be read, is incomplete or holds something else."""
    try:
        value = json.loads(read_beginning(path, root))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def read_yaml_object(text: str) -> dict[str, Any]:
    """A YAML object; an empty one if it is damaged, or so large or nested that reading it would take seconds."""
    depth, deepest = 0, 0
    for sign in re.findall(r"[\[\]{}]", text):
        depth = depth + 1 if sign in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    if deepest > _MAX_NESTING or len(text) > _MAX_YAML:
        return {}
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):  # a date or a number may be out of range
        return {}
    return value if isinstance(value, dict) else {}


def split_card(card: str) -> tuple[dict[str, Any], str]:
    """The metadata at the beginning of a card, empty if missing or unreadable, and the text after it."""
    parts = re.match(r"---\n(.*?)\n---\n?(.*)", card, flags=re.DOTALL)
    return (read_yaml_object(parts[1]), parts[2]) if parts else ({}, card)


def folders_with(root: Path, file: str, levels: int) -> Iterator[tuple[str, Path]]:
    """Folders under a root that contain a file, up to a number of levels deep, by their path under it.

    Symbolic links to outside of the root are left out.
    """

    def search(folder: Path, name: str, level: int) -> Iterator[tuple[str, Path]]:
        try:
            with os.scandir(folder) as entries:
                found = sorted((entry for entry in entries if entry.is_dir()), key=lambda entry: entry.name)
        except OSError:
            return
        for entry in found:
            path, below = Path(entry.path), f"{name}{entry.name}"
            if entry.is_symlink() and not is_inside(path, root):
                continue
            wanted = os.path.join(entry.path, file)
            if os.path.lexists(wanted) and (not os.path.islink(wanted) or is_inside(path / file, root)):
                yield below, path
            if level > 1:
                yield from search(path, f"{below}/", level - 1)

    yield from search(root, "", levels)


@contextmanager
def named(folder: Path | None, name: str) -> Iterator[None]:
    """Errors of opening a folder as sentences that do not reveal where it is on this machine.

    Args:
        folder: the folder, or `None` for something on the Hub.
        name: its name on a page.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: for any other error of a damaged file.
    """
    try:
        yield
    except Exception as error:
        reason = str(error) or type(error).__name__
        if folder is not None:
            reason = reason.replace(str(folder), name)
        raise (FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError)(reason) from error


def card_html(markdown: str) -> str:
    """A card as HTML without any tag, image or script link of its author.

    Raw HTML in it is shown as text. Links can only be web, mail or same-page links.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    parser.validateLink = lambda link: bool(_SAFE_LINK.match(link.strip()))
    # a blank line in a code block would end the block for the page's own Markdown parser
    return "\n".join(line if line.strip() else "&#8203;" for line in parser.render(markdown).rstrip().splitlines())
