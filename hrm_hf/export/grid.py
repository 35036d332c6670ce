"""Grid models as ONNX graphs: one segment per graph, and a manifest with everything else that a client needs.

    model.onnx         (input_ids, z_H, z_L[, ...]) -> (logits, halting_value[, continue_value], next_z_H, next_z_L)
    model.int8.onnx    the same with int8 weights (see `int8`)
    manifest.json      alphabet, shapes, initial states, when to halt, and what was checked

A client starts with the start states at every position, runs a segment, takes the most likely token of each cell, and
continues from the next states until the halting rule says stop; examples/solve_onnx.py does this in numpy.

The graphs are compared with the model in PyTorch; if they differ too much, no folder is written.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hrm_hf.checkpoints import load_checkpoint
from hrm_hf.export.graphs import TOLERANCE, Step, as_traced, check_request, write_step
from hrm_hf.export.solver import GRID_FIELDS, OnnxGridModel
from hrm_hf.puzzles.registry import kind_of
from hrm_hf.utils.files import whole_folder
from modeling_hrm import HRMForGridTask, HRMSegment, HRMState
from processing_hrm import HRMGridProcessor


# share of float32 values that must be within the tolerance: the recurrence amplifies rounding in cells that the model
# is unsure of
LEAST_WITHIN = 0.99
# limits the puzzles compared at a time: larger batches are slower on CPUs, since their values do not stay in the cache
_CELLS_AT_ONCE = 2 * 900


@dataclass(frozen=True)
class OnnxExport:
    """What was exported, and what was compared.

    Attributes:
        model: the exported model.
        output: the folder.
        files: bytes of each graph by precision.
        puzzles: number of compared puzzles.
        largest_difference: between any output of the float32 graph and of the model, from the same states, over
            all segments that the model runs.
        within_tolerance: share of all outputs that differ by at most `TOLERANCE`.
        solved: puzzles whose answer keeps the rules, by precision, and `torch`; `None` for ARC, which has no rules.
        equal_boards: puzzles with the same answer from the graph and the model, by precision. Those that the model is
            not sure of even after the last segment may differ, since rounding grows in them.
    """

    model: str
    output: str
    files: dict[str, int]
    puzzles: int
    largest_difference: float
    within_tolerance: float
    solved: dict[str, int] | None
    equal_boards: dict[str, int]


class GridSegment(Step):
    """One segment of a grid model."""

    kind = "grid"

    def __init__(self, model: HRMForGridTask):
        super().__init__(model)
        config = model.config
        cells = config.max_position_embeddings
        states = ["batch", config.num_prefix_positions + cells, config.hidden_size]
        self.inputs = {"input_ids": ["batch", cells], "z_H": states, "z_L": states}
        if config.puzzle_emb_ndim > 0 or config.num_token_roles > 0:
            self.inputs["puzzle_identifiers"] = ["batch"]
        if config.condition_sizes:
            self.inputs["conditions"] = ["batch", len(config.condition_sizes)]
        if config.num_token_roles > 0:
            self.inputs["token_roles"] = ["batch", config.vocab_size]
        self.outputs = {"logits": ["batch", cells, config.vocab_size], "halting_value": ["batch"]}
        if config.halting == "q_learning":
            self.outputs["continue_value"] = ["batch"]
        self.outputs |= {"next_z_H": states, "next_z_L": states}

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Outputs in their order."""
        inputs = dict(zip(self.inputs, tensors, strict=True))
        state = HRMState(z_H=inputs.pop("z_H"), z_L=inputs.pop("z_L"))
        *heads, state = self.model.run_segment(inputs, state)
        return *(value for value in heads if value is not None), state.z_H, state.z_L

    def example(self) -> tuple[torch.Tensor, ...]:
        config = self.model.config
        input_ids = torch.ones(2, config.max_position_embeddings, dtype=torch.long)
        state = self.model.first_state(input_ids)
        tensors = {
            "input_ids": input_ids,
            "z_H": state.z_H.clone(),
            "z_L": state.z_L.clone(),
            "puzzle_identifiers": torch.zeros(2, dtype=torch.long),
            "conditions": torch.zeros(2, len(config.condition_sizes or ()), dtype=torch.long),
            "token_roles": torch.full((2, config.vocab_size), -1),
        }
        return tuple(tensors[name] for name in self.inputs)


def export_onnx(
    model: str, output: Path, overwrite: bool = False, int8: bool = True, num_puzzles: int = 64
) -> OnnxExport:
    """Write a grid model as ONNX graphs with their manifest, and compare them with the model.

    Args:
        model: a model folder, or a model on the Hub.
        output: the folder to write.
        overwrite: whether an existing folder of an exported model may be replaced.
        int8: whether to also write the graph with int8 weights.
        num_puzzles: number of generated puzzles to compare.

    Raises:
        FileNotFoundError, FileExistsError: for a missing model and an output folder that is in use.
        ValueError: if onnx and onnxruntime are not installed, or there are no puzzles to compare.
        RuntimeError: if a graph does not agree with the model.
    """
    check_request(output, overwrite, num_puzzles, "num_puzzles")
    hrm_model, processor = load_checkpoint(model)
    attention = hrm_model.config._attn_implementation
    segment = GridSegment(as_traced(hrm_model))
    precisions = ["float32", "int8"] if int8 else ["float32"]

    def compare_written() -> dict[str, Any]:
        # as it solves outside of an export; on a large board plain operators take more than twice the time
        hrm_model.set_attn_implementation(attention)
        return compare(hrm_model, processor, partial, precisions, num_puzzles)

    with whole_folder(output) as partial:
        manifest = write_step(
            segment,
            partial,
            precisions,
            describe(hrm_model, processor),
            compare_written,
        )
    return OnnxExport(
        model=model,
        output=str(output),
        files={name: entry["bytes"] for name, entry in manifest["files"].items()},
        **manifest["compared"],
    )


def describe(model: HRMForGridTask, processor: HRMGridProcessor) -> dict[str, Any]:
    """What the manifest says about a grid model: see the keys."""
    config = model.config
    rule = "halting_value > continue_value" if config.halting == "q_learning" else "halting_value > threshold_value"
    halting = {"rule": rule, "probability": "sigmoid(halting_value)", "max_segments": config.halt_max_steps}
    if config.halting == "lean":
        threshold = config.halt_threshold
        halting |= {"threshold": threshold, "threshold_value": math.log(threshold / (1 - threshold))}
    return {
        "task": processor.task,
        "height": processor.height,
        "width": processor.width,
        "box_height": processor.box_height,
        "box_width": processor.box_width,
        "cells": config.max_position_embeddings,
        "positions": config.num_prefix_positions + config.max_position_embeddings,
        "prefix_positions": config.num_prefix_positions,
        "hidden_size": config.hidden_size,
        # index: token id
        "alphabet": kind_of(processor).alphabet(processor),
        "pad_token_id": processor.pad_token_id,
        "puzzle_identifiers": processor.puzzle_identifiers,
        **{name: getattr(processor, name) for name in GRID_FIELDS},
        # `kind` of the processor; in the manifest `kind` is that of the model
        "puzzle_kind": processor.kind,
        # the same vector at every position
        "start_states": {
            name: getattr(model.model, buffer).float().tolist()
            for name, buffer in (("z_H", "H_init"), ("z_L", "L_init"))
        },
        "next_states": {"next_z_H": "z_H", "next_z_L": "z_L"},
        "halting": halting,
    }


# --- comparing


def example_puzzles(model: HRMForGridTask, processor: HRMGridProcessor, number: int) -> dict[str, torch.Tensor]:
    """Inputs of generated puzzles, or random ones for kinds without a generator."""
    generator = torch.Generator().manual_seed(0)
    input_ids = kind_of(processor).generate(processor, number)
    if input_ids is None:
        input_ids = torch.randint(processor.vocab_size, (number, processor.seq_len), generator=generator)
    config = model.config
    inputs = {
        "input_ids": input_ids,
        "puzzle_identifiers": torch.arange(number) % config.num_puzzle_identifiers,
    }
    if config.condition_sizes:
        drawn = [torch.randint(size, (number,), generator=generator) for size in config.condition_sizes]
        inputs["conditions"] = torch.stack(drawn, dim=1)
    if config.num_token_roles > 0:
        roles = torch.arange(config.vocab_size) - (config.vocab_size - config.num_token_roles)
        inputs["token_roles"] = roles.clamp(min=-1).repeat(number, 1)
    return inputs


def compare(
    model: HRMForGridTask, processor: HRMGridProcessor, folder: Path, precisions: list[str], num_puzzles: int
) -> dict[str, Any]:
    """Compare written graphs with the model on generated puzzles: fields of [`OnnxExport`].

    Raises:
        RuntimeError: if float32 differs in its values or in answers that the model is sure of, or int8 solves fewer.
    """
    puzzles = example_puzzles(model, processor, num_puzzles)
    graphs = {precision: OnnxGridModel(folder, precision) for precision in precisions}
    boards: dict[str, list[torch.Tensor]] = {name: [] for name in ("torch", *precisions)}
    differences, halted = [], []
    for inputs in _batches(puzzles, max(1, _CELLS_AT_ONCE // processor.seq_len)):
        by_model, by_graph, found = _solve_both(model, graphs["float32"], inputs)
        boards["torch"].append(by_model.predictions)
        boards["float32"].append(by_graph.predictions)
        halted.append(by_model.halted)
        differences += found
        if "int8" in graphs:
            boards["int8"].append(graphs["int8"].solve(**inputs).predictions)
    predictions = {name: torch.cat(parts) for name, parts in boards.items()}
    is_equal = {name: (predictions[name] == predictions["torch"]).all(1) for name in precisions}
    equal = {name: int(mask.sum()) for name, mask in is_equal.items()}
    largest = max(float(values.max()) for values in differences)
    within = sum(int((values <= TOLERANCE).sum()) for values in differences) / sum(v.numel() for v in differences)
    if within < LEAST_WITHIN:
        raise RuntimeError(
            f"Only {within:.2%} of the values of the float32 graph are within {TOLERANCE} of those of the model; "
            f"expected {LEAST_WITHIN:.0%}. The largest difference is {largest:.2g}."
        )
    others = torch.cat(halted) & ~is_equal["float32"]
    if others.any():
        raise RuntimeError(
            f"The float32 graph answers {int(others.sum())} of {num_puzzles} puzzles differently from the model, "
            "which was sure of its answers."
        )
    solved = None
    kind = kind_of(processor)
    if kind.has_rules:
        verdicts = {
            name: np.array([verdict.solved for verdict in kind.verdicts(processor, puzzles["input_ids"], answers)])
            for name, answers in predictions.items()
        }
        solved = {name: int(mask.sum()) for name, mask in verdicts.items()}
        if "int8" in precisions:
            _check_solved(verdicts["torch"], verdicts["int8"])
    return {
        "puzzles": num_puzzles,
        "largest_difference": largest,
        "within_tolerance": within,
        "solved": solved,
        "equal_boards": equal,
    }


def _check_solved(by_model: np.ndarray, by_int8: np.ndarray) -> None:
    """Raise a `RuntimeError` if int8 solves fewer puzzles, by more than chance explains (McNemar's test, 2 sigma)."""
    lost, won = int((by_model & ~by_int8).sum()), int((by_int8 & ~by_model).sum())
    if lost - won > 2 * math.sqrt(lost + won):
        raise RuntimeError(
            f"The int8 graph solves {by_int8.sum()} of {len(by_int8)} puzzles, but the model {by_model.sum()}; export "
            "the model without int8."
        )


def _batches(puzzles: dict[str, torch.Tensor], size: int) -> Iterator[dict[str, torch.Tensor]]:
    for start in range(0, len(puzzles["input_ids"]), size):
        yield {name: tensor[start : start + size] for name, tensor in puzzles.items()}


class _Answers:
    """Answers of a batch, from its segments in their order."""

    def __init__(self, input_ids: torch.LongTensor):
        self.predictions = torch.empty_like(input_ids)
        self.halted = torch.zeros(len(input_ids), dtype=torch.bool)

    def add(self, segment: HRMSegment) -> None:
        self.predictions[segment.rows] = segment.logits.argmax(-1)
        self.halted[segment.rows] = segment.stops


@torch.no_grad()
def _solve_both(
    model: HRMForGridTask, graph: OnnxGridModel, inputs: dict[str, torch.Tensor]
) -> tuple[_Answers, _Answers, list[torch.Tensor]]:
    """Answers of the model and of the float32 graph, and the absolute differences of all outputs.

    Each continues from its own states to its own answers. For the differences the graph also runs every segment from
    the states of the model. Both begin with the same states, so its first segment serves twice.
    """
    by_model, by_graph = _Answers(inputs["input_ids"]), _Answers(inputs["input_ids"])
    graph_segments = graph.segments(**inputs)
    differences = []
    for number, segment in enumerate(model.segments(**inputs)):
        by_model.add(segment)
        if number == 0:
            first = next(graph_segments)
            by_graph.add(first)
            found = first.logits, first.q_halt, first.q_continue, first.state
        else:
            unfinished = {name: tensor[segment.rows] for name, tensor in inputs.items()}
            found = graph.run_segment(unfinished, segment.start)
        wanted = segment.logits, segment.q_halt, segment.q_continue, segment.state.z_H, segment.state.z_L
        *heads, state = found
        differences += [
            (ours - theirs).abs()
            for ours, theirs in zip(wanted, (*heads, state.z_H, state.z_L), strict=True)
            if ours is not None
        ]
    for segment in graph_segments:
        by_graph.add(segment)
    return by_model, by_graph, differences
