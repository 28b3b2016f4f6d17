"""Which process has a trial in hand, and whether it is still alive."""

import contextlib
import fcntl
import os
import pathlib
import threading
import uuid
from collections.abc import Callable, Iterator

# Seconds between two signs of life, and without one until a trial counts as lost.
BEAT_SECONDS = 60
LOST_SECONDS = 300


class Workers:
    """The processes that work on one study in one folder; the system lets go of a dead one's lock.

    Attributes:
        home: Names the folder, whatever path leads to it; equal for its processes only.
        name: Names this process.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        """Registers this process in a folder, which is made where it is missing."""
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        with self.alone():
            home = directory / "home"
            if not home.exists():
                home.write_text(uuid.uuid4().hex)
            self.home = home.read_text()
        self.name = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._file = open(self._path(self.name), "w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Keeps the folder's other processes from choosing a trial at the same time."""
        return locked(self._directory / "choosing.lock")

    def is_alive(self, name: str) -> bool:
        """Returns whether a process of this folder still runs; ask while `alone`."""
        if name == self.name:
            return True
        try:
            with open(self._path(name)) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._path(name).unlink(missing_ok=True)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        """Takes this process off the folder's list."""
        self._path(self.name).unlink(missing_ok=True)
        self._file.close()

    def _path(self, name: str) -> pathlib.Path:
        return self._directory / f"{name}.lock"


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Holds a file's lock, for which it waits; the system lets go of a dead process's."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def heartbeat(beat: Callable[[], None]) -> Iterator[None]:
    """Calls `beat` now and again every minute, from a thread, until the end of the block."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(BEAT_SECONDS):
            beat()

    beat()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
