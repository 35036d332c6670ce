"""One step of training, entirely on the device: nothing in it waits for the device.

So the host runs ahead of a GPU, and a GPU can record the whole step (hrm_hf/utils/cuda_graph.py).
"""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from torch import nn
from transformers import PreTrainedModel

from hrm_hf.training.average import MovingAverage
from hrm_hf.training.device_optimizer import DeviceOptimizer
from hrm_hf.training.meter import Meter
from hrm_hf.training.optim import puzzle_embedding
from hrm_hf.training.sharding import whole
from hrm_hf.training.stopping import found_inf
from hrm_hf.training.task import Task


class TrainingStep:
    """Forward, backward, update, moving average, sums for the log.

    A step with nonfinite gradients changes only the meter, which counts it.

    Args:
        accelerator: of the run.
        task: what is trained.
        model: the model.
        network: called by a step: the model or a wrapper of it, wrapped by Accelerate.
        optimizers: of the model, from `build_optimizers`.
        average: moving average of the weights, if any.
        meter: counts.
        max_grad_norm: the dense gradients are clipped to this norm, if given.
        num_parts: number of parts of a batch, computed one after the other.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        task: Task,
        model: PreTrainedModel,
        network: nn.Module,
        optimizers: Sequence[DeviceOptimizer],
        average: MovingAverage | None,
        meter: Meter,
        max_grad_norm: float | None = None,
        num_parts: int = 1,
    ):
        self.accelerator, self.task, self.model, self.network = accelerator, task, model, network
        self.optimizers, self.average, self.meter = optimizers, average, meter
        self.max_grad_norm, self.num_parts = max_grad_norm, num_parts
        # only the puzzle embedding has a sparse gradient
        sparse = puzzle_embedding(model)
        self.dense = [param for param in model.parameters() if sparse is None or param is not sparse.weight]

    def __call__(self, batch: dict[str, torch.Tensor]):
        """Take one step on a batch of this process."""
        self.drop_gradients()
        sums: dict[str, torch.Tensor] = {}
        for number, part in enumerate(parts_of(batch, self.num_parts), start=1):
            # the processes sum their gradients once, in the last part
            with nullcontext() if number == self.num_parts else self.accelerator.no_sync(self.network):
                output = self.task.forward(self.network, part)
                self.accelerator.backward(output.loss / self.num_parts)
            for name, value in self.task.sums(output, part).items():
                sums[name] = sums[name] + value if name in sums else value
            del output
        norm = self.gradient_norm()
        is_bad = found_inf(self.accelerator, norm, self.optimizers)
        for optimizer in self.optimizers:
            optimizer.found_inf = is_bad
            optimizer.step()
        if self.average is not None:
            self.average.update(self.model, is_bad)
        self.task.finish(is_bad)
        self.meter.add(sums, norm, is_bad)

    def drop_gradients(self):
        """Free the gradients of the last step; a recorded backward must create its own."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def gradient_norm(self) -> torch.Tensor:
        """The norm of all dense gradients together, scalar, before clipping."""
        if self.max_grad_norm is not None:
            return whole(self.accelerator.clip_grad_norm_(self.dense, self.max_grad_norm))
        return whole(nn.utils.get_total_norm([param.grad for param in self.dense if param.grad is not None]))


def parts_of(batch: dict[str, torch.Tensor], num_parts: int) -> list[dict[str, torch.Tensor]]:
    """A batch, split into equal parts along its first dimension."""
    if num_parts == 1:
        return [batch]
    chunks = {name: tensor.chunk(num_parts) for name, tensor in batch.items()}
    return [{name: tensors[index] for name, tensors in chunks.items()} for index in range(num_parts)]
