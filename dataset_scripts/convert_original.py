"""Convert Sudoku, maze and ARC data sets to the arrays of the original HRM code, or such arrays to a data set folder.

python dataset_scripts/convert_original.py export data/sudoku-9x9 arrays/sudoku --num-aug 1000
python dataset_scripts/convert_original.py import arrays/arc-aug-1000 data/arc-1
python dataset_scripts/convert_original.py export --help
"""

import find_package  # noqa: F401  where the package is, if it is not installed

from hrm_hf.data.script import run_script
from hrm_hf.original.data import export_original, import_original


if __name__ == "__main__":
    run_script(export_original, import_original)
