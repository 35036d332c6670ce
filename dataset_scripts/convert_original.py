"""Convert Sudoku, maze and ARC data sets to the arrays of the original HRM code, or such arrays to a data set folder.

python dataset_scripts/convert_original.py export data/sudoku-9x9 arrays/sudoku --num-aug 1000
python dataset_scripts/convert_original.py import arrays/arc-aug-1000 data/arc-1
python dataset_scripts/convert_original.py export --help
"""

import inspect
import sys
from pathlib import Path

import typer


try:
    from hrm_hf.data.original_converter import export_original, import_original
except ModuleNotFoundError as error:
    if error.name != "hrm_hf":
        raise
    # the package is not installed: take it from the repository that holds this script
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from hrm_hf.data.original_converter import export_original, import_original


if __name__ == "__main__":
    try:
        app = typer.Typer(add_completion=False)
        for name, function in (("export", export_original), ("import", import_original)):
            # what a caller in Python gets and catches is no help on the command line
            paragraphs = inspect.getdoc(function).partition("\n\nReturns:")[0].split("\n\n")
            app.command(name, help="\n\n".join(" ".join(lines.split()) for lines in paragraphs))(function)
        app()
    except (ValueError, OSError) as error:
        print(f"convert_original.py: {error}", file=sys.stderr)
        sys.exit(1)
