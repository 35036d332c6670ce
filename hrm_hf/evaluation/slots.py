"""Many puzzles in a fixed number of slots: a slot takes the next puzzle when it is done (continuous batching).

`HRMForGridTask.solve` lets finished puzzles leave its batch, which shrinks. Here the batch stays full, shapes never
change, and nothing waits for the device, so a GPU records one segment as a CUDA graph and replays it.
"""

import torch

from hrm_hf.utils.cuda_graph import GraphedCall
from modeling_hrm import HRMForGridTask, HRMSolveOutput


# the host checks only every few segments whether all is done, because checking waits for the device
SEGMENTS_BETWEEN_LOOKS = 4


class Slots:
    """The work in progress, all of it on the device of the model.

    Attributes:
        rows: which puzzle is in each slot, `(slots,)`; the number of puzzles if a slot has nothing left to do.
        next_row: the first puzzle not yet started, scalar.
        predictions, halt_probabilities, segments, halted: results so far, as in `HRMSolveOutput`, with one extra row
            that idle slots write to.
        is_finite: whether all values so far were finite, scalar bool.

    Args:
        model: solves the puzzles.
        input_ids (`torch.LongTensor` of shape `(puzzles, tokens)`), puzzle_identifiers (`torch.LongTensor` of shape
            `(puzzles,)`): on the device of the model.
        num_slots, max_segments, early_stop, halt_threshold: as in `solve_in_slots`.
    """

    def __init__(
        self,
        model: HRMForGridTask,
        input_ids: torch.LongTensor,
        puzzle_identifiers: torch.LongTensor,
        num_slots: int,
        max_segments: int,
        early_stop: bool,
        halt_threshold: float | None,
    ):
        self.model, self.max_segments = model, max_segments
        self.early_stop, self.halt_threshold = early_stop, halt_threshold
        num_puzzles, device = len(input_ids), input_ids.device
        # an idle slot works on the first puzzle again
        self.input_ids = torch.cat((input_ids, input_ids[:1]))
        self.puzzle_identifiers = torch.cat((puzzle_identifiers, puzzle_identifiers[:1]))
        self.predictions = torch.zeros_like(self.input_ids)
        self.halt_probabilities = torch.zeros(num_puzzles + 1, device=device)
        self.segments = torch.zeros(num_puzzles + 1, dtype=torch.long, device=device)
        self.halted = torch.zeros(num_puzzles + 1, dtype=torch.bool, device=device)
        self.is_finite = torch.ones((), dtype=torch.bool, device=device)

        self.idle_row = num_puzzles
        self.rows = torch.arange(num_slots, device=device)
        self.next_row = torch.tensor(num_slots, device=device)
        self.start = start = model.first_state(input_ids[:num_slots])
        self.state = type(start)(z_H=start.z_H.clone(), z_L=start.z_L.clone())

    def segment(self, _: dict[str, torch.Tensor] | None = None):
        """Run one segment in every slot, and give finished slots a new puzzle."""
        rows, model = self.rows, self.model
        inputs = {"input_ids": self.input_ids[rows], "puzzle_identifiers": self.puzzle_identifiers[rows]}
        logits, q_halt, q_continue, state = model.run_segment(inputs, self.state)
        self.is_finite.logical_and_(torch.isfinite(q_halt).all() & torch.isfinite(logits).all())
        stops = model.wants_to_halt(q_halt, q_continue, self.halt_threshold)
        segments = self.segments[rows] + 1
        # idle slots all write to one extra row, which is never read
        self.predictions[rows] = logits.argmax(-1)
        self.halt_probabilities[rows] = torch.sigmoid(q_halt)
        self.halted[rows] = stops
        self.segments[rows] = segments

        done = segments >= self.max_segments
        if self.early_stop:
            done = done | stops
        done = done | (rows == self.idle_row)
        new_rows = (self.next_row + done.cumsum(0) - 1).clamp(max=self.idle_row)
        self.rows.copy_(torch.where(done, new_rows, rows))
        self.next_row.add_(done.sum()).clamp_(max=self.idle_row)
        starts = done.view(-1, 1, 1)
        self.state.z_H.copy_(torch.where(starts, self.start.z_H, state.z_H))
        self.state.z_L.copy_(torch.where(starts, self.start.z_L, state.z_L))

    def work_is_left(self) -> bool:
        """Whether any slot has a puzzle; waits for the device."""
        return bool((self.rows < self.idle_row).any())


@torch.no_grad()
def solve_in_slots(
    model: HRMForGridTask,
    input_ids: torch.LongTensor,
    puzzle_identifiers: torch.LongTensor | None = None,
    num_slots: int = 1024,
    max_segments: int | None = None,
    early_stop: bool = True,
    halt_threshold: float | None = None,
    cuda_graph: bool = True,
) -> HRMSolveOutput:
    """The results of `model.solve`, for any number of puzzles and at the full speed of a GPU.

    Args:
        model: solves the puzzles; autocast, fused kernels and compiled blocks are used if on.
        input_ids (`torch.LongTensor` of shape `(puzzles, tokens)`): on any device, as all below.
        puzzle_identifiers (`torch.LongTensor` of shape `(puzzles,)`, *optional*): 0, the blank one, by default.
        num_slots (`int`): puzzles to work on at a time; at most as many slots as puzzles are used.
        max_segments, early_stop, halt_threshold: as in `HRMForGridTask.solve`.
        cuda_graph (`bool`): on a GPU, record a segment as one CUDA graph.

    Returns:
        [`HRMSolveOutput`] without histories, on the device of the model.

    Raises:
        ValueError: as `HRMForGridTask.solve`, and for `num_slots` below 1.
    """
    if num_slots < 1:
        raise ValueError(f"num_slots={num_slots} is not allowed; it must be at least 1.")
    max_segments = model.config.halt_max_steps if max_segments is None else max_segments
    inputs = model.check_puzzles(input_ids, puzzle_identifiers, max_segments, halt_threshold)
    device = model.device
    slots = Slots(
        model,
        input_ids.to(device),
        inputs["puzzle_identifiers"].to(device),
        min(num_slots, len(input_ids)),
        max_segments,
        early_stop,
        halt_threshold,
    )
    take_segment = slots.segment
    if cuda_graph and device.type == "cuda":
        # a recording must not read copies of weights that autocast made before and frees during the recording
        take_segment = GraphedCall(slots.segment, prepare=torch.clear_autocast_cache)
    while slots.work_is_left():
        for _ in range(SEGMENTS_BETWEEN_LOOKS):
            take_segment({})
    if not slots.is_finite:
        raise ValueError(model.describe_non_finite())
    return HRMSolveOutput(
        predictions=slots.predictions[:-1],
        segments=slots.segments[:-1],
        halted=slots.halted[:-1],
        halt_probabilities=slots.halt_probabilities[:-1],
    )
