"""Push an existing data set folder to the Hub.

python dataset_scripts/push.py data/sudoku-6x6 me/sudoku-6x6
python dataset_scripts/push.py data/mine me/mine --private --commit-message "Fewer clues"
python dataset_scripts/push.py --help
"""

import find_package  # noqa: F401  where the package is, if it is not installed

from hrm_hf.data.publish import push_dataset
from hrm_hf.data.script import run_script


if __name__ == "__main__":
    run_script(push_dataset)
