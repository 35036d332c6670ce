"""What training did, in numbers: sums on the device, means for the log, and the clock."""

import time
from collections.abc import Callable
from contextlib import contextmanager

import torch
from accelerate import Accelerator


class Meter:
    """Sums of the steps between two readings; the device is waited for only when they are read.

    Args:
        accelerator: sums over its processes.
        means: makes a record of the totals and the seconds they took.
    """

    def __init__(self, accelerator: Accelerator, means: Callable[[dict[str, float], float], dict[str, float]]):
        self.accelerator = accelerator
        self.means = means
        self.totals: dict[str, torch.Tensor] = {}
        self.norms: torch.Tensor | float = 0.0  # sum of the gradient norms, equal on all processes
        self.steps = self.skipped = 0
        self.minutes_at_last_reading = 0.0

    def add(self, sums: dict[str, torch.Tensor], gradient_norm: torch.Tensor):
        """Count one step, given as scalar tensors."""
        for name, value in sums.items():
            self.totals[name] = self.totals[name] + value if name in self.totals else value
        self.norms = self.norms + gradient_norm.detach()
        self.steps += 1

    def skip(self):
        """Count a step that was not taken."""
        self.skipped += 1

    def state(self) -> dict:
        """What was counted since the last reading, as tensors and plain values."""
        return {
            "totals": dict(self.totals),
            "norms": torch.as_tensor(self.norms),
            "counts": [self.steps, self.skipped],
            "minutes": self.minutes_at_last_reading,
        }

    def restore(self, state: dict, device: torch.device):
        """Go on counting from a `state`."""
        self.totals = {name: total.to(device) for name, total in state["totals"].items()}
        self.norms = state["norms"].to(device)
        self.steps, self.skipped = state["counts"]
        self.minutes_at_last_reading = state["minutes"]

    def read(self, minutes: float) -> dict[str, float]:
        """The record of the steps since the last reading, at this minute of training.

        It has `skipped_steps`, and if any was taken, `grad_norm`, the mean norm of the gradient before clipping, and
        what the task makes of its sums.
        """
        record = {"skipped_steps": self.skipped}
        if self.steps == 0:
            self.skipped, self.minutes_at_last_reading = 0, minutes
            return record
        record["grad_norm"] = float(self.norms) / self.steps
        self.norms, self.steps, self.skipped = 0.0, 0, 0
        names = list(self.totals)
        packed = torch.stack([self.totals[name].float() for name in names])
        totals = dict(zip(names, self.accelerator.reduce(packed, reduction="sum").tolist(), strict=True))
        seconds = 60 * (minutes - self.minutes_at_last_reading)
        self.totals, self.minutes_at_last_reading = {}, minutes
        return record | self.means(totals, max(seconds, 1e-9))


class TrainingClock:
    """Time spent training: evaluation is not counted."""

    def __init__(self, max_minutes: float | None = None):
        self.max_minutes = max_minutes
        self.start = time.perf_counter()

    def go_on_from(self, minutes: float):
        """Count these minutes of training as spent."""
        self.start -= 60 * minutes

    def minutes(self) -> float:
        """Minutes of training so far."""
        return (time.perf_counter() - self.start) / 60

    def is_over(self, accelerator: Accelerator) -> bool:
        """Whether `max_minutes` are spent; the same answer on every process, or they would wait for each other."""
        if self.max_minutes is None:
            return False
        is_over = self.minutes() >= self.max_minutes
        if accelerator.num_processes == 1:
            return is_over
        votes = accelerator.reduce(torch.tensor(float(is_over), device=accelerator.device), reduction="sum")
        return votes.item() > 0

    @contextmanager
    def paused(self):
        """Stop the clock for the duration of the block."""
        before = time.perf_counter()
        yield
        self.start += time.perf_counter() - before
