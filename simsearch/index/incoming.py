"""From the bytes of an image to what an index stores of it."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from simsearch import errors
from simsearch.data import views
from simsearch.index import files, queries
from simsearch.index import metadata as metadata_lib
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


def rows(
    images: Sequence[queries.Query],
    embedder: embed.Embedder,
    columns: Mapping[str, Sequence[Any] | None],
) -> list[Row]:
    """Returns the rows of images that come without a folder.

    Args:
        images: Paths, or encoded.
        embedder: What embeds them.
        columns: labels, paths and metadata, as `Index.add` takes them.

    Raises:
        CorruptImage: Where one cannot be read.
        UsageError: Where a file is not there, a label or path is no text, metadata cannot be
            stored, or a column is not of one value for each image.
    """
    count = len(images)
    filled = []
    for name, column in columns.items():
        if isinstance(column, str | Mapping):
            raise errors.UsageError(f"{name} must be a list, of one for each image")
        if column is not None and len(column) != count:
            raise errors.UsageError(f"{count} images came with {len(column)} {name}")
        filled.append([None] * count if column is None else column)
    labels, paths, metadata = filled
    labels = [_text("labels", label) for label in labels]
    paths = [_text("paths", os.fspath(p) if isinstance(p, os.PathLike) else p) for p in paths]
    extras = [{} if extra is None else metadata_lib.checked(extra) for extra in metadata]
    encoded = [queries.read(image) for image in images]
    vectors = queries.embed_encoded(embedder, encoded, names=queries.names(images))
    made = []
    for i, (label, path, extra) in enumerate(zip(labels, paths, extras, strict=True)):
        name = None if isinstance(images[i], bytes) else pathlib.Path(images[i]).name
        made.append(
            _row(encoded[i], vectors[i], embedder, path=path or name, label=label, extra=extra)
        )
    return made


def _text(column: str, value: Any) -> str:
    """Returns a text as it is stored, "" for None."""
    if value is not None and not isinstance(value, str):
        raise errors.UsageError(
            f"{column} must be a text or None for each image, and one is {value!r}"
        )
    return files.storable(value or "")


def _row(
    encoded: bytes,
    vector: np.ndarray,
    embedder: embed.Embedder,
    *,
    path: str | None,
    label: str,
    extra: dict[str, Value],
) -> Row:
    content = files.content_hash(encoded)
    record = Record(
        id=files.content_id(encoded),
        path=files.storable(path or "") or files.content_id(encoded),
        label=label,
        metadata=extra,
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
