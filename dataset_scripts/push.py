"""Push a data set folder that is there to the Hub.

python dataset_scripts/push.py data/sudoku-6x6 me/sudoku-6x6
python dataset_scripts/push.py data/mine me/mine --private --commit-message "Fewer clues"
python dataset_scripts/push.py --help
"""

import sys
from pathlib import Path


try:
    from hrm_hf.data.publish import push_dataset
    from hrm_hf.data.script import run_script
except ModuleNotFoundError as error:
    if error.name != "hrm_hf":
        raise
    # the package is not installed: take it from the repository that holds this script
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from hrm_hf.data.publish import push_dataset
    from hrm_hf.data.script import run_script


if __name__ == "__main__":
    run_script(push_dataset)
