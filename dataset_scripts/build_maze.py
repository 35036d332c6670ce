"""Build a maze data set folder that `datasets.load_dataset` opens.

python dataset_scripts/build_maze.py data/maze-30x30
python dataset_scripts/build_maze.py data/maze-10x10 --height 10 --width 10 --num-train 2000 --num-test 500
python dataset_scripts/build_maze.py data/mine --source csv --train-csv train.csv.gz --test-csv test.csv.gz
python dataset_scripts/build_maze.py data/maze-hard --source hub
python dataset_scripts/build_maze.py --help
"""

import find_package  # noqa: F401  where the package is, if it is not installed

from hrm_hf.data.script import run_script
from hrm_hf.puzzles.maze.build import build_maze


if __name__ == "__main__":
    run_script(build_maze)
