"""Shared by the scripts of `dataset_scripts/`: functions as commands, errors in one sentence."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from hrm_hf.outer_layer import run_command


def add_command(app: typer.Typer, function: Callable, name: str):
    """Make a function a command, with its docstring as help."""
    # return values and errors are for callers in Python, and line breaks for readers of the source
    paragraphs = inspect.getdoc(function).partition("\n\nReturns:")[0].split("\n\n")
    app.command(name, help="\n\n".join(" ".join(lines.split()) for lines in paragraphs))(function)


def run_script(*functions: Callable):
    """Run the command line of a script.

    Args:
        functions: one per command; if there are several, the first word of its name names the command.
    """
    app = typer.Typer(add_completion=False)
    for function in functions:
        add_command(app, function, function.__name__.partition("_")[0])
    sys.exit(run_command(Path(sys.argv[0]).name, app))
