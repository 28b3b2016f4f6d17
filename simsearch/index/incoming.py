"""From the bytes of an image to what an index stores of it."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from simsearch.data import views
from simsearch.index import files, metadata
from simsearch.index.record import Record, Row, Value, new_revision
from simsearch.retrieval import embed

# In base64 it must fit a text field of 64 KiB.
_MAX_THUMBNAIL_BYTES = 48_000


class Loaded(NamedTuple):
    """A file that was read: as the network takes it, its thumbnail, the hash of its content."""

    pixels: np.ndarray
    thumbnail: bytes
    content: str


def load(encoded: bytes, embedder: embed.Embedder) -> Loaded:
    """Returns what is embedded and stored of an encoded image; threads may call it.

    Raises:
        CorruptImage: Where it cannot be read.
    """
    pixels = embedder.preprocess(encoded)
    return Loaded(pixels, _thumbnail(encoded, embedder), files.content_hash(encoded))


def row(
    encoded: bytes,
    vector: np.ndarray,
    embedder: embed.Embedder,
    *,
    path: str | None,
    label: str | None,
    extra: Mapping[str, Value] | None,
) -> Row:
    """Returns the row of an image that came without a folder.

    Args:
        encoded: The image.
        vector: Its embedding, float32 [D].
        embedder: What made it.
        path: Its name; None: its id.
        label: Its class; None: none.
        extra: Its metadata.

    Raises:
        UsageError: Where the metadata cannot be stored.
    """
    content = files.content_hash(encoded)
    record = Record(
        id=files.content_id(encoded),
        path=path or files.content_id(encoded),
        label=label or "",
        metadata=metadata.checked(extra or {}),
        source="",
        size=len(encoded),
        modified_ns=0,
        content=content,
        revision=new_revision(),
    )
    return Row(record, vector, _thumbnail(encoded, embedder))


def _thumbnail(encoded: bytes, embedder: embed.Embedder) -> bytes:
    config = embedder.config
    return views.thumbnail(
        encoded,
        longest=config.index.thumbnail_size,
        max_pixels=config.data.max_pixels,
        max_bytes=_MAX_THUMBNAIL_BYTES,
    )
