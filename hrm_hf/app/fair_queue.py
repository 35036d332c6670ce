"""The queue of requests, in which visitors take turns, and none can fill it alone."""

from collections import OrderedDict
from functools import cached_property
from itertools import count
from typing import Any

from gradio.queueing import Event, Queue


_MAX_REMEMBERED = 2000  # turns of addresses and sessions
# of the queue, for all sessions of one address; the rest is left for others
_SHARE_OF_AN_ADDRESS = 7 / 8


class FairQueue(Queue):
    """Gradio's queue, which is first come, first served, with turns: next is the address that was served longest ago,
    and of its sessions the one that was served longest ago.
    """

    @cached_property
    def _turns(self) -> OrderedDict[str, int]:
        return OrderedDict()

    @cached_property
    def _numbers(self) -> count:
        return count(1)

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """The events to run next, as Gradio's own."""
        for waiting in self.event_queue_per_concurrency_id.values():
            if len(waiting.queue) > 1:
                # stable: events of a session stay in their order
                waiting.queue.sort(key=lambda event: tuple(self._turns.get(name, 0) for name in _visitor(event)))
        found = super().get_events()
        for event in found[0] if found else ():
            for name in _visitor(event):
                self._turns[name] = next(self._numbers)
                self._turns.move_to_end(name)
        while len(self._turns) > _MAX_REMEMBERED:
            self._turns.popitem(last=False)
        return found

    async def push(self, body: Any, request: Any, username: str | None) -> tuple[bool, Any, str]:
        """Put a request in the queue, unless its address already has its share of it."""
        address = _address(request)
        waiting = sum(
            _address(event.request) == address
            for queue in self.event_queue_per_concurrency_id.values()
            for event in queue.queue
        )
        if self.max_size is not None and waiting >= max(1, round(_SHARE_OF_AN_ADDRESS * self.max_size)):
            return False, f"{waiting} of your requests are waiting; try again when some are answered.", "queue_full"
        return await super().push(body, request, username)


def _address(request: Any) -> str:
    return request.client.host if request is not None and request.client is not None else ""


def _visitor(event: Event) -> tuple[str, str]:
    """Names of the address and of the session of an event."""
    address = _address(event.request)
    return f"address {address}", f"session {address} {event.session_hash}"
