"""Which model an index belongs to: the note that a store keeps of it, and the check against it."""

import dataclasses
import hashlib
import os
import re
import shlex
from collections.abc import Mapping
from typing import Any

from simsearch import errors, hardware, preprocessing, runs, wiring
from simsearch.config import files as config_files
from simsearch.retrieval import calibration as calibration_lib
from simsearch.retrieval import embed

# What a search may change without making another model of the version.
FIELDS = (
    *("index.", "serve.", "eval.false_match_rate", "eval.batch_size"),
    *("data.cache_dir", "data.num_threads", "train.num_devices"),
)
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class About:
    """What a store remembers of the index in it.

    Attributes:
        format: Version of the store's format; a later one is not read.
        table: Name of the table with the rows.
        version: Number of the version that embedded them.
        fingerprint: Hex SHA-256 of the network's variables.
        preprocessing: How it takes an image, as `preprocessing.key` gives it.
        embedding_size: Dimensions of a vector.
        backbone: Name of the network.
        calibration: From scores to probabilities, as JSON; "" where the version has none.
    """

    format: int
    table: str
    version: int | None
    fingerprint: str
    preprocessing: str
    embedding_size: int
    backbone: str
    calibration: str = ""

    def is_same_model(self, other: "About") -> bool:
        """Returns whether the vectors of two models may be compared."""
        return (self.fingerprint, self.preprocessing) == (other.fingerprint, other.preprocessing)


def load(
    version: int | None, workdir: str | os.PathLike, overrides: Mapping[str, Any] | None
) -> tuple[embed.Embedder, int, str]:
    """Returns a version's embedder, number and calibration; None: the newest version's.

    The calibration is JSON, "" where there is none of the network that embeds.

    Raises:
        UsageError: Where there is none, or a field would make another model of it.
    """
    found = runs.find(workdir, version)
    config = config_files.override(found.config, overrides or {}, allowed=FIELDS)
    hardware.enable_compilation_cache(wiring.paths.cache_dir(config, "compiled"))
    embedder = embed.Embedder.from_version(found, config=config)
    calibration = calibration_lib.load(found)
    is_own = calibration is not None and calibration.weights == embedder.fingerprint
    return embedder, found.number, calibration.to_json() if is_own else ""


def describe(embedder: embed.Embedder, *, version: int | None, calibration: str = "") -> About:
    """Returns the note about an index whose rows an embedder makes."""
    way = preprocessing.key(embedder.config)
    key = hashlib.sha256(f"{embedder.fingerprint} {way}".encode()).hexdigest()
    return About(
        format=FORMAT,
        table=f"images_{key[:16]}",
        version=version,
        fingerprint=embedder.fingerprint,
        preprocessing=way,
        embedding_size=embedder.embedding_size,
        backbone=embedder.config.model.backbone,
        calibration=calibration,
    )


def is_table(name: str) -> bool:
    """Returns whether a table's name is one that `describe` gives."""
    return re.fullmatch(r"images_[0-9a-f]{16}", name) is not None


def read(stored: Mapping[str, Any], *, url: str) -> About:
    """Returns the note that a store kept.

    Raises:
        UsageError: Where a later simsearch wrote it.
    """
    if stored.get("format") != FORMAT:
        raise errors.UsageError(
            f"the index {url} has format {stored.get('format')} and this simsearch reads "
            f"{FORMAT}; update simsearch, or index again with another --index"
        )
    return About(**stored)


def own_version(stored: About, *, url: str, workdir: str | os.PathLike) -> int | None:
    """Returns the version that an index was made by; None where it came from no version folder.

    Raises:
        UsageError: Where it is not among the versions.
    """
    number = stored.version
    if number is not None and not runs.exists(workdir, number):
        raise errors.UsageError(
            f"the index {url} was made by {named(stored)}, which is not in {workdir}: name the "
            "folder of the versions that the index was made with by --workdir"
        )
    return number


def check(stored: About, asked: About, *, url: str, workdir: str | os.PathLike) -> None:
    """Raises UsageError where the vectors of an index are another model's."""
    if stored.is_same_model(asked):
        return
    number = "N" if asked.version is None else asked.version
    again = (
        f"index again with `python main.py --mode=index --images=DIR --version={number}"
        f"{place(url, workdir)}` (with another --index where it holds other images too)"
    )
    if stored.version is not None and stored.version == asked.version:
        raise errors.UsageError(
            f"the index {url} was made by {named(stored)}, and version {asked.version} in "
            f"{workdir} is another network (model {asked.fingerprint[:12]}): where it was trained "
            f"on since, {again}; else name the folder of the versions that the index was made with "
            "by --workdir"
        )
    raise errors.UsageError(
        f"the index {url} was made by {named(stored)}, and {named(asked)} cannot search it; {again}"
    )


def place(url: str, workdir: str | os.PathLike) -> str:
    """Returns the flags that name an index and its versions, where they are not the usual ones."""
    index_flags = [] if url == "lance:./index" else [f"--index={shlex.quote(url)}"]
    return "".join(f" {flag}" for flag in (*index_flags, *runs.workdir_flags(workdir)))


def named(about: About) -> str:
    """Returns a model in words."""
    version = "a model of no version" if about.version is None else f"version {about.version}"
    return f"{version} (model {about.fingerprint[:12]})"
