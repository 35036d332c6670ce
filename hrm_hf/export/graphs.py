"""ONNX graphs: traced, simplified, written with float32 and int8 weights, and named in a manifest.

Notable choices:
- torch's exporter by tracing, not the one by `torch.export`: it is ten times as fast on an unrolled recurrence, and
  opset 13 is enough, the lowest that has all operators (the other needs 18).
- The traced graph is simplified by onnxruntime's basic level, which leaves standard operators alone.
"""

import hashlib
import importlib
import json
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Literal

import torch
from torch import nn


Precision = Literal["float32", "int8"]
OPSET = 13  # the lowest with which the tracing exporter knows all operators of the models
MANIFEST = "manifest.json"
FILES = {"float32": "model.onnx", "int8": "model.int8.onnx"}
TOLERANCE = 1e-4  # of values of the float32 graph, against PyTorch


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


@torch.no_grad()
def trace(
    module: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    input_names: list[str],
    output_names: list[str],
    dynamic_axes: dict[str, dict[int, str]],
):
    """The graph of a module, simplified: constants are computed, and nothing is computed twice.

    Args:
        module: in float32 and evaluation mode, with eager attention.
        inputs: an example.
        input_names, output_names, dynamic_axes: as in `torch.onnx.export`.

    Returns:
        An `onnx.ModelProto`.
    """
    onnx, onnxruntime = need_onnx("onnx"), need_onnx("onnxruntime")
    with TemporaryDirectory() as scratch:
        traced, simple = (str(Path(scratch) / f"{name}.onnx") for name in ("traced", "simple"))
        with warnings.catch_warnings():
            # that sizes are taken as constants, which they are, and that there is a newer exporter
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                inputs,
                traced,
                dynamo=False,
                opset_version=OPSET,
                input_names=input_names,
                output_names=output_names,
                dynamic_axes=dynamic_axes,
            )
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = simple
        options.log_severity_level = 3  # a warning about the level is for those who use higher ones
        onnxruntime.InferenceSession(traced, options, providers=["CPUExecutionProvider"])
        graph = onnx.load(simple)
    foreign = {node.domain for node in graph.graph.node} - {"", "ai.onnx"}
    if foreign:
        raise RuntimeError(f"onnxruntime put operators of {', '.join(sorted(foreign))} into the graph.")
    # onnxruntime names the operators that it has, used or not
    del graph.opset_import[:]
    graph.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    del graph.graph.value_info[:]
    graph.producer_name = "hrm-hf"
    onnx.checker.check_model(graph)
    return graph


def write_graph(graph, folder: Path, precisions: list[Precision]) -> None:
    """Write a float32 graph and what it is with int8 weights."""
    for precision in precisions:
        if precision == "int8":
            from hrm_hf.export.int8 import quantize

            graph = quantize(graph)
        save(graph, folder / FILES[precision])


def save(graph, file: Path) -> None:
    """Write a graph."""
    file.write_bytes(graph.SerializeToString())


def describe_file(file: Path) -> dict[str, Any]:
    """Its entry in the manifest."""
    content = file.read_bytes()
    return {"name": file.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write manifest.json."""
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
