"""The builders and what goes with them as one group of commands: `hrm-hf data`."""

import typer

from hrm_hf.data.publish import push_dataset
from hrm_hf.data.script import add_command
from hrm_hf.original.data import export_original, import_original
from hrm_hf.puzzles.arc.build import build_arc
from hrm_hf.puzzles.maze.build import build_maze
from hrm_hf.puzzles.sudoku.build import build_sudoku
from hrm_hf.text.build import build_text


app = typer.Typer(help="Build, convert and push data sets.", no_args_is_help=True, add_completion=False)
for _name, _function in (
    ("sudoku", build_sudoku),
    ("maze", build_maze),
    ("arc", build_arc),
    ("text", build_text),
    ("export-original", export_original),
    ("import-original", import_original),
    ("push", push_dataset),
):
    add_command(app, _function, _name)
