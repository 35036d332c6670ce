"""Solving puzzles with an exported model: onnxruntime and numpy do what `HRMForGridTask.solve` does, on the CPU."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from hrm_hf.export.graphs import MANIFEST, Precision, need_onnx
from modeling_hrm import HRMSolveOutput, HRMState
from processing_hrm import HRMGridProcessor


# of a processor of grids of one's own, in the manifest beside what all processors have
GRID_FIELDS = ["symbols", "answer_mask", "smaller_boards"]


def is_exported(name: str) -> bool:
    """Whether this is the folder of an exported model."""
    return (Path(name) / MANIFEST).is_file()


def load_exported(
    folder: Path, precision: Precision = "float32", num_threads: int | None = None
) -> tuple["OnnxGridModel", HRMGridProcessor]:
    """An exported model and the processor that belongs to it; arguments and errors as of [`OnnxGridModel`]."""
    model = OnnxGridModel(folder, precision, num_threads)
    names = ["task", "height", "width", "box_height", "box_width", "puzzle_identifiers"]
    if model.manifest["task"] == "grid":
        names += GRID_FIELDS
    return model, HRMGridProcessor(**{name: model.manifest[name] for name in names})


class OnnxGridModel:
    """An exported grid model: `solve` has the interface of [`HRMForGridTask`].

    Args:
        folder: that `hrm-hf export MODEL --format onnx` wrote.
        precision: which of its graphs.
        num_threads: of onnxruntime; by default one a core.

    Raises:
        FileNotFoundError: if the folder lacks a file.
        ValueError: if the manifest is of something else or has no such graph, or onnxruntime is not installed.
    """

    def __init__(self, folder: Path, precision: Precision = "float32", num_threads: int | None = None):
        onnxruntime = need_onnx("onnxruntime")
        if not (folder / MANIFEST).is_file():
            raise FileNotFoundError(
                f"The folder {folder} has no {MANIFEST}, so it holds no exported model; give one that "
                "`hrm-hf export MODEL --format onnx --out FOLDER` wrote."
            )
        self.manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if self.manifest.get("kind") != "grid":
            raise ValueError(f"{folder} holds a model of kind {self.manifest.get('kind')!r}; wanted 'grid'.")
        if precision not in self.manifest["files"]:
            raise ValueError(
                f"{folder} has no graph of precision {precision!r}, but {', '.join(self.manifest['files'])}."
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads or 0
        self.session = onnxruntime.InferenceSession(
            str(folder / self.manifest["files"][precision]["name"]), options, providers=["CPUExecutionProvider"]
        )
        self.outputs = [output["name"] for output in self.manifest["outputs"]]

    def to(self, *_, **__) -> "OnnxGridModel":
        """Itself: it runs on the CPU, whatever device its caller has."""
        return self

    @property
    def config(self) -> SimpleNamespace:
        """What callers read of a model's configuration."""
        return SimpleNamespace(halt_max_steps=self.manifest["halting"]["max_segments"])

    def check_puzzles(
        self,
        input_ids: torch.LongTensor,
        puzzle_identifiers: torch.LongTensor | None,
        max_segments: int,
        halt_threshold: float | None,
    ) -> None:
        """Raise a `ValueError` for what `solve` cannot solve; its arguments."""
        given = {"input_ids": input_ids, "puzzle_identifiers": puzzle_identifiers}
        self._fixed_inputs(given, max_segments, halt_threshold)

    def initial_state(self, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """z_H and z_L to start from, each `(batch_size, positions, hidden_size)` float32."""
        positions = self.manifest["positions"]
        start = (np.array(self.manifest["start_states"][name], dtype=np.float32) for name in ("z_H", "z_L"))
        return tuple(np.tile(vector, (batch_size, positions, 1)) for vector in start)

    def segment(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One segment: all inputs of the manifest by name, to all outputs by name."""
        return dict(zip(self.outputs, self.session.run(self.outputs, inputs), strict=True))

    def wants_to_halt(self, outputs: dict[str, np.ndarray], halt_threshold: float | None) -> np.ndarray:
        """Which puzzles stop, `(batch,)` bool: by the rule of training, or at a halting probability."""
        value = outputs["halting_value"]
        if halt_threshold is not None:
            return _sigmoid(value) >= halt_threshold
        if "continue_value" in outputs:
            return value > outputs["continue_value"]
        return value > self.manifest["halting"]["threshold_value"]

    def solve(
        self,
        input_ids: torch.LongTensor,
        puzzle_identifiers: torch.LongTensor | None = None,
        max_segments: int | None = None,
        early_stop: bool = True,
        halt_threshold: float | None = None,
        return_history: bool = False,
        perturb: Callable[[HRMState, torch.LongTensor, int], HRMState] | None = None,
        **conditions: torch.LongTensor,
    ) -> HRMSolveOutput:
        """As `HRMForGridTask.solve`; its arguments.

        Raises:
            ValueError: for a wrong shape, an unknown token id, `max_segments` below 1, a `halt_threshold` outside of
                0 to 1, or an input that the graph has not.
        """
        max_segments = self.manifest["halting"]["max_segments"] if max_segments is None else max_segments
        given = {name: tensor for name, tensor in conditions.items() if tensor is not None}
        given |= {"input_ids": input_ids, "puzzle_identifiers": puzzle_identifiers}
        fixed = self._fixed_inputs(given, max_segments, halt_threshold)
        device, (batch_size, cells) = input_ids.device, input_ids.shape
        predictions = np.zeros((batch_size, cells), dtype=np.int64)
        probabilities, segments = np.zeros(batch_size, dtype=np.float32), np.zeros(batch_size, dtype=np.int64)
        halted = np.zeros(batch_size, dtype=bool)
        prediction_history, probability_history = [], []

        rows = np.arange(batch_size)  # still in work
        z_H, z_L = self.initial_state(batch_size)
        for segment in range(max_segments):
            if perturb is not None:
                state = HRMState(z_H=torch.from_numpy(z_H), z_L=torch.from_numpy(z_L))
                state = perturb(state, torch.from_numpy(rows), segment)
                z_H, z_L = state.z_H.numpy(), state.z_L.numpy()
            outputs = self.segment({name: array[rows] for name, array in fixed.items()} | {"z_H": z_H, "z_L": z_L})
            predictions[rows] = outputs["logits"].argmax(-1)
            probabilities[rows] = _sigmoid(outputs["halting_value"])
            segments[rows] += 1
            prediction_history.append(predictions.copy())
            probability_history.append(probabilities.copy())
            stops = self.wants_to_halt(outputs, halt_threshold)
            halted[rows] = stops
            goes_on = ~stops if early_stop else np.ones_like(stops)
            rows, z_H, z_L = rows[goes_on], outputs["next_z_H"][goes_on], outputs["next_z_L"][goes_on]
            if len(rows) == 0:
                break

        def tensor(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(array).to(device)

        return HRMSolveOutput(
            predictions=tensor(predictions),
            segments=tensor(segments),
            halted=tensor(halted),
            halt_probabilities=tensor(probabilities),
            prediction_history=tensor(np.stack(prediction_history, axis=1)) if return_history else None,
            halt_probability_history=tensor(np.stack(probability_history, axis=1)) if return_history else None,
        )

    def _fixed_inputs(
        self, given: dict[str, torch.LongTensor | None], max_segments: int, halt_threshold: float | None
    ) -> dict[str, np.ndarray]:
        """The inputs that stay the same from segment to segment."""
        if isinstance(max_segments, bool) or not isinstance(max_segments, int) or max_segments < 1:
            raise ValueError(f"max_segments={max_segments!r} is not allowed; it must be an integer of at least 1.")
        if halt_threshold is not None and not 0 <= halt_threshold <= 1:
            raise ValueError(f"halt_threshold={halt_threshold} is not allowed; it must be a probability, 0 to 1.")
        input_ids, cells, vocab_size = given["input_ids"], self.manifest["cells"], len(self.manifest["alphabet"])
        if input_ids.dim() != 2 or input_ids.shape[0] == 0 or input_ids.shape[1] != cells:
            raise ValueError(
                f"input_ids has the shape {tuple(input_ids.shape)}; wanted (puzzles, {cells}), at least one puzzle."
            )
        outside = input_ids[(input_ids < 0) | (input_ids >= vocab_size)]
        if outside.numel() > 0:
            raise ValueError(f"input_ids has the value {outside[0].item()}; this model knows 0 to {vocab_size - 1}.")
        names = [entry["name"] for entry in self.manifest["inputs"] if not entry["name"].startswith("z_")]
        if given["puzzle_identifiers"] is None:
            given["puzzle_identifiers"] = torch.zeros(len(input_ids), dtype=torch.long)
        missing = [name for name in names if given.get(name) is None]
        # every processor gives identifiers, and models without puzzle embedding look at none
        extra = given.keys() - set(names) - {"puzzle_identifiers"}
        if missing or extra:
            raise ValueError(
                f"This model takes {', '.join(names)}; "
                + " and ".join(
                    [*(f"{name} is missing" for name in missing), *(f"{name} is too many" for name in extra)]
                )
                + "."
            )
        return {name: given[name].cpu().numpy() for name in names}


def _sigmoid(values: np.ndarray) -> np.ndarray:
    # by tanh, which does not overflow
    return (0.5 + 0.5 * np.tanh(0.5 * values.astype(np.float32))).astype(np.float32)
