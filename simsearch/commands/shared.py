"""What several modes do before and after their work."""

import os

import numpy as np

from simsearch import errors, hardware, progress, wiring
from simsearch.config import Config
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sources


def start_devices(config: Config) -> None:
    """Turns the compilation cache on, and says what computes."""
    hardware.enable_compilation_cache(os.path.join(wiring.cache_dir(config), "compiled"))
    hardware.log_devices(config.train.num_devices)


def check_queries(splits: dict[str, sources.Split], name: str) -> None:
    """Raises UsageError where a split has no class with two images, so that nothing is found."""
    counts = np.bincount(splits[name].labels)
    if not np.any(counts > 1):
        raise errors.UsageError(
            f"the {name} split has {len(splits[name].labels)} images and no class with two of "
            "them, so nothing can be retrieved; add images or raise its fraction"
        )


def log_corrupt(corrupt: corrupt_lib.CorruptLog) -> None:
    """Names and counts the images that could not be read, where there were any."""
    if len(corrupt):
        progress.log.warning("%s", corrupt.summary())
