"""What takes long to find in a set of images, kept as JSON for the next start."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from simsearch import progress, whole_files


def read(path: pathlib.Path) -> Any | None:
    """Returns what was kept there; None where nothing was, or a part of it."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def write(path: pathlib.Path, content: Any, *, what: str) -> None:
    """Keeps a plain value, with a warning where that cannot be.

    Args:
        path: Its file, whose name tells what the value was found in.
        content: The value.
        what: What it is, for the warning.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_files.writing(path) as file:
            file.write(json.dumps(content).encode())
    except OSError as error:
        progress.log.warning("%s are looked for again next time: %s", what, error)
