"""Work in threads whose results are taken in order."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Annotated, TypeVar

import typer


NumProc = Annotated[int | None, typer.Option(help="Number of threads; by default one per core.")]

Result = TypeVar("Result")


def num_threads_of(num_proc: int | None) -> int:
    """Number of threads: as many as given, or one for every core this process may use.

    Raises:
        ValueError: for less than one.
    """
    if num_proc is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if num_proc < 1:
        raise ValueError(f"num_proc={num_proc} is not allowed; it must be at least 1.")
    return num_proc


def in_order(make: Callable[[int], Result], num_threads: int) -> Iterator[Result]:
    """`make(0)`, `make(1)` and so on without end, some of them made ahead; close it when you have enough.

    The results are the same for any number of threads, so a build depends only on its seed. It helps if `make`
    spends its time in compiled code that releases Python's lock.

    Args:
        make: makes the result for a number.
        num_threads: how many to make at a time.
    """
    pool = ThreadPoolExecutor(num_threads)
    try:
        pending = deque(pool.submit(make, number) for number in range(num_threads))
        for number in count(num_threads):
            result = pending.popleft().result()
            pending.append(pool.submit(make, number))
            yield result
    finally:
        # results made ahead are no longer needed
        pool.shutdown(cancel_futures=True)
