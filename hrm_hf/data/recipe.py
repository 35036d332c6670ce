"""How a data set was made, for its card: the command and what else a builder compares before building again."""

import inspect
import shlex
from collections.abc import Callable
from pathlib import Path


def _without_folders(name: str, value: object) -> str:
    """The value of an option for the card, without folders of this machine; other paths are names on the Hub."""
    return value.name if isinstance(value, Path) and value.exists() else str(value)


def command_line(
    script: str,
    builder: Callable,
    options: dict,
    flags: dict[str, str] | None = None,
    shown: Callable[[str, object], str] = _without_folders,
) -> str:
    """The command that repeats a build: every option that differs from its default.

    Args:
        script: in dataset_scripts/.
        builder: has the defaults.
        options: by name, in order; a list stands for an option that is given several times.
        flags: of options whose flag is not their name.
        shown: maps name and value of an option to the value in the command.
    """
    words = ["python", f"dataset_scripts/{script}", options["output_dir"].name]
    defaults = inspect.signature(builder).parameters
    for name, value in options.items():
        if name in ("output_dir", "overwrite", "num_proc") or value == defaults[name].default:
            continue
        for entry in value if isinstance(value, list) else [value]:
            words.append((flags or {}).get(name, f"--{name.replace('_', '-')}"))
            if entry is not True:
                words.append(shown(name, entry))
    return shlex.join(words)


def recipe_text(origin: list[str], command: str) -> str:
    """Markdown about how a data set was made; equal recipes give equal data sets."""
    return "\n".join(["## How it was made", "", *origin, "", "```", command, "```"])
