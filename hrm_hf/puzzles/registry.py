"""The kinds of puzzles that are known: those of this package, of installed ones, and of files of one's own.

kind_of(processor)                        # the kind of the puzzles of a processor
get("sudoku"), kinds()                    # by name, all
register(MyKind())                        # in a file that --plugin or a recipe's `plugin:` names

An installed package registers a kind by an entry point of the group `hrm_hf.puzzles` that names a `PuzzleKind` object:

    [project.entry-points."hrm_hf.puzzles"]
    futoshiki = "my_package.futoshiki:KIND"
"""

import importlib.util
import sys
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from hrm_hf.puzzles.arc.kind import ARC
from hrm_hf.puzzles.grid.kind import GRID
from hrm_hf.puzzles.kind import PuzzleKind
from hrm_hf.puzzles.maze.kind import MAZE
from hrm_hf.puzzles.sudoku.kind import SUDOKU
from processing_hrm import HRMGridProcessor


GROUP = "hrm_hf.puzzles"

# in the order in which a puzzle without a card is tried, and pages and commands are listed
_kinds: dict[str, PuzzleKind] = {kind.name: kind for kind in (SUDOKU, MAZE, ARC, GRID)}
_plugins: set[Path] = set()


def register(kind: PuzzleKind) -> None:
    """Make a kind known.

    Raises:
        TypeError: if it is no object of a subclass of `PuzzleKind`.
        ValueError: if another kind has its name.
    """
    if not isinstance(kind, PuzzleKind) or type(kind) is PuzzleKind:
        raise TypeError(
            f"{kind!r} is no kind of puzzle; give an object of a subclass of hrm_hf.puzzles.kind.PuzzleKind."
        )
    if kind.name in _kinds:
        raise ValueError(f"There is a kind of puzzle named {kind.name!r} already; choose another name.")
    _kinds[kind.name] = kind


def kinds() -> list[PuzzleKind]:
    """All kinds."""
    _load_installed()
    return list(_kinds.values())


def get(name: str) -> PuzzleKind:
    """The kind of a name.

    Raises:
        ValueError: if there is none.
    """
    _load_installed()
    if name not in _kinds:
        raise ValueError(
            f"The kind of puzzle {name!r} is not known; known are {', '.join(_kinds)}. Give the file that registers "
            "it by --plugin."
        )
    return _kinds[name]


def kind_of(processor: HRMGridProcessor) -> PuzzleKind:
    """The kind of the puzzles of a processor; errors as of `get`."""
    return get(processor.kind or processor.task)


def guess(line: str) -> PuzzleKind | None:
    """The kind of a puzzle of which nothing is known but its cells; `None` if they fit none.

    Args:
        line: cells, one character each.
    """
    # not by single symbols: G is the goal of a maze, and a digit of 16x16 Sudoku
    return next((kind for kind in kinds() if line and kind.recognizes(line)), None)


def load_plugin(file: str | Path) -> None:
    """Run a file of Python that registers one or more kinds; the second time, nothing.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it does not import, or registers nothing.
    """
    path = Path(file).expanduser().resolve()
    if path in _plugins:
        return
    if not path.is_file():
        raise FileNotFoundError(f"There is no plug-in {file}; give a file of Python that registers a kind of puzzle.")
    known = set(_kinds)
    name = f"hrm_hf_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise ValueError(f"The plug-in {file} is no file of Python; its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    # workers of data loaders and pickle look classes up there
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    # it is someone's code, so anything can go wrong
    except Exception as error:
        del sys.modules[name]
        for added in set(_kinds) - known:
            del _kinds[added]
        reason = " ".join(str(error).split())
        raise ValueError(
            f"The plug-in {file} does not import ({type(error).__name__}: {reason}); correct it."
        ) from error
    if set(_kinds) == known:
        del sys.modules[name]
        raise ValueError(
            f"The plug-in {file} registers no kind of puzzle; end it in hrm_hf.puzzles.registry.register(...)."
        )
    _plugins.add(path)


@cache
def _load_installed() -> None:
    """Register the kinds of installed packages, once."""
    for point in entry_points(group=GROUP):
        try:
            register(point.load())
        # it is someone's code, so anything can go wrong
        except Exception as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"The installed plug-in {point.name} ({point.value}) of the group {GROUP} does not import "
                f"({type(error).__name__}: {reason}); correct or uninstall it."
            ) from error
