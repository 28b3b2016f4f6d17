"""From what a person asks with - files, bytes, stored images, regions - to one vector."""

import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from simsearch import errors
from simsearch.data import images as images_lib
from simsearch.data import views
from simsearch.index import nearest
from simsearch.retrieval import embed

Query = str | os.PathLike | bytes
Box = tuple[float, float, float, float]

REGION_FORM = "must be x,y,width,height in pixels, or as fractions up to 1"

_STORED = "id:"
_ID = re.compile(r"[0-9a-f]{32}")
# How strongly a search turns away from images that it should not be like, Rocchio's gamma; he has
# 0.75 for beta over alpha 1, and a vector of unit length leaves only the proportion.
_UNLIKE_WEIGHT = 0.5
_EPSILON = 1e-12


def as_list(query: Query | Sequence[Query]) -> list[Query]:
    """Returns one query or several as a list."""
    return [query] if isinstance(query, str | os.PathLike | bytes) else list(query)


def stored_ids(queries: Sequence[Query]) -> list[str]:
    """Returns the ids among queries: those written as "id:…"."""
    return [q.removeprefix(_STORED) for q in queries if _is_stored(q)]


def combine(liked: np.ndarray, unlike: np.ndarray) -> np.ndarray:
    """Returns the unit vector towards some embeddings and away from others.

    Args:
        liked: float32 [N, D], N >= 1.
        unlike: float32 [M, D].

    References:
        Rocchio, Relevance Feedback in Information Retrieval, 1971.
    """
    vector = liked.mean(axis=0)
    if len(unlike):
        vector = vector - _UNLIKE_WEIGHT * unlike.mean(axis=0)
    return (vector / max(float(np.linalg.norm(vector)), _EPSILON)).astype(np.float32)


def read(query: Query, *, crop: Box | None, max_pixels: int) -> bytes:
    """Returns the encoded image of a query that is a path or bytes.

    Raises:
        UsageError: Where there is no such file, or nothing of it lies in the region.
        CorruptImage: Where it has to be cropped and cannot be read.
    """
    if crop is not None and len(crop) != 4:
        raise errors.UsageError(f"--crop {REGION_FORM}")
    try:
        encoded = query if isinstance(query, bytes) else pathlib.Path(query).read_bytes()
        return encoded if crop is None else views.crop(encoded, crop, max_pixels=max_pixels)
    except OSError as error:
        name = os.fspath(query)
        hint = f"; for the stored image write {_STORED}{name}" if _ID.fullmatch(name) else ""
        raise errors.UsageError(
            f"the query {name} must be an image file, and it cannot be read: {error.strerror}{hint}"
        ) from error
    except views.EmptyRegion as error:
        raise errors.UsageError(f"--crop: {error}") from error


def embed_encoded(embedder: embed.Embedder, images: Sequence[Query | np.ndarray]) -> np.ndarray:
    """Returns the embeddings of a few images, float32 [N, D].

    They are padded to a power of two, so that a handful of programs serve every number.

    Args:
        embedder: What embeds.
        images: Paths, encoded, or decoded as uint8 [H, W, 3].

    Raises:
        UsageError: Where a file is not there.
        CorruptImage: Where one cannot be read; says which, where there are several.
    """
    size = embedder.config.data.image_size
    pixels = np.zeros((len(images), size, size, 3), np.uint8)
    for i, image in enumerate(images):
        if isinstance(image, np.ndarray):
            image = images_lib.encode_png(image)
        encoded = read(image, crop=None, max_pixels=0)
        try:
            pixels[i] = embedder.preprocess(encoded)
        except images_lib.CorruptImage as error:
            where = f"image {i + 1} of {len(images)}: " if len(images) > 1 else ""
            raise images_lib.CorruptImage(f"{where}{error}") from error
    most = embedder.config.eval.batch_size
    return embedder.embed(pixels, batch_size=nearest.bucket(len(images), at_most=most))


def vectors(
    queries: Sequence[Query],
    *,
    crop: Box | None,
    embed_images: Callable[[list[bytes]], np.ndarray],
    stored: Callable[[Sequence[str]], dict[str, np.ndarray]],
    max_pixels: int,
    embedding_size: int,
) -> np.ndarray:
    """Returns the vector of each query, float32 [Q, D].

    Args:
        queries: Paths, bytes, and "id:…".
        crop: Region of the only query.
        embed_images: From encoded images to float32 [N, D].
        stored: From ids to the vectors of those that are there.
        max_pixels: A larger image is not decoded.
        embedding_size: Dimensions D.

    Raises:
        UsageError: Where a query is not there, or a region is asked for of no image or several.
        CorruptImage: Where an image cannot be read.
    """
    ids = stored_ids(queries)
    if crop is not None and (len(queries) != 1 or ids):
        raise errors.UsageError("--crop takes a region of exactly one query that is an image")
    found = np.zeros((len(queries), embedding_size), np.float32)
    by_id = stored(ids) if ids else {}
    for id_ in ids:
        if id_ not in by_id:
            raise errors.UsageError(
                f"the index holds no image with the id {id_}; an id has 32 digits, --json prints it"
            )
    images = [i for i, query in enumerate(queries) if not _is_stored(query)]
    encoded = [read(queries[i], crop=crop, max_pixels=max_pixels) for i in images]
    if encoded:
        found[images] = embed_images(encoded)
    for i, query in enumerate(queries):
        if _is_stored(query):
            found[i] = by_id[query.removeprefix(_STORED)]
    return found


def _is_stored(query: Any) -> bool:
    return isinstance(query, str) and query.startswith(_STORED)
