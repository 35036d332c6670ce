"""Metrics of training: sums on the device, means for the log, and the clock."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator


# fields of the state of a clock
_OF_READING = ("minutes", "compile_minutes", "compile_steps")


class Meter:
    """Sums over the steps between two readings; only reading waits for the device.

    Args:
        accelerator: sums over its processes.
        means: makes a record from the totals and their seconds.
    """

    def __init__(self, accelerator: Accelerator, means: Callable[[dict[str, float], float], dict[str, float]]):
        self.accelerator = accelerator
        self.means = means
        self.names: list[str] = []
        # (sums,): of the task, of this process; and (steps taken, steps skipped, gradient norms), equal on all
        self.sums = torch.zeros(0, device=accelerator.device)
        self.common = torch.zeros(3, device=accelerator.device)
        self.skipped_in_a_row = torch.zeros((), device=accelerator.device)
        self.last_reading = dict.fromkeys(_OF_READING, 0.0)  # of the clock

    def add(self, sums: dict[str, torch.Tensor], gradient_norm: torch.Tensor, found_inf: torch.Tensor):
        """Count one step, given as scalar tensors on the device; a skipped step only counts as skipped."""
        values = torch.stack([value.float() for value in sums.values()])
        if not self.names:
            self.names, self.sums = list(sums), torch.zeros_like(values)
        self.sums += torch.where(found_inf, 0.0, values)
        counts = torch.stack([1 - found_inf.float(), found_inf.float(), gradient_norm.detach().float()])
        # a nonfinite sum is worthless, so only the last of the three is left out
        self.common += torch.where(torch.isfinite(counts), counts, 0.0)
        self.skipped_in_a_row.add_(1).mul_(found_inf.float())

    def state(self) -> dict:
        """The counts since the last reading, as tensors and plain values."""
        return {
            "names": self.names,
            "sums": self.sums,
            "common": self.common,
            "skipped_in_a_row": self.skipped_in_a_row,
            "last_reading": self.last_reading,
        }

    def restore(self, state: dict, device: torch.device):
        """Continue to count from a `state`."""
        self.names, self.last_reading = state["names"], state["last_reading"]
        self.sums, self.common, self.skipped_in_a_row = (
            state[name].to(device) for name in ("sums", "common", "skipped_in_a_row")
        )

    def has_steps(self) -> bool:
        """Whether steps have been taken or skipped since the last reading; waits for the device."""
        return bool(self.common[:2].sum() > 0)

    def forget_names(self):
        """Let the next step set the names of the sums again; called after a reading."""
        self.names = []

    def read(self, clock: "TrainingClock") -> dict[str, float]:
        """The record of the steps since the last reading, by the clock of the run.

        Speeds are those of steps without compilation, if there were any. It has `skipped_steps`, `skipped_share` and
        `skipped_in_a_row`, and if any step was taken, `grad_norm`, the mean norm of the gradient before clipping, and
        the means of the task.
        """
        taken, skipped, norms, in_a_row = torch.cat((self.common, self.skipped_in_a_row.view(1))).tolist()
        record = {
            "skipped_steps": int(skipped),
            "skipped_share": skipped / max(taken + skipped, 1),
            "skipped_in_a_row": int(in_a_row),
        }
        reading = {name: value for name, value in clock.state().items() if name in _OF_READING}
        minutes, compile_minutes, compile_steps = (reading[name] - self.last_reading[name] for name in _OF_READING)
        if compile_steps < taken + skipped:
            minutes = (minutes - compile_minutes) / (1 - compile_steps / (taken + skipped))
        if taken > 0:
            totals = self.accelerator.reduce(self.sums.clone(), reduction="sum").tolist()
            record["grad_norm"] = norms / taken
            record |= self.means(dict(zip(self.names, totals, strict=True)), max(60 * minutes, 1e-9))
        # in place, because a recorded step writes into these tensors
        self.sums.zero_()
        self.common.zero_()
        self.last_reading = reading
        return record


class TrainingClock:
    """Where the time of a run goes, in minutes.

    `max_minutes` limits the minutes of training. They include compilation, which is also counted separately, but not
    evaluations and checkpoints, for which the clock is stopped.

    Args:
        max_minutes: of training.
        device: that trains; if it is asynchronous, the clock waits for it wherever one kind of time ends and another
            begins.

    Attributes:
        compile_minutes, compile_steps: minutes and steps of training with compilation (see `CompileWatch`).
        evaluation_minutes: minutes of evaluations.
        other_minutes: minutes of checkpoints.
    """

    def __init__(self, max_minutes: float | None = None, device: torch.device | None = None):
        self.max_minutes, self.device = max_minutes, device
        self.start = time.perf_counter()
        self.compile_minutes = self.evaluation_minutes = self.other_minutes = 0.0
        self.compile_steps = 0

    def state(self) -> dict[str, float]:
        """The counts so far."""
        names = ("compile_minutes", "compile_steps", "evaluation_minutes", "other_minutes")
        return {"minutes": self.minutes()} | {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, float]):
        """Continue to count from a `state`."""
        self.start = time.perf_counter() - 60 * state["minutes"]
        self.compile_minutes, self.compile_steps = state["compile_minutes"], state["compile_steps"]
        self.evaluation_minutes, self.other_minutes = state["evaluation_minutes"], state["other_minutes"]

    def minutes(self) -> float:
        """Minutes of training so far, including compilation."""
        return (time.perf_counter() - self.start) / 60

    def record(self) -> dict[str, float]:
        """The times in a line of log.jsonl: `minutes` of training, which include `compile_minutes`; separately
        `evaluation_minutes`; and `total_minutes` since the first step, over all jobs."""
        minutes = self.minutes()
        return {
            "minutes": minutes,
            "compile_minutes": self.compile_minutes,
            "evaluation_minutes": self.evaluation_minutes,
            "total_minutes": minutes + self.evaluation_minutes + self.other_minutes,
        }

    def is_over(self, accelerator: Accelerator) -> bool:
        """Whether `max_minutes` are over; the same answer on every process, or they would wait for each other."""
        if self.max_minutes is None:
            return False
        is_over = self.minutes() >= self.max_minutes
        if accelerator.num_processes == 1:
            return is_over
        votes = accelerator.reduce(torch.tensor(float(is_over), device=accelerator.device), reduction="sum")
        return votes.item() > 0

    def wait(self):
        """Wait for the pending work of the device."""
        if self.device is not None and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @contextmanager
    def paused(self, evaluates: bool = False) -> Iterator[None]:
        """Stop the clock for the duration of the `with` block, which is an evaluation or something else."""
        self.wait()
        before = time.perf_counter()
        yield
        self.wait()
        seconds = time.perf_counter() - before
        self.start += seconds
        if evaluates:
            self.evaluation_minutes += seconds / 60
        else:
            self.other_minutes += seconds / 60
