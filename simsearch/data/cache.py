"""Decoded and resized images kept in memory or on disk, so that an epoch need not decode again."""

import hashlib
import pathlib
import struct
import threading
from collections.abc import Callable
from typing import Literal

import numpy as np

from simsearch import progress, whole_files

Load = Callable[[int], np.ndarray]

# Height and width before the pixels. Not .npy: numpy parses that file's header with `ast`, which
# Python 3.11 cannot do in several threads at once ("AST constructor recursion depth mismatch").
_HEADER = struct.Struct("<II")


def cached(load: Load, kind: Literal["none", "ram", "disk"], *, directory: str, key: str) -> Load:
    """Returns `load`, remembering what it returned.

    Args:
        load: From a row to its image, uint8 [H, W, 3]; what it raises is not remembered.
        kind: Where images are kept: not at all, in memory, or a file for each row.
        directory: Where the files are.
        key: What the images are: another key never sees them.
    """
    if kind == "ram":
        return _in_memory(load)
    if kind == "disk":
        return _on_disk(
            load, pathlib.Path(directory) / hashlib.sha256(key.encode()).hexdigest()[:24]
        )
    return load


def _in_memory(load: Load) -> Load:
    kept: dict[int, np.ndarray] = {}

    def remember(row: int) -> np.ndarray:
        # Two threads may load the same row once each; setting a key is atomic.
        if row not in kept:
            kept[row] = load(row)
        return kept[row]

    return remember


def _on_disk(load: Load, folder: pathlib.Path) -> Load:
    state = {"writes": True}
    lock = threading.Lock()

    def remember(row: int) -> np.ndarray:
        # A thousand files a folder: some file systems slow down with more.
        path = folder / str(row // 1000) / f"{row}.rgb"
        try:
            return _read(path)
        except (OSError, ValueError, struct.error):
            pass  # Not there yet, or cut off when a process was killed.
        image = load(row)
        if state["writes"]:
            try:
                _write(path, image)
            except OSError as error:
                with lock:
                    if state["writes"]:
                        progress.log.warning(
                            "decoded images are no longer kept in %s: %s", folder, error.strerror
                        )
                    state["writes"] = False
        return image

    return remember


def _read(path: pathlib.Path) -> np.ndarray:
    content = path.read_bytes()
    shape = (*_HEADER.unpack_from(content), 3)
    return np.frombuffer(content, np.uint8, offset=_HEADER.size).reshape(shape)


def _write(path: pathlib.Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_files.writing(path, syncs=False) as file:
        file.write(_HEADER.pack(*image.shape[:2]))
        file.write(np.ascontiguousarray(image).data)
