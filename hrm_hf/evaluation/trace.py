"""A trace of a model thinking about one puzzle, segment by segment: for watching, not for scores.

thinking = trace_thinking(model, **processor(puzzle), max_segments=16)
thinking.boards[-1]             # the answer of HRMForGridTask.solve
thinking.confidence[-1]         # how sure the model is of each cell
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch

from modeling_hrm import TOKEN_LOSSES, HRMForGridTask, HRMState


@dataclass(frozen=True)
class Thinking:
    """The segments of one puzzle, on the CPU.

    Attributes:
        boards: token ids after each segment, `(segments, tokens)` int64.
        confidence: probability of each of these tokens, by the loss that the model was trained with, `(segments,
            tokens)` float32.
        halt_probabilities: of the board being right, from the halting head, `(segments,)` float32.
        halted: whether the halting head stopped it; `False` if it reached the maximum.
        norm_H, norm_L: root mean square of the states after each segment, `(segments,)` float32.
        change_H, change_L: root mean square of their change in the segment, relative to the norm before; `(segments,)`
            float32.
        second_boards: the second most likely token, `(segments, tokens)` int64.
        second_confidence: its probability, `(segments, tokens)` float32.
        cell_change_H, cell_change_L: change of the states of each cell in the segment, relative to the norm of all
            states before it; `(segments, tokens)` float32.
    """

    boards: torch.Tensor
    confidence: torch.Tensor
    halt_probabilities: torch.Tensor
    halted: bool
    norm_H: torch.Tensor
    norm_L: torch.Tensor
    change_H: torch.Tensor
    change_L: torch.Tensor
    second_boards: torch.Tensor
    second_confidence: torch.Tensor
    cell_change_H: torch.Tensor
    cell_change_L: torch.Tensor


@torch.no_grad()
def trace_thinking(
    model: HRMForGridTask,
    input_ids: torch.LongTensor,
    puzzle_identifiers: torch.LongTensor | None = None,
    max_segments: int | None = None,
    early_stop: bool = True,
    halt_threshold: float | None = None,
    perturb: Callable[[HRMState, torch.LongTensor, int], HRMState] | None = None,
) -> Thinking:
    """Solve one puzzle like `HRMForGridTask.solve`, and keep a trace.

    Args:
        model: on any device.
        input_ids: the puzzle, `(1, tokens)`.
        puzzle_identifiers, max_segments, early_stop, halt_threshold, perturb: as in `HRMForGridTask.solve`.

    Raises:
        ValueError: for more than one puzzle, and as `HRMForGridTask.solve`.
    """
    if input_ids.shape[0] != 1:
        raise ValueError(f"There are {input_ids.shape[0]} puzzles; give one to watch the model think about.")
    token_losses = TOKEN_LOSSES[model.config.token_loss]
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in _PER_SEGMENT}
    for segment in model.segments(
        input_ids, puzzle_identifiers, max_segments, early_stop, halt_threshold, perturb=perturb
    ):
        board, second = segment.logits.topk(2).indices.unbind(-1)
        for name, tokens in (("", board), ("second_", second)):
            seen[f"{name}boards"].append(tokens[0])
            # a loss is the negative logarithm of the probability
            seen[f"{name}confidence"].append(torch.exp(-token_losses(segment.logits, tokens))[0])
        seen["halt_probabilities"].append(torch.sigmoid(segment.q_halt)[0])
        changes = {"H": (segment.start.z_H, segment.state.z_H), "L": (segment.start.z_L, segment.state.z_L)}
        for module, (old, new) in changes.items():
            seen[f"norm_{module}"].append(_size(new))
            norm = _size(old.expand_as(new)).clamp(min=1e-6)
            seen[f"change_{module}"].append(_size(new - old) / norm)
            # positions of the prefix come first
            of_cells = (new - old)[0, -input_ids.shape[1] :].float().square().mean(-1).sqrt()
            seen[f"cell_change_{module}"].append(of_cells / norm)
    return Thinking(halted=bool(segment.stops), **{name: torch.stack(values).cpu() for name, values in seen.items()})


_PER_SEGMENT = tuple(field.name for field in fields(Thinking) if field.name != "halted")


def _size(state: torch.Tensor) -> torch.Tensor:
    """Root mean square, `()` float32."""
    return state.float().square().mean().sqrt()
