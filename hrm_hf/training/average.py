"""An exponential moving average of the weights, which is what is evaluated and saved."""

import copy

import torch
from torch import nn
from transformers import PreTrainedModel

from hrm_hf.training.sharding import local


class MovingAverage(nn.Module):
    """A copy of a model that follows its weights, without ever waiting for the device.

    It forgets its start: after n updates the decay is at most (1 + n) / (10 + n), and the first update copies.

    Args:
        model: to follow; its weights now are the first average.
        decay: share of the old average that an update keeps.
    """

    updates: torch.Tensor

    def __init__(self, model: PreTrainedModel, decay: float):
        super().__init__()
        self.module = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay
        self.register_buffer("updates", torch.zeros((), device=model.device))

    @torch.no_grad()
    def update(self, model: PreTrainedModel, found_inf: torch.Tensor | None = None):
        """Take the weights of the model in, unless `found_inf`, a scalar bool tensor, is true."""
        ramp = torch.where(self.updates == 0, 0.0, (1 + self.updates) / (10 + self.updates))
        weight = 1 - ramp.clamp(max=self.decay)
        is_taken = torch.ones_like(weight) if found_inf is None else 1 - found_inf.float()
        averages, weights = ([local(param) for param in module.parameters()] for module in (self.module, model))
        distances = torch._foreach_sub(weights, averages)
        torch._foreach_mul_(distances, weight * is_taken)
        torch._foreach_add_(averages, distances)
        self.updates += is_taken
