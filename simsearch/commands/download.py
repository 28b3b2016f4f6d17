"""`--mode=download`: a source's images as split and class folders."""

import os
import shlex
from collections.abc import Mapping
from typing import Any

from simsearch import errors, progress, wiring
from simsearch.commands import shared
from simsearch.config import Config
from simsearch.config import files as config_files
from simsearch.data import corrupt as corrupt_lib
from simsearch.data.sources import download as download_lib


def main(*, config: str | None, output: str | None, overrides: Mapping[str, Any]) -> None:
    """Downloads the images that a configuration names."""
    if not output:
        raise errors.UsageError("--mode=download needs --output=DIR, the folder to write to")
    download(config_files.load_config(config or "train", overrides), output=output)


def download(config: Config, *, output: str | os.PathLike) -> dict[str, int]:
    """Writes a source's images as split and class folders, and returns how many were "written".

    Args:
        config: As `load_config` returns it; only its data group is read.
        output: Folder to write to; run again, it goes on where it was.
    """
    splits = wiring.images.source_splits(config)
    corrupt = corrupt_lib.CorruptLog()
    counts = download_lib.download(splits, output, corrupt=corrupt)
    shared.log_corrupt(corrupt)
    progress.log.info(
        "%d images written, %d were there, in %s; train on them with "
        "`--config.data.source=folder %s`",
        counts["written"],
        counts["kept"],
        output,
        shlex.quote(f"--config.data.path={os.fspath(output)}"),
    )
    return counts
