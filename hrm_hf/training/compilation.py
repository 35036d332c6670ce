"""Which parts of a model are compiled for training, and how long that takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from hrm_hf.training.meter import TrainingClock
from hrm_hf.training.step import SplitStep
from hrm_hf.utils.cuda_graph import GraphedCall


# maximum number of compiled variants of a block before it runs uncompiled; torch's own limit is 8
_MOST_PIECES = 64


def compile_blocks(model: nn.Module, several_shapes: bool = False):
    """Let torch.compile fuse the operations inside each Transformer block.

    All blocks share one piece of compiled code for steps with gradient and one for steps without. This takes seconds,
    while compiling a whole segment, the same blocks called two dozen times, takes minutes and is not faster.

    Args:
        model: any model of transformers.
        several_shapes: whether batches have a few shapes: each then has its own code, instead of slower code for all
            of them.
    """
    if several_shapes:
        torch._dynamo.config.recompile_limit = max(_MOST_PIECES, torch._dynamo.config.recompile_limit)
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):  # the Transformer blocks of any model
            module.compile(dynamic=False if several_shapes else None)


class CompileWatch:
    """Tells the clock which steps compiled something.

    A whole step counts as compilation, from its start to the end of its work on the device, if torch.compile compiles
    something in it, if it runs before or during the recording of a CUDA graph on batches of its shape, or if it is
    the first one with Triton kernels on batches of its shape.

    Args:
        clock: of the run.
        compiles: whether torch.compile is used.
        graphed: the step, if it is recorded.
        has_kernels: whether Triton compiles kernels of this package.
    """

    def __init__(
        self, clock: TrainingClock, compiles: bool, graphed: GraphedCall | SplitStep | None, has_kernels: bool
    ):
        self.clock, self.compiles, self.graphed, self.has_kernels = clock, compiles, graphed, has_kernels
        self.shapes_seen: set[tuple[torch.Size, ...]] = set()

    @contextmanager
    def step(self, batch: dict[str, torch.Tensor]) -> Iterator[None]:
        """Watch the step on a batch; the step is the body of the `with` block."""
        shapes = tuple(tensor.shape for tensor in batch.values())
        prepares = (self.graphed is not None and not self.graphed.has_recorded(batch)) or (
            self.has_kernels and shapes not in self.shapes_seen
        )
        if prepares:
            self.clock.wait()  # for steps before this one
        minutes, pieces = self.clock.minutes(), self._pieces_compiled()
        yield
        self.shapes_seen.add(shapes)
        if prepares or self._pieces_compiled() != pieces:
            self.clock.wait()
            self.clock.compile_minutes += self.clock.minutes() - minutes
            self.clock.compile_steps += 1

    def _pieces_compiled(self) -> int:
        """Number of pieces of code that torch.compile has compiled in this process, if it is used."""
        return torch._dynamo.utils.counters["stats"]["unique_graphs"] if self.compiles else 0
