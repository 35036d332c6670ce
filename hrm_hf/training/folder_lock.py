"""A run folder belongs to one job at a time: a file that names the job, and a check whether that job is alive.

run.lock    JSON: host, process id, start time of the process, and a random text that is unique to the job

On the same host, the process id shows whether the job is alive. On another host with a shared disk, the job shows that
it is alive by touching the file, which the other job watches for a while.
"""

import atexit
import json
import os
import secrets
import socket
import tempfile
import threading
import time
from pathlib import Path


LOCK_NAME = "run.lock"
# seconds between two signs of life, and how long to wait for one
BEAT_SECONDS, WATCH_SECONDS = 10.0, 35.0
SETTLE_SECONDS = 0.1


class FolderLock:
    """Locks a run folder for this process until `release`, or until the process ends.

    Args:
        folder: of the run; created if it does not exist.

    Raises:
        FileExistsError: if another job that is alive uses the folder.
        OSError: if the folder cannot be written.
    """

    def __init__(self, folder: Path):
        self._made = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            self._remove_folders()
            reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror
            raise type(error)(f"{folder} cannot be written ({reason}); give another --output_dir.") from error
        self.path = folder / LOCK_NAME
        pid = os.getpid()
        self._owner = {
            "host": socket.gethostname(),
            "pid": pid,
            "started": _start_of(pid),
            "token": secrets.token_hex(8),
        }
        while not (self._create() and self._is_kept()):
            owner = _read(self.path)
            if not self._is_stale(owner):
                self._remove_folders()
                raise FileExistsError(
                    f"{folder} is in use by another job (process {owner['pid']} on {owner['host']}); wait for its "
                    f"end, give another --output_dir, or remove {self.path} if this job does not exist."
                )
            self._take_away(owner)
        self._is_over = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()
        atexit.register(self.release)

    def release(self):
        """Unlock the folder; an empty folder that was created for the lock is removed, too."""
        if self._is_over.is_set() or os.getpid() != self._owner["pid"]:
            return  # a forked child process does not own it
        self._is_over.set()
        atexit.unregister(self.release)
        if _read(self.path) == self._owner:
            self.path.unlink(missing_ok=True)
        self._remove_folders()

    def _create(self) -> bool:
        """Write the lock, unless there is one already."""
        beside = self._beside()
        try:
            beside.write_text(json.dumps(self._owner) + "\n")
            # unlike a rename, it fails if there is one, and nobody ever sees an incomplete lock
            os.link(beside, self.path)
        except FileExistsError:
            return False
        finally:
            beside.unlink(missing_ok=True)
        return True

    def _is_kept(self) -> bool:
        """Whether the lock still exists after a moment in which others that saw a stale one may have replaced it."""
        time.sleep(SETTLE_SECONDS)
        return _read(self.path) == self._owner

    def _take_away(self, stale: dict | None):
        """Remove a lock, if it is still the stale one: others may want it, too."""
        beside = self._beside()
        try:
            os.rename(self.path, beside)
            if _read(beside) != stale:
                os.link(beside, self.path)
        except (FileNotFoundError, FileExistsError):
            pass  # another job was faster
        finally:
            beside.unlink(missing_ok=True)

    def _beside(self) -> Path:
        return self.path.with_name(f"{LOCK_NAME}.{self._owner['token']}")

    def _is_stale(self, owner: dict | None) -> bool:
        """Whether the job of the existing lock has ended."""
        if owner is None:
            return True  # it has just been released, or is not a lock
        if owner["host"] == self._owner["host"]:
            # this same process has abandoned the run that it locked the folder for
            return owner["pid"] == self._owner["pid"] or _start_of(owner["pid"]) != owner["started"]
        print(f"checking for {WATCH_SECONDS:g} s whether the job on {owner['host']} that has {self.path} is alive")
        before, end = _touched(self.path), time.monotonic() + WATCH_SECONDS
        while time.monotonic() < end:
            time.sleep(min(1.0, WATCH_SECONDS / 10))
            if _touched(self.path) != before:
                return False
        return True

    def _beat(self):
        while not self._is_over.wait(BEAT_SECONDS):
            try:
                os.utime(self.path)
            except OSError:
                continue  # the disk may come back

    def _remove_folders(self):
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:
                return  # it is not empty


def _read(path: Path) -> dict | None:
    try:
        owner = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return owner if isinstance(owner, dict) and owner.keys() >= {"host", "pid", "started", "token"} else None


def _touched(path: Path) -> int | None:
    try:
        # opening it makes network disks refresh their cache
        with open(path) as lock:
            return os.fstat(lock.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None


def _start_of(pid: int) -> str | None:
    """When a process of this host started, in any unit; `None` if there is no such process.

    A process id is reused after its end, but not with the same start time.
    """
    try:
        # the program name, in parentheses, may contain spaces; the start is the 22nd field
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state in ("Z", "X") else fields[18]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(pid, 0)  # sends nothing
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it exists, but belongs to someone else
    return "unknown"
