"""The known kinds of puzzles: those of this package, of installed packages, and of your own files.

kind_of(processor)                        # the kind of the puzzles of a processor
get("sudoku"), kinds()                    # by name, all
register(MyKind())                        # in a file named by --plugin or a recipe's `plugin:`

An installed package registers a kind with an entry point of the group `hrm_hf.puzzles` that names a `PuzzleKind`
object:

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

# in the order for guessing the kind of a puzzle, and for listing pages and commands
_kinds: dict[str, PuzzleKind] = {kind.name: kind for kind in (SUDOKU, MAZE, ARC, GRID)}
_plugins: set[Path] = set()


def register(kind: PuzzleKind) -> None:
    """Register a kind.

    Raises:
        TypeError: if it is not an object of a subclass of `PuzzleKind`.
        ValueError: if another kind has its name.
    """
    if not isinstance(kind, PuzzleKind) or type(kind) is PuzzleKind:
        raise TypeError(
            f"{kind!r} is not a kind of puzzle; give an object of a subclass of hrm_hf.puzzles.kind.PuzzleKind."
        )
    if kind.name in _kinds:
        raise ValueError(f"There is already a kind of puzzle named {kind.name!r}; choose another name.")
    _kinds[kind.name] = kind


def kinds() -> list[PuzzleKind]:
    """All kinds."""
    _load_installed()
    return list(_kinds.values())


def get(name: str) -> PuzzleKind:
    """The kind with a name.

    Raises:
        ValueError: if there is none.
    """
    _load_installed()
    if name not in _kinds:
        raise ValueError(
            f"The kind of puzzle {name!r} is not known; known are {', '.join(_kinds)}. Give the file that registers "
            "it with --plugin."
        )
    return _kinds[name]


def kind_of(processor: HRMGridProcessor) -> PuzzleKind:
    """The kind of the puzzles of a processor; raises the errors of `get`."""
    return get(processor.kind or processor.task)


def guess(line: str) -> PuzzleKind | None:
    """The kind of a puzzle if only its cells are known; `None` if they fit no kind.

    Args:
        line: cells, one character each.
    """
    # not by single symbols: G is the goal of a maze, and a digit of 16x16 Sudoku
    return next((kind for kind in kinds() if line and kind.recognizes(line)), None)


def load_plugin(file: str | Path) -> None:
    """Run a Python file that registers one or more kinds; a second call does nothing.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if its import fails, or it registers nothing.
    """
    path = Path(file).expanduser().resolve()
    if path in _plugins:
        return
    if not path.is_file():
        raise FileNotFoundError(f"There is no plugin {file}; give a Python file that registers a kind of puzzle.")
    known = set(_kinds)
    name = f"hrm_hf_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise ValueError(f"The plugin {file} is not a Python file; its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    # workers of data loaders and pickle look up classes there
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    # user code, so anything can go wrong
    except Exception as error:
        del sys.modules[name]
        for added in set(_kinds) - known:
            del _kinds[added]
        reason = " ".join(str(error).split())
        raise ValueError(
            f"The plugin {file} cannot be imported ({type(error).__name__}: {reason}); correct it."
        ) from error
    if set(_kinds) == known:
        del sys.modules[name]
        raise ValueError(
            f"The plugin {file} registers no kind of puzzle; end it with hrm_hf.puzzles.registry.register(...)."
        )
    _plugins.add(path)


@cache
def _load_installed() -> None:
    """Register the kinds of installed packages, once."""
    for point in entry_points(group=GROUP):
        try:
            register(point.load())
        # code from other packages, so anything can go wrong
        except Exception as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"The installed plugin {point.name} ({point.value}) of the group {GROUP} cannot be imported "
                f"({type(error).__name__}: {reason}); correct or uninstall it."
            ) from error
