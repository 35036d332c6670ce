"""Imported first by these scripts: if `hrm_hf` is not installed, it is imported from their repository."""

import importlib.util
import sys
from pathlib import Path


if importlib.util.find_spec("hrm_hf") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
