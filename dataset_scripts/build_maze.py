"""Build a maze data set folder that `datasets.load_dataset` opens.

python dataset_scripts/build_maze.py data/maze-30x30
python dataset_scripts/build_maze.py data/maze-10x10 --height 10 --width 10 --num-train 2000 --num-test 500
python dataset_scripts/build_maze.py data/mine --source csv --train-csv train.csv.gz --test-csv test.csv.gz
python dataset_scripts/build_maze.py data/maze-hard --source hub
python dataset_scripts/build_maze.py --help
"""

import inspect
import sys
from pathlib import Path

import typer


try:
    from hrm_hf.data.maze_builder import build_maze
except ModuleNotFoundError as error:
    if error.name != "hrm_hf":
        raise
    # the package is not installed: take it from the repository that holds this script
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from hrm_hf.data.maze_builder import build_maze


if __name__ == "__main__":
    try:
        app = typer.Typer(add_completion=False)
        # what a caller in Python gets and catches is no help on the command line, nor are line breaks of the source
        paragraphs = inspect.getdoc(build_maze).partition("\n\nReturns:")[0].split("\n\n")
        app.command(help="\n\n".join(" ".join(lines.split()) for lines in paragraphs))(build_maze)
        app()
    # among them missing files, folders in use and a full disk
    except (ValueError, OSError) as error:
        print(f"build_maze.py: {error}", file=sys.stderr)
        sys.exit(1)
