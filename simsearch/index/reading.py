"""Reads and decodes the files of a synchronisation ahead of the network."""

import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import Any, NamedTuple

from simsearch import errors
from simsearch.index import files
from simsearch.index.incoming import Loaded


class Unread(NamedTuple):
    """Why a file gave no image, and whether it may the next time."""

    reason: str
    may_pass: bool


class Reader:
    """Threads that read and decode files a little ahead of the network."""

    def __init__(self, load: Callable[[bytes], Loaded], *, ahead: int, num_threads: int) -> None:
        """Starts the threads.

        Args:
            load: From the bytes of a file to what is embedded and stored of it.
            ahead: Files that are read before they are asked for.
            num_threads: That read.
        """
        self._load = load
        self._ahead = ahead
        self._pool = futures.ThreadPoolExecutor(num_threads)

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def loaded(self, todo: Sequence[files.File]) -> Iterator[tuple[files.File, Loaded | Unread]]:
        """Yields each file with what was read, or the reason why not, in order."""
        running: list[futures.Future] = []
        for i, file in enumerate(todo):
            while len(running) < min(len(todo), i + self._ahead):
                running.append(self._pool.submit(self._read, todo[len(running)]))
            yield file, running[i].result()
            running[i] = None  # Its pixels are not kept.

    def _read(self, file: files.File) -> Loaded | Unread:
        try:
            return self._load(pathlib.Path(file.on_disk).read_bytes())
        except errors.CorruptImage as error:
            return Unread(str(error), may_pass=False)
        except OSError as error:
            is_gone = isinstance(error, FileNotFoundError)
            return Unread(f"cannot be read: {error.strerror}", may_pass=not is_gone)


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yields lists of so many items, and of what is left."""
    chunk = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
