"""What exports need beside the package: said in a sentence where it is not installed."""

import importlib
from types import ModuleType


def need_onnx(name: str) -> ModuleType:
    """The module `onnx` or `onnxruntime`.

    Raises:
        ValueError: if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ValueError(f"This needs {name}, which is not installed; run pip install 'hrm-hf[onnx]'.") from error
