"""Work that goes on in threads while its results are taken in order."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TypeVar


Result = TypeVar("Result")


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
