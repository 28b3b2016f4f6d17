"""From the bytes of an image to what an index stores of it."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from simsearch import errors, wording
from simsearch.data.decoding import smaller_images
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
    *,
    labels: Sequence[str | None] | None,
    paths: Sequence[str | os.PathLike | None] | None,
    metadata: Sequence[Mapping[str, Value] | None] | None,
) -> list[Row]:
    """Returns the rows of images that come without a folder.

    Args:
        images: Paths, or encoded.
        embedder: What embeds them.
        labels: Class of each; None: none.
        paths: Name of each; None: the file's name, or the id.
        metadata: Further columns of each; None: none.

    Raises:
        CorruptImage: Where one cannot be read.
        UsageError: Where a file is not there, a label or path is no text, metadata cannot be
            stored, or a column is not of one value for each image.
    """
    count = len(images)
    labels = [_text("labels", label) for label in _column("labels", labels, count)]
    paths = [
        _text("paths", os.fspath(path) if isinstance(path, os.PathLike) else path)
        for path in _column("paths", paths, count)
    ]
    extras = [
        {} if extra is None else metadata_lib.checked(extra)
        for extra in _column("metadata", metadata, count)
    ]
    encoded = [queries.read(image) for image in images]
    vectors = queries.embed_encoded(embedder, encoded, names=queries.names(images))
    made = []
    for i, (label, path, extra) in enumerate(zip(labels, paths, extras, strict=True)):
        name = None if isinstance(images[i], bytes) else pathlib.Path(images[i]).name
        made.append(
            _row(encoded[i], vectors[i], embedder, path=path or name, label=label, extra=extra)
        )
    return made


def _column(name: str, values: Sequence[Any] | None, count: int) -> Sequence[Any]:
    """Returns one value for each image, None where no values were given."""
    if values is None:
        return [None] * count
    if isinstance(values, str | Mapping):
        raise errors.UsageError(f"{name} must be a list, of one for each image")
    if len(values) != count:
        raise errors.UsageError(f"{wording.counted(count, 'image')} came with {len(values)} {name}")
    return values


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
    return smaller_images.thumbnail(
        encoded,
        longest=config.index.thumbnail_size,
        max_pixels=config.data.max_pixels,
        max_bytes=_MAX_THUMBNAIL_BYTES,
    )
