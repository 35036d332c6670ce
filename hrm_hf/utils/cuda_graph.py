"""A function on tensors, recorded once as a CUDA graph and then replayed: one launch per call."""

from collections.abc import Callable

import torch


class GraphedCall:
    """Calls a function that reads its inputs and changes tensors in place.

    The first calls run without a graph, because memory and compiled code must exist when the recording starts. The
    function must never wait for the device.

    Args:
        function: takes a dictionary of tensors, with the same shapes in every call; its return value is ignored.
        warmup_calls: calls before the recording.
        prepare: called right before the recording.
    """

    def __init__(
        self,
        function: Callable[[dict[str, torch.Tensor]], None],
        warmup_calls: int = 5,
        prepare: Callable[[], None] | None = None,
    ):
        self.function, self.warmup_calls, self.prepare = function, warmup_calls, prepare
        self.calls_done = 0
        self.stream = torch.cuda.Stream()
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: dict[str, torch.Tensor] = {}

    def __call__(self, inputs: dict[str, torch.Tensor]):
        """Call the function, or replay its recording."""
        if self.calls_done < self.warmup_calls:
            # on the stream that records, as required by https://docs.pytorch.org/docs/stable/notes/cuda.html
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                self.function(inputs)
            torch.cuda.current_stream().wait_stream(self.stream)
        else:
            if self.graph is None:
                self._record(inputs)
            for name, tensor in inputs.items():
                self.inputs[name].copy_(tensor, non_blocking=True)
            self.graph.replay()
        self.calls_done += 1

    @property
    def is_recorded(self) -> bool:
        """Whether the next call replays."""
        return self.graph is not None

    def forget(self):
        """Drop the recording, because the function does something else from now on; the next calls are like the
        first."""
        self.graph, self.calls_done = None, 0

    def _record(self, inputs: dict[str, torch.Tensor]):
        self.inputs = {name: tensor.clone() for name, tensor in inputs.items()}
        if self.prepare is not None:
            self.prepare()
        self.graph = torch.cuda.CUDAGraph()
        # another thread keeps using the device meanwhile: it pins the memory of the next batches
        with torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local"):
            self.function(self.inputs)
