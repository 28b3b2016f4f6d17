"""The embeddings of a split, kept on disk until its images, the network or its way change."""

import hashlib
import pathlib

import numpy as np

from simsearch import errors, preprocessing, progress, runs
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sources
from simsearch.retrieval import embed


def embed_cached(
    embedder: embed.Embedder,
    split: sources.Split,
    directory: pathlib.Path,
    *,
    corrupt: corrupt_lib.CorruptLog,
) -> embed.Embedded:
    """Returns a split's embeddings, read from disk where the same were computed before.

    Args:
        embedder: What embeds.
        split: The images.
        directory: Where embeddings are kept, keyed by weights, preprocessing and images.
        corrupt: Collects the rows that could not be read, also of an earlier time. Where some may
            be readable the next time, nothing is kept.
    """
    data = embedder.config.data
    # The statistics and the padding are part of the network, and not of its variables.
    way = preprocessing.key(embedder.config)
    key = f"{embedder.fingerprint} {split.fingerprint} {way} {data.max_pixels}"
    path = directory / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"
    names = (*embed.Embedded._fields, "corrupt", "reasons")
    try:
        stored = runs.read_arrays(path, names, advice="the embeddings are computed anew")
    except errors.RunError:
        stored = None
    if stored is not None:
        for name, reason in zip(stored["corrupt"], stored["reasons"], strict=True):
            corrupt.add(str(name), str(reason))
        corrupt.check(embedder.config.data.on_corrupt)
        return embed.Embedded(stored["embeddings"], stored["valid"])
    own_log = corrupt_lib.CorruptLog()
    embedded = embedder.embed_split(split, corrupt=own_log)
    for name, reason in own_log.reasons.items():
        corrupt.add(name, reason, may_pass=own_log.may_pass)
    if own_log.may_pass:
        progress.log.warning("an image could not be read this time, so no embedding is kept")
        return embedded
    directory.mkdir(parents=True, exist_ok=True)
    runs.write_arrays(
        path,
        embeddings=embedded.embeddings,
        valid=embedded.valid,
        corrupt=np.array(list(own_log.reasons), str),
        reasons=np.array(list(own_log.reasons.values()), str),
    )
    return embedded
