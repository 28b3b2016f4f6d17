"""Files that are either whole or not there, however a process ends."""

from __future__ import annotations

import contextlib
import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def writing(path: str | os.PathLike, *, syncs: bool = True) -> Iterator[IO[bytes]]:
    """Opens a draft that takes the file's place where the block ends well, and is deleted else.

    Until then the draft is hidden beside the file, which stays as it was. Threads, processes and
    machines may write the same file at once.

    Args:
        path: The file; its folder must be there.
        syncs: Whether it is whole also where the power ends; for files by the thousand that would
            take longer than all the rest.
    """
    path = pathlib.Path(path)
    draft = path.with_name(f".{uuid.uuid4().hex}.tmp")  # A long name has no room for more.
    try:
        with open(draft, "wb") as file:
            yield file
            if syncs:
                file.flush()
                os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):  # The first failure is the one to be told.
            draft.unlink()
        raise
