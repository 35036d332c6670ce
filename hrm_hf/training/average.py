"""An exponential moving average of the weights, for evaluation and the saved model."""

import copy

import torch
from torch import nn
from transformers import PreTrainedModel

from hrm_hf.training.optim import puzzle_embedding
from hrm_hf.training.sharding import local


class MovingAverage(nn.Module):
    """A copy of a model that averages its weights, without ever waiting for the device.

    It forgets its start: after n updates the decay is at most (1 + n) / (10 + n), and the first update copies.

    The puzzle embeddings are not averaged but shared with the model: a step changes a few rows of maybe millions, and
    an average would have to touch all of them. In a large table, visits to a row are so far apart that the average
    would have reached the row in between anyway.

    Args:
        model: to average; its current weights are the first average.
        decay: fraction of the old average that an update keeps.
    """

    updates: torch.Tensor

    def __init__(self, model: PreTrainedModel, decay: float):
        super().__init__()
        table = puzzle_embedding(model)
        shared = [] if table is None else [table.weight]
        self.module = copy.deepcopy(model, {id(param): param for param in shared})
        for param, original in zip(self.module.parameters(), model.parameters(), strict=True):
            if param is not original:
                param.requires_grad_(False)
        self.decay = decay
        self.register_buffer("updates", torch.zeros((), device=model.device))

    @torch.no_grad()
    def update(self, model: PreTrainedModel, found_inf: torch.Tensor | None = None):
        """Add the weights of the model, unless `found_inf`, a scalar bool tensor, is true."""
        ramp = torch.where(self.updates == 0, 0.0, (1 + self.updates) / (10 + self.updates))
        weight = 1 - ramp.clamp(max=self.decay)
        is_taken = torch.ones_like(weight) if found_inf is None else 1 - found_inf.float()
        pairs = zip(self.module.parameters(), model.parameters(), strict=True)
        averages, weights = zip(*[(local(old), local(new)) for old, new in pairs if old is not new], strict=True)
        distances = torch._foreach_sub(weights, averages)
        torch._foreach_mul_(distances, weight * is_taken)
        torch._foreach_add_(averages, distances)
        self.updates += is_taken
