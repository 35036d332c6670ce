"""A function on tensors, recorded once for each shape of its inputs as a CUDA graph and then replayed: one launch per
call."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch


# names and shapes of tensors
Shapes = tuple[tuple[str, torch.Size], ...]


@dataclass(frozen=True)
class Recording:
    """A recorded call.

    Attributes:
        graph: to replay.
        inputs: the tensors that it reads.
    """

    graph: torch.cuda.CUDAGraph
    inputs: dict[str, torch.Tensor]


class GraphedCall:
    """Calls a function that reads its inputs and changes tensors in place.

    Inputs may have a few shapes, each with a recording of its own. The first calls with a shape run without a graph,
    because memory and compiled code must exist when the recording starts. The function must never wait for the device,
    and everything that it keeps from one call to the next must exist after its first call with a shape.

    All recordings take the memory for their intermediate results from one pool, so that together they need about as
    much as the largest. This is safe because replays follow each other on one stream, and each of them writes whatever
    it reads from the pool: what a recording has left there is void as soon as another one is replayed.

    Args:
        function: takes a dictionary of tensors; its return value is ignored.
        warmup_calls: calls with a shape before it is recorded.
        prepare: called right before each recording.
    """

    def __init__(
        self,
        function: Callable[[dict[str, torch.Tensor]], None],
        warmup_calls: int = 5,
        prepare: Callable[[], None] | None = None,
    ):
        self.function, self.warmup_calls, self.prepare = function, warmup_calls, prepare
        # on one stream, because freed memory is used again only on the stream it was made for
        self.stream = torch.cuda.Stream()
        self.forget()

    def __call__(self, inputs: dict[str, torch.Tensor], like: dict[str, torch.Tensor] | None = None):
        """Call the function, or replay its recording.

        Args:
            inputs: of the function.
            like: tensors whose shapes decide which recording it is; by default the inputs.
        """
        shapes = shapes_of(inputs if like is None else like)
        if self.calls_done[shapes] < self.warmup_calls:
            # on the stream that records, as required by https://docs.pytorch.org/docs/stable/notes/cuda.html
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                self.function(inputs)
            torch.cuda.current_stream().wait_stream(self.stream)
            self.calls_done[shapes] += 1
            return
        if shapes not in self.recordings:
            self.recordings[shapes] = self._record(inputs)
        recording = self.recordings[shapes]
        for name, tensor in inputs.items():
            recording.inputs[name].copy_(tensor, non_blocking=True)
        recording.graph.replay()

    def has_recorded(self, like: dict[str, torch.Tensor]) -> bool:
        """Whether the next call with tensors of these shapes only replays."""
        return shapes_of(like) in self.recordings

    def forget(self):
        """Drop all recordings, because the function does something else from now on; the next calls are like the
        first."""
        self.calls_done: Counter[Shapes] = Counter()  # without a graph
        self.recordings: dict[Shapes, Recording] = {}
        # a new one, because a pool ends with its last recording
        self.pool = torch.cuda.graph_pool_handle()

    def _record(self, inputs: dict[str, torch.Tensor]) -> Recording:
        recording = Recording(torch.cuda.CUDAGraph(), {name: tensor.clone() for name, tensor in inputs.items()})
        if self.prepare is not None:
            self.prepare()
        # another thread keeps using the device meanwhile: it pins the memory of the next batches
        with torch.cuda.graph(recording.graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
            self.function(recording.inputs)
        return recording


def shapes_of(tensors: dict[str, torch.Tensor]) -> Shapes:
    """Names and shapes, in the order of the dictionary."""
    return tuple((name, tensor.shape) for name, tensor in tensors.items())
