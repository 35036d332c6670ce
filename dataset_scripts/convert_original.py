"""Convert Sudoku, maze and ARC data sets to the arrays of the original HRM code, or such arrays to a data set folder.

python dataset_scripts/convert_original.py export data/sudoku-9x9 arrays/sudoku --num-aug 1000
python dataset_scripts/convert_original.py import arrays/arc-aug-1000 data/arc-1
python dataset_scripts/convert_original.py export --help
"""

import sys
from pathlib import Path


try:
    from hrm_hf.data.script import run_script
    from hrm_hf.original.data import export_original, import_original
except ModuleNotFoundError as error:
    if error.name != "hrm_hf":
        raise
    # the package is not installed: take it from the repository that holds this script
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from hrm_hf.data.script import run_script
    from hrm_hf.original.data import export_original, import_original


if __name__ == "__main__":
    run_script(export_original, import_original)
