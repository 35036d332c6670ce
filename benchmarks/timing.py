"""Timing for benchmarks: medians after a warm-up, with events on a GPU."""

import time
from collections.abc import Callable

import torch


def durations(call: Callable[[int], object], warmup: int, repeats: int, device: torch.device) -> list[float]:
    """Seconds of each of several calls, given their number, after a warm-up."""
    for number in range(warmup):
        call(number)
    if device.type != "cuda":
        seconds = []
        for number in range(repeats):
            start = time.perf_counter()
            call(number)
            seconds.append(time.perf_counter() - start)
        return seconds
    events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    events[0].record()
    for number in range(repeats):
        call(number)
        events[number + 1].record()
    torch.cuda.synchronize()
    return [first.elapsed_time(second) / 1e3 for first, second in zip(events[:-1], events[1:], strict=True)]
