"""ONNX graphs: traced, simplified, written with float32 and int8 weights, and named in a manifest.

Notable choices:
- torch's tracing exporter, not the one based on `torch.export`: it is ten times as fast on an unrolled recurrence, and
  opset 13 is enough, the lowest that has all operators (the other needs 18).
- The traced graph is simplified by onnxruntime's basic level, which does not change standard operators.
"""

import hashlib
import importlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from hrm_hf.utils.files import check_replaceable


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


def check_request(output: Path, overwrite: bool, number: int, name: str) -> None:
    """Refuse impossible exports before a model is loaded.

    Args:
        output, overwrite: the folder to write, and whether an existing one may be replaced.
        number, name: number of examples to compare, and name of the argument that sets it.

    Raises:
        FileExistsError: for an output folder that is in use.
        ValueError: if onnx and onnxruntime are not installed, or nothing would be compared.
    """
    need_onnx("onnx")
    need_onnx("onnxruntime")
    if number < 1:
        raise ValueError(f"{name}={number} is not allowed; at least 1 must be compared.")
    check_replaceable(output, overwrite, MANIFEST, "folder of an exported model")


def as_traced(model: PreTrainedModel) -> PreTrainedModel:
    """The model in float32 and with attention in plain operators, for export and comparison."""
    model.float()
    model.set_attn_implementation("eager")
    return model.eval()


class Step(nn.Module):
    """A call of a model with only tensors as inputs and outputs, in order.

    Attributes:
        kind: of model, for the manifest.
        inputs, outputs: shape of each tensor by name; a string is a size that may change. Ids are int64, all others
            float32.

    Args:
        model: to call.
    """

    kind: str
    inputs: dict[str, list[int | str]]
    outputs: dict[str, list[int | str]]

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model

    def example(self) -> tuple[torch.Tensor, ...]:
        """Inputs for tracing a call; sizes that may change are not 1."""
        raise NotImplementedError


def write_step(
    step: Step,
    folder: Path,
    precisions: list[Precision],
    description: dict[str, Any],
    compare: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """Write the graph of a step in each precision, and the manifest.

    Args:
        step: of a model prepared by `as_traced`.
        folder: must exist.
        precisions: `float32`, optionally followed by `int8`.
        description: entries of the manifest besides those that all have.
        compare: called when the graphs and a manifest are written; its result becomes `compared` in the manifest.

    Returns:
        The manifest.
    """
    graph = trace(step)
    for precision in precisions:
        if precision == "int8":
            from hrm_hf.export.int8 import quantize

            graph = quantize(graph)
        save(graph, folder / FILES[precision])
    manifest = {
        "format": "hrm-hf onnx",
        "version": 1,
        "kind": step.kind,
        **description,
        "opset": OPSET,
        "inputs": [_describe_tensor(name, shape) for name, shape in step.inputs.items()],
        "outputs": [_describe_tensor(name, shape) for name, shape in step.outputs.items()],
        "parameters": step.model.num_parameters(),
        "files": {precision: _describe_file(folder / FILES[precision]) for precision in precisions},
    }
    _write_manifest(folder, manifest)
    manifest["compared"] = compare()
    _write_manifest(folder, manifest)
    return manifest


_INTEGERS = {"input_ids", "puzzle_identifiers", "conditions", "token_roles"}


def _describe_tensor(name: str, shape: list[int | str]) -> dict[str, Any]:
    return {"name": name, "dtype": "int64" if name in _INTEGERS else "float32", "shape": shape}


def _describe_file(file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    return {"name": file.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def save(graph, file: Path) -> None:
    """Write a graph."""
    file.write_bytes(graph.SerializeToString())


@torch.no_grad()
def trace(step: Step):
    """The graph of a step as an `onnx.ModelProto`, simplified: constants folded, nothing computed twice."""
    onnx, onnxruntime = need_onnx("onnx"), need_onnx("onnxruntime")
    with TemporaryDirectory() as scratch:
        traced, simple = (str(Path(scratch) / f"{name}.onnx") for name in ("traced", "simple"))
        with warnings.catch_warnings():
            # warns that sizes are taken as constants, which they are, and that there is a newer exporter
            warnings.simplefilter("ignore")
            torch.onnx.export(
                step.eval(),
                step.example(),
                traced,
                dynamo=False,
                opset_version=OPSET,
                input_names=list(step.inputs),
                output_names=list(step.outputs),
                dynamic_axes={
                    name: {axis: size for axis, size in enumerate(shape) if isinstance(size, str)}
                    for name, shape in (step.inputs | step.outputs).items()
                },
            )
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = simple
        options.log_severity_level = 3  # a warning about the level concerns only higher levels
        onnxruntime.InferenceSession(traced, options, providers=["CPUExecutionProvider"])
        graph = onnx.load(simple)
    foreign = {node.domain for node in graph.graph.node} - {"", "ai.onnx"}
    if foreign:
        raise RuntimeError(f"onnxruntime put operators of {', '.join(sorted(foreign))} into the graph.")
    # onnxruntime lists all its operator sets, used or not
    del graph.opset_import[:]
    graph.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    del graph.graph.value_info[:]
    for output in graph.graph.output:  # the tracer does not know every fixed size
        for dim, size in zip(output.type.tensor_type.shape.dim, step.outputs[output.name], strict=True):
            if isinstance(size, int):
                dim.dim_value = size
    graph.producer_name = "hrm-hf"
    onnx.checker.check_model(graph)
    return graph
