"""Reasons to stop a run before its end: a signal, or nonfinite numbers."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from safetensors import SafetensorError
from torch.optim import Optimizer


class Stopped(RuntimeError):
    """A run ended before its last step, or had already ended (exit code 0); the message says why, and what was saved.

    Attributes:
        exit_code: of the process.
    """

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


class SignalWatch:
    """Notes SIGTERM and SIGINT, so that a step can be finished and saved; a second one ends the process at once.

    A context manager; in threads other than the main one, where Python has no signals, it notes nothing.
    """

    def __init__(self):
        self.received: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "SignalWatch":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None):
        self.received = number
        signal.signal(number, signal.SIG_DFL)


def any_process(accelerator: Accelerator, flag: bool) -> bool:
    """Whether the flag is set on any process; the same answer on all, or they would wait for each other."""
    if accelerator.num_processes == 1:
        return flag
    votes = accelerator.reduce(torch.tensor(float(flag), device=accelerator.device), reduction="sum")
    return votes.item() > 0


def on_main(accelerator: Accelerator, function: Callable[[], Any]) -> Any:
    """Call a function on the main process; called by all processes, which get its return value.

    Raises:
        SystemExit: on the other processes, if it raises an error, because the main one reports it.
    """
    result, exit_code, error = None, None, None
    if accelerator.is_main_process:
        try:
            result = function()
        except Exception as raised:
            error, exit_code = raised, getattr(raised, "exit_code", 1)
    if accelerator.num_processes > 1:
        result, exit_code = broadcast_object_list([result, exit_code])
    if error is not None:
        raise error
    if exit_code is not None:
        raise SystemExit(exit_code)
    return result


def disk_error(accelerator: Accelerator, write: Callable[[], Any]) -> str | None:
    """Call a function that writes to a disk, on all processes, which all get the first error as text, or `None`."""
    said = None
    try:
        write()
    # torch and safetensors have their own errors for a full disk
    except (OSError, RuntimeError, SafetensorError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
    if accelerator.num_processes > 1:
        said = next((words for words in gather_object([said]) if words is not None), None)
    return said


def found_inf(accelerator: Accelerator, norm: torch.Tensor, optimizers: list[Optimizer]) -> torch.Tensor:
    """Whether a step must be skipped because its gradients are not finite; the same answer on all processes.

    Args:
        accelerator: the processes.
        norm: of the dense gradients, scalar; equal on all processes.
        optimizers: their sparse gradients, which differ between processes, are checked, too.

    Returns:
        Scalar bool tensor on the device, without waiting for it.
    """
    sparse = [
        param.grad._values()
        for optimizer in optimizers
        for group in optimizer.param_groups
        for param in group["params"]
        if param.grad is not None and param.grad.is_sparse
    ]
    is_bad = ~torch.stack([torch.isfinite(values).all() for values in (norm, *sparse)]).all()
    if sparse and accelerator.num_processes > 1:
        is_bad = accelerator.reduce(is_bad.float(), reduction="sum") > 0
    return is_bad
