"""Build a maze data set folder that `datasets.load_dataset` opens.

python dataset_scripts/build_maze.py data/maze-30x30
python dataset_scripts/build_maze.py data/maze-10x10 --height 10 --width 10 --num-train 2000 --num-test 500
python dataset_scripts/build_maze.py data/mine --source csv --train-csv train.csv.gz --test-csv test.csv.gz
python dataset_scripts/build_maze.py data/maze-hard --source hub
python dataset_scripts/build_maze.py --help
"""

import sys
from pathlib import Path


try:
    from hrm_hf.data.script import run_script
    from hrm_hf.puzzles.maze.build import build_maze
except ModuleNotFoundError as error:
    if error.name != "hrm_hf":
        raise
    # the package is not installed: take it from the repository that holds this script
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from hrm_hf.data.script import run_script
    from hrm_hf.puzzles.maze.build import build_maze


if __name__ == "__main__":
    run_script(build_maze)
