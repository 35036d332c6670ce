"""Graphs of model folders for solving on this machine: made on first use and kept in the cache of the Hub.

model, processor = load_int8("hrm_hf/pretrained/sudoku-hard")
model.solve(**processor(puzzles))
solving_pipeline("hrm_hf/pretrained/sudoku-hard")(puzzles)       # the pipeline grid-solving, in int8

A graph is identified by the SHA-256 of everything it is made from, so a model that was trained further gets a new one.
`hf cache` does not list it; it is in `assets/hrm-hf/onnx` of HF_HOME and may be deleted.
"""

import hashlib
import logging
from pathlib import Path

import torch
from huggingface_hub import cached_assets_path
from huggingface_hub.utils import WeakFileLock

import hrm_hf
from hrm_hf.checkpoints import load_checkpoint
from hrm_hf.export.graphs import MANIFEST, OPSET, need_onnx
from hrm_hf.export.solver import OnnxGridModel, load_exported
from modeling_hrm import HRMForGridTask
from pipeline_hrm import HRMGridSolvingPipeline
from processing_hrm import HRMGridProcessor


# for the check of a new graph; hrm-hf export uses more
COMPARED_PUZZLES = 8

logger = logging.getLogger(__name__)


def load_int8(name: str, num_threads: int | None = None) -> tuple[OnnxGridModel, HRMGridProcessor]:
    """A grid model with int8 weights, for a CPU, and its processor.

    The first call takes as long as an export; `hrm_hf.export.int8` says what is rounded.

    Args:
        name: a model folder, or a model on the Hub.
        num_threads: for onnxruntime, as in [`OnnxGridModel`].

    Raises:
        FileNotFoundError: for a missing model.
        ValueError: if onnx and onnxruntime are not installed.
        RuntimeError: if the int8 graph solves fewer puzzles than the model.
    """
    need_onnx("onnx")
    need_onnx("onnxruntime")
    model, processor = load_checkpoint(name)
    key = _fingerprint(model, processor)
    folder = Path(cached_assets_path("hrm-hf", namespace="onnx")) / f"{processor.task}-{key[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    # two processes that ask for the same graph make it once
    with WeakFileLock(folder.with_suffix(".lock")):
        if not (folder / MANIFEST).is_file():
            from hrm_hf.export.grid import export_onnx

            logger.warning("Making the int8 graph of %s; the next call finds it in %s.", name, folder)
            export_onnx(name, folder, num_puzzles=COMPARED_PUZZLES)
    return load_exported(folder, "int8", num_threads)


def solving_pipeline(name: str, num_threads: int | None = None, **options) -> HRMGridSolvingPipeline:
    """The pipeline `grid-solving` with int8 weights.

    Args:
        name, num_threads: as for `load_int8`, with its errors.
        options: of the pipeline: `max_segments`, `early_stop`, `halt_threshold`, `batch_size`, ...
    """
    model, processor = load_int8(name, num_threads)
    return HRMGridSolvingPipeline(model=model, processor=processor, device="cpu", **options)


def _fingerprint(model: HRMForGridTask, processor: HRMGridProcessor) -> str:
    """Of weights, configuration, processor, and the code that exports them."""
    config = model.config.to_diff_dict()
    # the place of the model and the version of transformers that saved it do not matter
    config = {key: value for key, value in sorted(config.items()) if key not in ("_name_or_path", "auto_map")}
    versions = hrm_hf.__version__, OPSET, torch.__version__
    digest = hashlib.sha256(repr((versions, config, sorted(processor.to_dict().items()))).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
