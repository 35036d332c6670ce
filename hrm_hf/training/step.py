"""One step of training, on the device from its beginning to its end: nothing in it waits for the device.

So the host runs ahead of a GPU, and a GPU can record the whole step (`GraphedStep`).
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

    A step whose gradients are not finite changes nothing but the meter, which counts it.

    Args:
        accelerator: of the run.
        task: what is trained.
        model: the model.
        network: what a step calls: the model or something around it, wrapped by Accelerate.
        optimizers: of the model, as `build_optimizers` makes them.
        average: moving average of the weights, if there is one.
        meter: counts.
        max_grad_norm: the dense gradients are clipped to this norm, if there is one.
        num_parts: parts of a batch that are computed one after the other.
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
        # the one parameter with a sparse gradient is the puzzle embedding
        sparse = puzzle_embedding(model)
        self.dense = [param for param in model.parameters() if sparse is None or param is not sparse.weight]

    def __call__(self, batch: dict[str, torch.Tensor]):
        """Take one step on a batch of this process."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        sums: dict[str, torch.Tensor] = {}
        for number, part in enumerate(parts_of(batch, self.num_parts), start=1):
            # the processes add up their gradients once, in the last part
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

    def gradient_norm(self) -> torch.Tensor:
        """The norm of all dense gradients together, scalar, before they are clipped."""
        if self.max_grad_norm is not None:
            return whole(self.accelerator.clip_grad_norm_(self.dense, self.max_grad_norm))
        return whole(nn.utils.get_total_norm([param.grad for param in self.dense if param.grad is not None]))


def parts_of(batch: dict[str, torch.Tensor], num_parts: int) -> list[dict[str, torch.Tensor]]:
    """A batch cut into equal parts along its first dimension."""
    if num_parts == 1:
        return [batch]
    chunks = {name: tensor.chunk(num_parts) for name, tensor in batch.items()}
    return [{name: tensors[index] for name, tensors in chunks.items()} for index in range(num_parts)]


class GraphedStep:
    """A step that is recorded once as a CUDA graph and then replayed: the host launches one thing a step.

    The first steps are taken as they are, because memory and compiled code must be there when the recording begins.

    Args:
        step: what to record.
        warmup_steps: steps before the recording.
    """

    def __init__(self, step: TrainingStep, warmup_steps: int = 5):
        self.step, self.warmup_steps = step, warmup_steps
        self.steps_done = 0
        self.stream = torch.cuda.Stream()
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: dict[str, torch.Tensor] = {}

    def __call__(self, batch: dict[str, torch.Tensor]):
        """Take one step on a batch, which has the shapes of all others."""
        if self.steps_done < self.warmup_steps:
            # on the stream that records, as https://docs.pytorch.org/docs/stable/notes/cuda.html asks for
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                self.step(batch)
            torch.cuda.current_stream().wait_stream(self.stream)
        else:
            if self.graph is None:
                self.inputs = {name: tensor.clone() for name, tensor in batch.items()}
                for optimizer in self.step.optimizers:
                    optimizer.zero_grad()  # the recorded backward makes gradients of its own
                self.graph = torch.cuda.CUDAGraph()
                # other threads go on using the device meanwhile: the one that pins the memory of the next batches
                with torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local"):
                    self.step(self.inputs)
            for name, tensor in batch.items():
                self.inputs[name].copy_(tensor, non_blocking=True)
            self.graph.replay()
        self.steps_done += 1
