"""Work that goes on in threads while its results are taken in order."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Annotated, TypeVar

import typer


NumProc = Annotated[int | None, typer.Option(help="Threads that work at a time; by default one a core.")]

Result = TypeVar("Result")


def num_threads_of(num_proc: int | None) -> int:
    """How many threads to work with: as many as were asked for, or one for every core this process may use.

    Raises:
        ValueError: for less than one.
    """
    if num_proc is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if num_proc < 1:
        raise ValueError(f"num_proc={num_proc} is not allowed; it must be at least 1.")
    return num_proc


def in_order(make: Callable[[int], Result], num_threads: int) -> Iterator[Result]:
    """`make(0)`, `make(1)` and so on without end, some of them made ahead; close it when there are enough.

    The results are the same for any number of threads, so a build is a function of its seed alone. It helps where
    `make` spends its time in compiled code that gives up Python's lock.

    Args:
        make: makes the result of a number.
        num_threads: how many are made at a time.
    """
    pool = ThreadPoolExecutor(num_threads)
    try:
        pending = deque(pool.submit(make, number) for number in range(num_threads))
        for number in count(num_threads):
            result = pending.popleft().result()
            pending.append(pool.submit(make, number))
            yield result
    finally:
        # what was made ahead is not needed any more
        pool.shutdown(cancel_futures=True)
