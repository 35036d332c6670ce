"""Build a Sudoku data set folder that `datasets.load_dataset` opens.

python dataset_scripts/build_sudoku.py data/sudoku-6x6 --size 6 --num-train 2000 --num-test 500
python dataset_scripts/build_sudoku.py data/mine --source csv --train-csv train.csv.gz --test-csv test.csv.gz
python dataset_scripts/build_sudoku.py data/extreme --source hub --num-train 1000 --random-subset
python dataset_scripts/build_sudoku.py data/neighbors --source hub --num-train 1000 --num-neighbors 100000
python dataset_scripts/build_sudoku.py --help
"""

import find_package  # noqa: F401  where the package is, if it is not installed

from hrm_hf.data.script import run_script
from hrm_hf.puzzles.sudoku.build import build_sudoku


if __name__ == "__main__":
    run_script(build_sudoku)
