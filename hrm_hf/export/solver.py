"""Solving puzzles with an exported model: onnxruntime computes the segments of `HRMForGridTask.solve`, on the CPU."""

import json
from pathlib import Path
from types import SimpleNamespace

import torch

from hrm_hf.export.graphs import MANIFEST, Precision, need_onnx
from modeling_hrm import HRMSolving, HRMState, check_ids
from processing_hrm import HRMGridProcessor


# of a processor for other grids, in the manifest in addition to what all processors have
GRID_FIELDS = ["symbols", "answer_mask", "smaller_boards"]


def is_exported(name: str) -> bool:
    """Whether this is the folder of an exported model."""
    return (Path(name) / MANIFEST).is_file()


def load_exported(
    folder: Path, precision: Precision = "float32", num_threads: int | None = None
) -> tuple["OnnxGridModel", HRMGridProcessor]:
    """An exported model and its processor; arguments and errors as for [`OnnxGridModel`]."""
    model = OnnxGridModel(folder, precision, num_threads)
    names = ["task", "height", "width", "box_height", "box_width", "puzzle_identifiers", *GRID_FIELDS]
    # older manifests lack some of these
    fields = {name: model.manifest[name] for name in names if name in model.manifest}
    return model, HRMGridProcessor(**fields, kind=model.manifest.get("puzzle_kind"))


class OnnxGridModel(HRMSolving):
    """An exported grid model, with `solve` of [`HRMForGridTask`].

    Args:
        folder: written by `hrm-hf export MODEL --format onnx`.
        precision: which of its graphs.
        num_threads: for onnxruntime; by default as many as torch uses.

    Raises:
        FileNotFoundError: if the folder lacks a file.
        ValueError: if the manifest is for something else or has no such graph, or onnxruntime is not installed.
    """

    def __init__(self, folder: Path, precision: Precision = "float32", num_threads: int | None = None):
        onnxruntime = need_onnx("onnxruntime")
        if not (folder / MANIFEST).is_file():
            raise FileNotFoundError(
                f"The folder {folder} has no {MANIFEST}, so it is not an exported model; give a folder written by "
                "`hrm-hf export MODEL --format onnx --out FOLDER`."
            )
        self.manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if self.manifest.get("kind") != "grid":
            raise ValueError(f"{folder} has a model of kind {self.manifest.get('kind')!r}; expected 'grid'.")
        if precision not in self.manifest["files"]:
            raise ValueError(
                f"{folder} has no graph with precision {precision!r}; it has {', '.join(self.manifest['files'])}."
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads or torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(
            str(folder / self.manifest["files"][precision]["name"]), options, providers=["CPUExecutionProvider"]
        )
        self.outputs = [output["name"] for output in self.manifest["outputs"]]
        halting = self.manifest["halting"]
        # the part of a configuration that the halting rule and callers read
        self.config = SimpleNamespace(halt_max_steps=halting["max_segments"], halt_threshold=halting.get("threshold"))

    device, dtype = torch.device("cpu"), torch.float32  # for a pipeline, like the next two
    input_modalities = ("multimodal",)

    def can_generate(self) -> bool:
        """Always false: it solves puzzles."""
        return False

    def to(self, *_, **__) -> "OnnxGridModel":
        """Returns itself: it always runs on the CPU."""
        return self

    def first_state(self, input_ids: torch.LongTensor) -> HRMState:
        shape = (input_ids.shape[0], self.manifest["positions"], self.manifest["hidden_size"])
        start = {name: torch.tensor(self.manifest["start_states"][name]) for name in ("z_H", "z_L")}
        return HRMState(**{name: vector.to(input_ids.device).expand(shape) for name, vector in start.items()})

    def run_segment(
        self, inputs: dict[str, torch.Tensor], state: HRMState, grid_shape: tuple[int, int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, HRMState]:
        given = {**inputs, "z_H": state.z_H, "z_L": state.z_L}
        arrays = {entry["name"]: given[entry["name"]].cpu().numpy() for entry in self.manifest["inputs"]}
        found = {
            name: torch.from_numpy(array).to(state.z_H.device)
            for name, array in zip(self.outputs, self.session.run(self.outputs, arrays), strict=True)
        }
        after = HRMState(**{name: found[output] for output, name in self.manifest["next_states"].items()})
        return found["logits"], found["halting_value"], found.get("continue_value"), after

    def check_inputs(self, inputs: dict[str, torch.Tensor], grid_shape: tuple[int, int] | None = None):
        input_ids, cells, vocab_size = inputs["input_ids"], self.manifest["cells"], len(self.manifest["alphabet"])
        board = self.manifest["height"], self.manifest["width"]
        if input_ids.shape[1] != cells or (grid_shape is not None and tuple(grid_shape) != board):
            given = f"{input_ids.shape[1]} cells" + (f" in a grid_shape {tuple(grid_shape)}" if grid_shape else "")
            raise ValueError(f"Each puzzle has {given}; this graph is for boards of {board[0]}x{board[1]}.")
        check_ids("input_ids", input_ids.cpu(), vocab_size)
        names = {entry["name"] for entry in self.manifest["inputs"]} - {"z_H", "z_L"}
        # every processor returns identifiers, and models without puzzle embedding ignore them
        wrong = [f"{name} is missing" for name in sorted(names - inputs.keys())]
        wrong += [f"{name} is not expected" for name in sorted(inputs.keys() - names - {"puzzle_identifiers"})]
        if wrong:
            raise ValueError(f"This model takes {', '.join(sorted(names))}; {' and '.join(wrong)}.")

    def describe_non_finite(self) -> str:
        return "The graph computes values that are not finite; export the model again."
