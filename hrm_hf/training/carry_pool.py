"""Batches in progress: the carries of several batches that take turns, in tensors that stay in place."""

import torch

from configuration_hrm import HRMConfig
from modeling_hrm import HRMCarry, HRMState


class CarryPool:
    """Carries of `size` batches of equal shape.

    The turn is kept on the device and the carries are one tensor per field, so that a recorded step (a CUDA graph)
    uses another batch each time it is replayed.

    Args:
        size: number of batches.
        staggered_start: give the sequences of each batch a random number of segments after their first one, so that
            about equally many halt in every later step.
        config: of the model, whose `halt_max_steps` may change during training.
    """

    def __init__(self, size: int, staggered_start: bool, config: HRMConfig):
        self.size, self.staggered_start, self.config = size, staggered_start, config
        self.fields: dict[str, torch.Tensor] = {}  # (size, batch, ...); empty before the first batch

    def take(self, ahead: int = 0) -> HRMCarry | None:
        """The carry whose turn it is, or will be `ahead` turns later; `None` in the first step of a run."""
        if not self.fields:
            return None
        return _carry_of(
            {name: self._of_turn(tensor, ahead) for name, tensor in self.fields.items() if name != "turn"}
        )

    def put(self, carry: HRMCarry, found_inf: torch.Tensor):
        """Put the carry back after its segment, and pass the turn to the next one.

        Args:
            carry: after the segment.
            found_inf: scalar bool tensor: whether its numbers are not finite; its sequences are then dropped.
        """
        if not self.fields:
            self._make_room(carry)
        steps, halted = carry.steps, carry.halted
        if self.staggered_start:
            is_fresh = self._of_turn(self.fields["is_fresh"])
            most = self.config.halt_max_steps
            drawn = torch.randint_like(steps, 1, most + 1)
            steps = torch.where(is_fresh, drawn, steps)
            halted = torch.where(is_fresh, drawn >= most, halted)
        fields = _fields_of(carry) | {
            "steps": steps,
            "halted": halted | found_inf,
            "is_fresh": torch.zeros_like(halted[:1]),
        }
        for name, tensor in self.fields.items():
            if name != "turn":
                value = fields[name].to(tensor.dtype)
                if self.size == 1:
                    tensor[0].copy_(value)
                else:
                    tensor.index_copy_(0, self.fields["turn"], value.unsqueeze(0))
        self.fields["turn"].add_(1).remainder_(self.size)

    def stagger_anew(self):
        """Give the sequences in progress random numbers of segments again, because `halt_max_steps` has changed.

        Spread over the old number of segments, they would halt together from now on: of those with a limit of 2, none
        at the first and second of 4 and half of them at each of the others, in all batches at the same time.
        """
        if self.staggered_start and self.fields:
            self.fields["is_fresh"].fill_(True)

    def state(self) -> dict[str, torch.Tensor]:
        """Everything, as tensors."""
        return dict(self.fields)

    def restore(self, state: dict[str, torch.Tensor], device: torch.device):
        """Restore a `state`.

        Raises:
            ValueError: if it has another number of batches.
        """
        if state and len(state["steps"]) != self.size:
            raise ValueError(
                f"The checkpoint has {len(state['steps'])} batches in progress, but batches_in_work={self.size}; use "
                "the number it was saved with."
            )
        self.fields = {name: tensor.to(device) for name, tensor in state.items()}

    def _of_turn(self, tensor: torch.Tensor, ahead: int = 0) -> torch.Tensor:
        if self.size == 1:
            return tensor[0]
        return tensor.index_select(0, (self.fields["turn"] + ahead) % self.size)[0]

    def _make_room(self, carry: HRMCarry):
        """Tensors for all batches; each batch starts with sequences that have halted, with arbitrary contents."""
        fields = _fields_of(carry)
        self.fields = {
            name: tensor.detach().unsqueeze(0).expand(self.size, *tensor.shape).clone()
            for name, tensor in fields.items()
        }
        self.fields["halted"].fill_(True)
        device = carry.halted.device
        self.fields["is_fresh"] = torch.ones(self.size, 1, dtype=torch.bool, device=device)
        self.fields["turn"] = torch.zeros(1, dtype=torch.long, device=device)


# of a sequence, in addition to its states
_NAMES = ("steps", "halted", "input_ids", "puzzle_identifiers", "labels", "conditions", "token_roles")


def _fields_of(carry: HRMCarry) -> dict[str, torch.Tensor]:
    """The tensors of a carry by name, without missing ones."""
    fields = {
        "z_H": carry.state.z_H,
        "z_L": carry.state.z_L,
        **{name: getattr(carry, name) for name in _NAMES},
    }
    return {name: tensor for name, tensor in fields.items() if tensor is not None}


def _carry_of(fields: dict[str, torch.Tensor]) -> HRMCarry:
    return HRMCarry(
        state=HRMState(z_H=fields["z_H"], z_L=fields["z_L"]), **{name: fields.get(name) for name in _NAMES}
    )
