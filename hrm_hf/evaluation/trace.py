"""What happens while a model thinks about one puzzle, segment by segment: for people who watch, not for scores.

thinking = trace_thinking(model, **processor(puzzle), max_segments=16)
thinking.boards[-1]             # as HRMForGridTask.solve answers
thinking.confidence[-1]         # how sure the model is of each cell
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from modeling_hrm import TOKEN_LOSSES, HRMForGridTask, HRMState


@dataclass(frozen=True)
class Thinking:
    """The segments of one puzzle, on the CPU.

    Attributes:
        boards: token ids after each segment, `(segments, tokens)` int64.
        confidence: probability of each of these tokens, by the loss that the model was trained with, `(segments,
            tokens)` float32.
        halt_probabilities: that the board is right, as the halting head has it, `(segments,)` float32.
        halted: whether the halting head stopped it; `False` where it was cut off.
        norm_H, norm_L: root mean square of the states after each segment, `(segments,)` float32.
        change_H, change_L: of what the segment added to them, relative to the norm before; `(segments,)` float32.
    """

    boards: torch.Tensor
    confidence: torch.Tensor
    halt_probabilities: torch.Tensor
    halted: bool
    norm_H: torch.Tensor
    norm_L: torch.Tensor
    change_H: torch.Tensor
    change_L: torch.Tensor


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
    """Solve one puzzle as `HRMForGridTask.solve` does, and keep what there is to see.

    Args:
        model: on any device.
        input_ids: the puzzle, `(1, tokens)`.
        puzzle_identifiers, max_segments, early_stop, halt_threshold, perturb: as in `HRMForGridTask.solve`.

    Raises:
        ValueError: for more than one puzzle, and as `HRMForGridTask.solve`.
    """
    if input_ids.shape[0] != 1:
        raise ValueError(f"There are {input_ids.shape[0]} puzzles; give one to watch the model think about.")
    max_segments = model.config.halt_max_steps if max_segments is None else max_segments
    if max_segments < 1:
        raise ValueError(f"max_segments={max_segments} is not allowed; it must be at least 1.")
    state = model.model.initial_state(1, model.config.num_prefix_positions + input_ids.shape[1])
    row = torch.zeros(1, dtype=torch.long, device=input_ids.device)
    probability_losses = TOKEN_LOSSES[model.config.token_loss]
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in _PER_SEGMENT}
    halted = False
    for segment in range(max_segments):
        if perturb is not None:
            state = perturb(state, row, segment)
        outputs = model.model(input_ids=input_ids, puzzle_identifiers=puzzle_identifiers, state=state, num_segments=1)
        logits, q_halt, q_continue = model.read_out(outputs.last_hidden_state)
        if not torch.isfinite(logits).all() or not torch.isfinite(q_halt).all():
            raise ValueError("The model computes values that are not finite; its checkpoint is damaged.")
        board = logits.argmax(-1)
        seen["boards"].append(board[0])
        # a loss is the negative logarithm of the probability
        seen["confidence"].append(torch.exp(-probability_losses(logits, board))[0])
        seen["halt_probabilities"].append(torch.sigmoid(q_halt)[0])
        for module, old, new in (("H", state.z_H, outputs.state.z_H), ("L", state.z_L, outputs.state.z_L)):
            seen[f"norm_{module}"].append(_size(new))
            seen[f"change_{module}"].append(_size(new - old) / _size(old.expand_as(new)).clamp(min=1e-6))
        state = outputs.state
        halted = bool(model.wants_to_halt(q_halt, q_continue, halt_threshold))
        if early_stop and halted:
            break
    return Thinking(halted=halted, **{name: torch.stack(values).cpu() for name, values in seen.items()})


_PER_SEGMENT = ("boards", "confidence", "halt_probabilities", "norm_H", "norm_L", "change_H", "change_L")


def _size(state: torch.Tensor) -> torch.Tensor:
    """Root mean square, `()` float32."""
    return state.float().square().mean().sqrt()
