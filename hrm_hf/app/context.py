"""Shared by the pages of the app: its settings, and how a library error becomes a sentence on the page."""

import html
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hrm_hf.utils.time_limit import TimeLimit


_MAX_SENTENCE = 500  # characters
# errors that the library writes for its user
USER_ERRORS = (ValueError, TypeError, FileNotFoundError, TimeoutError)
# held while a figure is drawn: two drawn at the same time would share the caches of matplotlib
DRAWING = threading.Lock()


@dataclass(frozen=True)
class AppSettings:
    """Decided by the person who starts the app; none of it can be changed from a page.

    Attributes:
        models_root: model folders under it are offered: those with a config.json, up to 3 levels deep.
        runs_root: run folders written by train_accelerate.py, for the monitor.
        data_root: data set folders, for the explorer and ARC.
        hub_models: the models on the Hub that are offered, by name (`owner/name`).
        max_concurrency: number of concurrent requests; the others wait in the queue.
        max_queue: number of requests that may wait; others are refused.
        seconds_per_request: time after which a request that works in steps gives up.
    """

    models_root: Path
    runs_root: Path
    data_root: Path
    hub_models: tuple[str, ...] = ()
    max_concurrency: int = 2
    max_queue: int = 64
    seconds_per_request: float = 20.0


def out_of_time(seconds: float) -> TimeoutError:
    """The error of a request that took too long."""
    return TimeoutError(
        f"This took more than the {seconds:g} seconds that a request may take; ask for fewer segments, copies or "
        "augmentations."
    )


class Deadline:
    """The time limit of a request, checked before every segment: `perturb` of `HRMForGridTask.solve`.

    model.solve(**inputs, perturb=Deadline(60))

    Args:
        seconds: from now on.
    """

    def __init__(self, seconds: float):
        self._limit = TimeLimit(seconds)

    def __call__(self, state, rows, segment: int):
        """The unchanged states.

        Raises:
            TimeoutError: if the time is up.
        """
        if self._limit.is_over():
            raise out_of_time(self._limit.seconds)
        return state


def sentence_of(error: Exception) -> str:
    """An error as a page shows it: as HTML, because it may quote the user's input."""
    return html.escape(str(error)[:_MAX_SENTENCE], quote=False)


@contextmanager
def sentences() -> Iterator[None]:
    """Errors that the library writes for its user appear with their text on the page, not as "Error".

    with sentences():
        processor(puzzle)
    """
    import gradio as gr

    try:
        yield
    except USER_ERRORS as error:
        raise gr.Error(sentence_of(error), print_exception=False) from error
