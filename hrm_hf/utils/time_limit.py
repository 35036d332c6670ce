"""A time limit for the command line and for requests of the app."""

import time


class TimeLimit:
    """A number of seconds from now on.

    Args:
        seconds: `None` for no limit.

    Raises:
        ValueError: if not above 0.
    """

    def __init__(self, seconds: float | None):
        if seconds is not None and not seconds > 0:
            raise ValueError(f"seconds={seconds} is not allowed; it must be above 0.")
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def is_over(self) -> bool:
        """Whether they have passed."""
        return self._end is not None and time.monotonic() > self._end
