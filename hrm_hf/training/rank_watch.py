"""Ends a run of several processes when one of them has stopped, and says which.

A process that is killed is noticed by the launcher, which ends the others. One that is only stopped (SIGSTOP, a
machine that does not answer) would let them wait for the timeout of NCCL or gloo, 10 to 30 minutes, and nothing would
say for whom. So a thread of each process sends a datagram to the main process every second and gets an answer. The
thread also runs while the process compiles, evaluates or waits for others, which may take minutes and is no reason to
end.

It watches from the first step to the saved model. It does not notice a process whose main thread waits forever while
the process as such runs: that is left to the timeout of NCCL or gloo.
"""

import os
import secrets
import socket
import sys
import threading
import time

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object


_LARGEST = 4096  # bytes of a datagram
_MEETING = 3.0  # seconds at most for the first datagrams of all processes


class RankWatch:
    """Watches the processes of a run; a context manager, entered and left by all of them.

    A process is watched from its first datagram on: if a firewall drops them all, nothing is watched and nothing ends.

    Args:
        accelerator: the processes.
        seconds: without a sign of life of a process, after which all others end with exit code 1.
    """

    def __init__(self, accelerator: Accelerator, seconds: float):
        self.accelerator, self.seconds = accelerator, seconds
        self.interval = min(1.0, seconds / 8)
        self._heard: dict[int, float] = {}  # when, of each watched process
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "RankWatch":
        if self.accelerator.num_processes == 1:
            return self
        main_address = os.environ.get("MASTER_ADDR", "127.0.0.1")
        family, _, _, _, resolved = socket.getaddrinfo(main_address, 0, type=socket.SOCK_DGRAM)[0]
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        told = [None, None]
        if self.accelerator.is_main_process:
            self._socket.bind(("", 0))
            # the token tells datagrams of this run from all others
            told = [self._socket.getsockname()[1], secrets.token_bytes(16)]
        port, self._token = broadcast_object_list(told)
        self._main = (resolved[0], port, *resolved[2:])
        self._places = gather_object([f"pid {os.getpid()} on {socket.gethostname()}"])
        self._meet()
        self._thread = threading.Thread(target=self._watch, name="rank_watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error):
        if self._thread is not None:
            self._closing.set()
            self._thread.join()
            self._socket.close()

    def _meet(self):
        """Exchange the first signs of life, so that everybody is watched from now on."""
        awaited = self.accelerator.num_processes - 1 if self.accelerator.is_main_process else 1
        deadline = time.monotonic() + _MEETING
        while len(self._heard) < awaited and time.monotonic() < deadline:
            self._exchange()
            time.sleep(0.01)

    def _exchange(self):
        if self.accelerator.is_main_process:
            self._answer_all()
        else:
            self._ask_main()

    def _watch(self):
        awake = time.monotonic()
        while not self._closing.wait(self.interval):
            now = time.monotonic()
            if now - awake > self.seconds / 2:
                # this process itself was stopped and goes on, so that it cannot know about others
                self._heard = dict.fromkeys(self._heard, now)
            awake = now
            self._exchange()
            if silent := [rank for rank, heard in self._heard.items() if now - heard > self.seconds]:
                self._end(silent)

    def _received(self) -> list[tuple[bytes, tuple]]:
        """What has come from processes of this run since the last time, with the addresses."""
        messages = []
        while True:
            try:
                data, address = self._socket.recvfrom(_LARGEST)
            except OSError:  # nothing is left, or an earlier datagram could not be delivered
                return messages
            if data.startswith(self._token):
                messages.append((data.removeprefix(self._token), address))

    def _send(self, content: bytes, address: tuple):
        try:
            self._socket.sendto(self._token + content, address)
        except OSError:
            # a network that fails is noticed by the silence
            return

    def _answer_all(self, content: bytes = b""):
        for data, address in self._received():
            self._heard[int(data)] = time.monotonic()
            self._send(content, address)

    def _ask_main(self):
        self._send(str(self.accelerator.process_index).encode(), self._main)
        for data, _ in self._received():
            self._heard[0] = time.monotonic()
            if data:
                # the main process has said which one it is
                _leave()

    def _end(self, silent: list[int]):
        """Name the silent processes and end this one."""
        names = ", ".join(f"{rank} ({self._places[rank]})" for rank in silent)
        which = f"Process {names} has" if len(silent) == 1 else f"The processes {names} have"
        # below the progress bar
        print(
            f"\n{which} given no sign of life for {self.seconds:g} seconds and may be stopped or unreachable, so the "
            "run ends; end what is left of it, and --resume auto continues from the newest checkpoint.",
            file=sys.stderr,
        )
        if self.accelerator.is_main_process:
            # otherwise the others would take the main process for the silent one
            for _ in range(3):
                time.sleep(self.interval)
                self._answer_all(b"end")
        _leave()


def _leave():
    """End this process at once: its main thread may wait for the silent one and cannot be interrupted."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
