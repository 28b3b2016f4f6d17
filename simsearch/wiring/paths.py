"""Paths that a configuration names."""

import os
import pathlib

from simsearch.config import Config


def cache_dir(config: Config, kind: str) -> str:
    """Returns the folder where one kind of thing is kept: "weights", "images", "compiled", …."""
    return os.path.join(os.path.expanduser(config.data.cache_dir or "~/.cache/simsearch"), kind)


def absolute(path: str) -> str:
    """Returns a path that means the same from every working directory."""
    return str(pathlib.Path(path).expanduser().resolve()) if path else path
