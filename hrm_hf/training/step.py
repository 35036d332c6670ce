"""One step of training, entirely on the device: nothing in it waits for the device.

So the host runs ahead of a GPU, and a GPU can record the whole step (hrm_hf/utils/cuda_graph.py), or with several
processes the two halves of it (`SplitStep`).
"""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
import torch.distributed
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
from hrm_hf.utils.cuda_graph import GraphedCall


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
        self.sums: dict[str, torch.Tensor] = {}  # for the log, between the halves of a step
        self.dense = [param for param in model.parameters() if sparse is None or param is not sparse.weight]

    def __call__(self, batch: dict[str, torch.Tensor]):
        """Take one step on a batch of this process."""
        self.compute_gradients(batch)
        self.update()

    def compute_gradients(self, batch: dict[str, torch.Tensor]):
        """The first half: forward and backward on a batch of this process."""
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
        self.sums = sums

    def update(self):
        """The second half: everything that follows from the gradients, which are equal on all processes."""
        norm = self.gradient_norm()
        is_bad = found_inf(self.accelerator, norm, self.optimizers)
        for optimizer in self.optimizers:
            optimizer.found_inf = is_bad
            optimizer.step()
        if self.average is not None:
            self.average.update(self.model, is_bad)
        self.task.finish(is_bad)
        self.meter.add(self.sums, norm, is_bad)
        self.sums = {}

    def drop_gradients(self):
        """Free the gradients of the last step; a recorded backward must create its own."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def gradient_norm(self) -> torch.Tensor:
        """The norm of all dense gradients together, scalar, before clipping."""
        if self.max_grad_norm is not None:
            return whole(self.accelerator.clip_grad_norm_(self.dense, self.max_grad_norm))
        return whole(nn.utils.get_total_norm([param.grad for param in self.dense if param.grad is not None]))


class SplitStep:
    """A step of several processes as two CUDA graphs, with the sum of the gradients over the processes between them.

    Batches may have a few shapes, each with its own two graphs. The sum is outside of the graphs and is a single call
    of NCCL on all gradients together, so the network is the model itself and not wrapped by DDP. Losses are those of
    DDP.

    Args:
        step: with a network whose gradients nobody else sums, and without sparse gradients.
    """

    def __init__(self, step: TrainingStep):
        self.step = step
        params = [param for param in step.dense if param.requires_grad]
        # (all weights and gaps,): the graphs read and write the gradients here, so that they stay in place
        lengths = [_aligned(param.numel()) for param in params]
        self.flat = torch.zeros(sum(lengths), device=params[0].device)
        self.places = [
            (param, piece[: param.numel()].view_as(param))
            for param, piece in zip(params, self.flat.split(lengths), strict=True)
        ]
        self.first_half = GraphedCall(self._compute_gradients, prepare=step.drop_gradients)
        self.second_half = GraphedCall(self._update)

    def __call__(self, batch: dict[str, torch.Tensor]):
        """Take one step on a batch of this process."""
        self.first_half(batch)
        torch.distributed.all_reduce(self.flat)
        # it reads what the first half for this shape has left in its memory: the sums for the log and the carries
        self.second_half({}, like=batch)

    def has_recorded(self, batch: dict[str, torch.Tensor]) -> bool:
        """Whether the next call with a batch of these shapes replays both graphs."""
        return self.second_half.has_recorded(batch)

    def forget(self):
        """Drop the recordings, because the step does something else from now on."""
        self.first_half.forget()
        self.second_half.forget()

    def _compute_gradients(self, batch: dict[str, torch.Tensor]):
        self.step.compute_gradients(batch)
        used = [(param, place) for param, place in self.places if param.grad is not None]
        torch._foreach_copy_([place for _, place in used], [param.grad for param, _ in used])
        for param, place in used:
            param.grad = place
        # the mean, as with DDP
        self.flat.div_(self.step.accelerator.num_processes)

    def _update(self, _: dict[str, torch.Tensor]):
        self.step.update()


def _aligned(length: int) -> int:
    """A length with a gap behind it, so that every gradient starts at a multiple of 64 numbers, as kernels like it."""
    return -(-length // 64) * 64


def parts_of(batch: dict[str, torch.Tensor], num_parts: int) -> list[dict[str, torch.Tensor]]:
    """A batch, split into equal parts along its first dimension."""
    if num_parts == 1:
        return [batch]
    chunks = {name: tensor.chunk(num_parts) for name, tensor in batch.items()}
    return [{name: tensors[index] for name, tensors in chunks.items()} for index in range(num_parts)]
