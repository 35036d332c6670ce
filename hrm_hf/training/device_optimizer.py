"""Base class of our optimizers: they never wait for the device, so that a GPU can record a whole step as a graph."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer

from hrm_hf.training.sharding import slice_like


def write(old: torch.Tensor, new: torch.Tensor, found_inf: torch.Tensor | None):
    """Write `new` into `old`, unless `found_inf`, a scalar bool tensor, is true."""
    old.copy_(new if found_inf is None else torch.where(found_inf, old, new))


class DeviceOptimizer(Optimizer):
    """An optimizer that keeps its state, number of updates and, if needed, learning rate on the device.

    Attributes:
        found_inf: scalar bool tensor: whether the next `step` must change nothing, because gradients are not finite
            (the same name as in torch's own fused optimizers). `None`: every step counts.

    Args:
        params: parameters or parameter groups.
        lr (`float` or scalar tensor): learning rate.
        weight_decay (`float`): decoupled weight decay.
        **defaults: of the parameter groups.
    """

    found_inf: torch.Tensor | None = None

    def __init__(self, params: Iterable, lr: float | torch.Tensor, weight_decay: float, **defaults: Any):
        if lr < 0:
            raise ValueError(f"lr={lr} is not allowed; it must be at least 0.")
        if weight_decay < 0:
            raise ValueError(f"weight_decay={weight_decay} is not allowed; it must be at least 0.")
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, **defaults})
        self._update: Callable = self.update

    @staticmethod
    def update(*args: Any):
        """The arithmetic of one parameter group, only on tensors."""
        raise NotImplementedError

    def compile(self):
        """Let torch.compile fuse the update; the learning rate becomes a tensor, so that compiling happens once."""
        for group in self.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=group["params"][0].device)
        self._update = torch.compile(self.update, dynamic=False)

    def set_learning_rate(self, factor: float):
        """Use `factor` times the initial learning rate of each group."""
        for group in self.param_groups:
            lr = group.setdefault("base_lr", float(group["lr"])) * factor
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def load_state_dict(self, state_dict: dict[str, Any]):
        """As in torch; the state of a whole group also moves to the device of its parameters.

        The state of a sharded parameter is given as whole tensors, of which this process takes its slice.
        """
        rates = [group["lr"] for group in self.param_groups]
        params = dict(enumerate(param for group in self.param_groups for param in group["params"]))
        state = {
            index: {name: slice_like(value, params.get(index)) for name, value in values.items()}
            for index, values in state_dict["state"].items()
        }
        super().load_state_dict(state_dict | {"state": state})
        for group, rate in zip(self.param_groups, rates, strict=True):
            device = group["params"][0].device
            if "updates" in group:
                group["updates"] = group["updates"].to(device)
            # compiled or recorded code reads the rate from the same tensor
            if isinstance(rate, torch.Tensor):
                group["lr"] = rate.fill_(group["lr"])
            else:
                group["lr"] = float(group["lr"])

    def _count_update(self, group: dict[str, Any], device: torch.device) -> torch.Tensor:
        """Count one update of a group, unless it is skipped; returns the count, a scalar float tensor."""
        if "updates" not in group:
            group["updates"] = torch.zeros((), device=device)
        group["updates"] += 1 if self.found_inf is None else torch.where(self.found_inf, 0.0, 1.0)
        return group["updates"]

    @staticmethod
    def _loss(closure: Callable | None) -> torch.Tensor | None:
        if closure is None:
            return None
        with torch.enable_grad():
            return closure()
