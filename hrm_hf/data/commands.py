"""The builders and related functions as one group of commands: `hrm-hf data`."""

import typer

from hrm_hf.data.publish import push_dataset
from hrm_hf.data.script import add_command
from hrm_hf.original.data import export_original, import_original
from hrm_hf.puzzles.registry import kinds
from hrm_hf.text.build import build_text


app = typer.Typer(help="Build, convert and push data sets.", no_args_is_help=True, add_completion=False)
for _name, _function in (
    *((kind.name, kind.builder()) for kind in kinds()),
    ("text", build_text),
    ("export-original", export_original),
    ("import-original", import_original),
    ("push", push_dataset),
):
    if _function is not None:
        add_command(app, _function, _name)
