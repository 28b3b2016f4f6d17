"""Who may write to the folder of a LanceDB index: one thread of one process at a time."""

import contextlib
import fcntl
import os
import pathlib
import threading
from collections.abc import Iterator

from simsearch import errors


class FolderLock:
    """A lock that the system lets go of however its process ends."""

    def __init__(self, path: str | None) -> None:
        """Locks nothing yet.

        Args:
            path: The folder; None: there is none, and the threads of this process alone are kept
                apart.
        """
        self._path = path
        self._threads = threading.RLock()
        self._is_held = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Waits until nobody else writes; a thread that holds it may take it once more.

        Raises:
            RunError: Where the folder cannot be written to, or its disk is full.
        """
        with self._threads:
            if self._path is None or self._is_held:
                yield
                return
            self._is_held = True
            try:
                os.makedirs(self._path, exist_ok=True)
                with open(pathlib.Path(self._path, ".lock"), "w") as file:
                    fcntl.flock(file, fcntl.LOCK_EX)
                    yield
            except OSError as error:
                raise errors.RunError(
                    f"the index {self._path} must be a folder that can be written: "
                    f"{error.strerror or error}"
                ) from error
            except RuntimeError as error:
                if "No space left on device" not in str(error):
                    raise
                raise errors.RunError(
                    f"the disk of the index {self._path} is full; free some of it and run this "
                    "again"
                ) from error
            finally:
                self._is_held = False
