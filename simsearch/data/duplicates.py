"""Train images that are also held out, byte by byte: found, counted and left out of training."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from simsearch import progress, wording
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import kept, splits
from simsearch.data.decoding import images
from simsearch.errors import CorruptImage, RunError


def drop_from_train(
    found: Mapping[str, splits.Split], *, cache_dir: str, must_be_final: bool = False
) -> dict[str, splits.Split]:
    """Returns the splits without the train images whose bytes equal a held-out image's.

    A copy in train would be found again, not recognised: it would flatter every figure. What was
    found is kept, so that a large set is read through once and not at every start.

    Args:
        found: The splits "train", "validation" and "test".
        cache_dir: Folder that the result is kept in.
        must_be_final: Whether to stop where some image could not be read, which may be a copy.

    Raises:
        RunError: Where it stops.
    """
    train = found["train"]
    rows, is_final = _remembered(found, pathlib.Path(cache_dir))
    if not is_final:
        words = "some images could not be read when train was searched for copies of held-out ones"
        if must_be_final:
            raise RunError(
                f"{words}, and a run could not go on without those that turn up later; try again, "
                "mend the files, or keep all with --config.data.drop_duplicates=False"
            )
        progress.log.warning("%s: it is done again next time", words)
    if not len(rows):
        return dict(found)
    names = wording.listed(train.names[int(row)] for row in rows)
    progress.log.info(
        "left out of the train images: %d %s to a validation or test image, %s",
        len(rows),
        "images identical" if len(rows) > 1 else "image identical",
        names,
    )
    others = np.setdiff1d(np.arange(len(train.labels)), rows)
    return {**found, "train": splits.pick(train, others)}


class Copies(NamedTuple):
    """Train images that are also held out.

    Attributes:
        rows: Of train, sorted, int64 [n].
        is_final: Whether every image could be read that had to be.
    """

    rows: np.ndarray
    is_final: bool


def copies_in_train(found: Mapping[str, splits.Split]) -> Copies:
    """Returns the rows of train whose bytes equal those of a held-out image.

    Only images of a length that occurs on both sides are read, where the lengths are known.

    Args:
        found: The splits "train" and others.
    """
    train = found["train"]
    held_out = [split for name, split in found.items() if name != "train"]
    if any(split.num_bytes is None for split in (train, *held_out)):
        rows_of = [np.arange(len(split.labels)) for split in (train, *held_out)]
    else:
        lengths = np.concatenate([split.num_bytes for split in held_out])
        shared = np.intersect1d(train.num_bytes, lengths)
        rows_of = [np.flatnonzero(np.isin(s.num_bytes, shared)) for s in (train, *held_out)]
    total, corrupt = sum(map(len, rows_of)), corrupt_lib.CorruptLog()
    with progress.bar(
        total=total, initial=0, description="looking for copies", unit="image"
    ) as bar:
        seen = {
            digest
            for split, rows in zip(held_out, rows_of[1:], strict=True)
            for digest in _digests(split, rows, bar, corrupt)
        }
        copies = [digest in seen for digest in _digests(train, rows_of[0], bar, corrupt)]
    return Copies(rows_of[0][np.asarray(copies, bool)], is_final=not corrupt.may_pass)


def _digests(
    split: splits.Split, rows: np.ndarray, bar: object, corrupt: corrupt_lib.CorruptLog
) -> Iterable[bytes]:
    """Yields a digest of each row's bytes; one that cannot be read is like no other."""
    for row in rows:
        bar.update()
        try:
            yield hashlib.sha256(split.read(int(row))).digest()
        except (CorruptImage, OSError) as error:
            corrupt.add(split.names[int(row)], str(error), may_pass=images.may_pass(error))
            yield f"{split.fingerprint} {row}".encode()


def _remembered(found: Mapping[str, splits.Split], folder: pathlib.Path) -> Copies:
    key = splits.digest([(name, found[name].fingerprint) for name in sorted(found)])
    path = folder / f"{key}.json"
    if (rows := kept.read(path)) is not None:
        return Copies(np.asarray(rows, np.int64), is_final=True)
    copies = copies_in_train(found)
    if copies.is_final:
        kept.write(path, copies.rows.tolist(), what="the copies")
    return copies
