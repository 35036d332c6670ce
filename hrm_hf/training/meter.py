"""What a training segment did, in numbers: sums on the device, means for the log, and the clock."""

import time
from contextlib import contextmanager

import torch
from accelerate import Accelerator

from modeling_hrm import IGNORE_INDEX, HRMGridTaskOutput


def segment_sums(output: HRMGridTaskOutput) -> dict[str, torch.Tensor]:
    """The metrics of the original for one segment, as sums.

    Accuracies and steps count the sequences that halted in this segment and have labels, losses count all sequences.

    Returns:
        `sequences`, `count` (halted ones), `cell_accuracy`, `exact_accuracy`, `halt_accuracy`, `steps`, `lm_loss`,
        `q_halt_loss`, `q_continue_loss`: each a scalar tensor on the device of the model.
    """
    carry, batch_size = output.carry, output.logits.shape[0]
    counted = carry.halted & (carry.labels != IGNORE_INDEX).any(-1)
    halts_rightly = (output.q_halt_logits >= 0) == output.exact_accuracy.bool()
    zero = torch.zeros((), device=output.logits.device)
    return {
        "sequences": zero + batch_size,
        "count": counted.sum(),
        "cell_accuracy": torch.where(counted, output.cell_accuracy, 0).sum(),
        "exact_accuracy": torch.where(counted, output.exact_accuracy, 0).sum(),
        "halt_accuracy": (counted & halts_rightly).sum(),
        "steps": torch.where(counted, carry.steps, 0).sum(),
        "lm_loss": output.lm_loss.detach() * batch_size,
        "q_halt_loss": output.q_halt_loss.detach() * batch_size,
        "q_continue_loss": zero if output.q_continue_loss is None else output.q_continue_loss.detach() * batch_size,
    }


class SegmentMeter:
    """Means of `segment_sums` between two readings; the device is waited for only when they are read."""

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator
        self.sums: dict[str, torch.Tensor] = {}
        self.minutes_at_last_reading = 0.0

    def add(self, output: HRMGridTaskOutput):
        """Count one segment."""
        for name, value in segment_sums(output).items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def read(self, minutes: float) -> dict[str, float]:
        """Means over all processes since the last reading, and the samples (sequences of a segment) per second."""
        names = list(self.sums)
        packed = torch.stack([self.sums[name].float() for name in names])
        totals = dict(zip(names, self.accelerator.reduce(packed, reduction="sum").tolist(), strict=True))
        seconds = 60 * (minutes - self.minutes_at_last_reading)
        self.sums, self.minutes_at_last_reading = {}, minutes

        sequences, halted = totals["sequences"], max(totals["count"], 1)
        losses = {name: totals[name] / sequences for name in ("lm_loss", "q_halt_loss", "q_continue_loss")}
        return {
            "loss": losses["lm_loss"] + 0.5 * (losses["q_halt_loss"] + losses["q_continue_loss"]),
            **losses,
            "halted": totals["count"],
            **{name: totals[name] / halted for name in ("cell_accuracy", "exact_accuracy", "halt_accuracy")},
            "mean_steps": totals["steps"] / halted,
            "samples_per_s": sequences / max(seconds, 1e-9),
        }


class TrainingClock:
    """Time spent training: evaluation is not counted."""

    def __init__(self, max_minutes: float | None = None):
        self.max_minutes = max_minutes
        self.start = time.perf_counter()

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
