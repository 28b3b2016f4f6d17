"""From what a person asks with - files, bytes, stored images, regions - to one vector."""

import io
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, BinaryIO

import numpy as np

from simsearch import errors
from simsearch.data.decoding import images as images_lib
from simsearch.data.decoding import smaller_images
from simsearch.retrieval import embed

Query = str | os.PathLike | bytes
# What a caller may give as one query; a PIL image is an array to type checkers.
Given = Query | bytearray | memoryview | BinaryIO | np.ndarray
Box = tuple[float, float, float, float]

REGION_FORM = "must be x,y,width,height in pixels, or as fractions up to 1"

_STORED = "id:"
_ID = re.compile(r"[0-9a-f]{32}")
# How strongly a search turns away from images that it should not be like, Rocchio's gamma; he has
# 0.75 for beta over alpha 1, and a vector of unit length leaves only the proportion.
_UNLIKE_WEIGHT = 0.5
_EPSILON = 1e-12


def as_list(given: Given | Iterable[Given]) -> list[Query]:
    """Returns one query or several as a list of paths, "id:…" and encoded images.

    Args:
        given: Paths, "id:…", encoded images as bytes or as files open in binary mode, PIL images,
            or uint8 arrays [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]; or a single one.

    Raises:
        UsageError: Where one is something else.
        CorruptImage: Where a PIL image cannot be read.
    """
    if (query := _query(given)) is not None:
        return [query]
    # A file that was opened as text would go on as paths, one a line.
    if not isinstance(given, Iterable) or hasattr(given, "read"):
        raise _unknown(given)
    queries = []
    for each in given:
        if (query := _query(each)) is None:
            raise _unknown(given if isinstance(given, np.ndarray) else each)
        queries.append(query)
    return queries


def _query(given: Any) -> Query | None:
    """Returns one query as a path, an id or an encoded image; None where it is none of them."""
    if isinstance(given, str | os.PathLike | bytes):
        return given
    if isinstance(given, bytearray | memoryview):
        return bytes(given)
    if isinstance(given, images_lib.Image.Image):
        return images_lib.encode_png(np.asarray(images_lib.upright(given)))
    if isinstance(given, np.ndarray) and given.dtype == np.uint8 and _is_image(given.shape):
        return images_lib.encode_png(given)
    if hasattr(given, "read") and not isinstance(given, io.TextIOBase):
        content = given.read()
        return content if isinstance(content, bytes) else None
    return None


def _is_image(shape: tuple[int, ...]) -> bool:
    return 0 not in shape and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)))


def _unknown(given: Any) -> errors.UsageError:
    came = type(given).__name__
    if isinstance(given, np.ndarray):
        came = f"an array of {given.dtype} {list(given.shape)}"
    return errors.UsageError(
        "an image must be a path, bytes, a file open in binary mode, a PIL image or an array of "
        f'uint8 [H, W, 3], and a stored one "{_STORED}…"; this is {came}'
    )


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


def read(query: Query) -> bytes:
    """Returns the encoded image of a query that is a path or bytes.

    Raises:
        UsageError: Where there is no such file.
    """
    try:
        return query if isinstance(query, bytes) else pathlib.Path(query).read_bytes()
    except OSError as error:
        name = os.fspath(query)
        hint = f"; for the stored image write {_STORED}{name}" if _ID.fullmatch(name) else ""
        raise errors.UsageError(
            f"the query {name} must be an image file, and it cannot be read: {error.strerror}{hint}"
        ) from error


def cropped(encoded: bytes, crop: Box, *, max_pixels: int) -> bytes:
    """Returns the encoded region of an encoded image.

    Raises:
        UsageError: Where nothing of it lies in the region.
        CorruptImage: Where it cannot be read.
    """
    if len(crop) != 4:
        raise errors.UsageError(f"--crop {REGION_FORM}")
    try:
        return smaller_images.crop(encoded, crop, max_pixels=max_pixels)
    except smaller_images.EmptyRegion as error:
        raise errors.UsageError(f"--crop: {error}") from error


def names(queries: Sequence[Query]) -> list[str]:
    """Returns what messages call each image: its path or place; "" for one without a path."""
    places = [f"image {i} of {len(queries)}" for i in range(1, len(queries) + 1)]
    places = places if len(queries) > 1 else [""] * len(queries)
    return [
        place if isinstance(query, bytes) else os.fspath(query)
        for query, place in zip(queries, places, strict=True)
    ]


def embed_encoded(
    embedder: embed.Embedder, images: Sequence[bytes], *, names: Sequence[str]
) -> np.ndarray:
    """Returns the embeddings of a few encoded images, float32 [N, D].

    Args:
        embedder: What embeds.
        images: Encoded.
        names: What messages call each, as `names` gives it.

    Raises:
        CorruptImage: Where one cannot be read; says which.
        RunError: Where the model makes no numbers of one.
    """
    pixels = np.zeros((len(images), *embedder.input_shape), np.uint8)
    for i, image in enumerate(images):
        with errors.naming_image(names[i]):
            pixels[i] = embedder.preprocess(image)
    found = embedder.embed(pixels)
    check(found, [name or "this image" for name in names])
    return found


def check(embeddings: np.ndarray, names: Sequence[str]) -> None:
    """Raises RunError where an embedding is not finite; says of which image.

    Args:
        embeddings: [N, D].
        names: What messages call each image.
    """
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        raise errors.RunError(
            f"the model makes no finite numbers of {names[int(finite.argmin())]}; take another "
            "version, or train it anew"
        )


def vector(
    liked: Sequence[Query],
    unlike: Sequence[Query],
    *,
    crop: Box | None,
    embedder: embed.Embedder,
    stored: Callable[[Sequence[str]], dict[str, np.ndarray]],
) -> np.ndarray:
    """Returns the vector to search with, float32 [D].

    Args:
        liked: Paths, bytes, and "id:…" of what the results should be like.
        unlike: Paths, bytes, and "id:…" of what they should be less like.
        crop: Region of the only query that is liked.
        embedder: What embeds images.
        stored: From ids to the vectors of those that are there.

    Raises:
        UsageError: Where a query is not there, or a region is asked for of no image or several.
        CorruptImage: Where an image cannot be read.
    """
    if not liked:
        raise errors.UsageError("a search needs at least one query")
    near = _vectors(liked, crop=crop, embedder=embedder, stored=stored)
    return combine(near, _vectors(unlike, crop=None, embedder=embedder, stored=stored))


def _vectors(
    queries: Sequence[Query],
    *,
    crop: Box | None,
    embedder: embed.Embedder,
    stored: Callable[[Sequence[str]], dict[str, np.ndarray]],
) -> np.ndarray:
    """Returns the vector of each query, float32 [Q, D]."""
    ids = stored_ids(queries)
    if crop is not None and (len(queries) != 1 or ids):
        raise errors.UsageError("--crop takes a region of exactly one query that is an image")
    found = np.zeros((len(queries), embedder.embedding_size), np.float32)
    by_id = stored(ids) if ids else {}
    for id_ in ids:
        if id_ not in by_id:
            raise errors.UsageError(
                f"the index holds no image with the id {id_}; an id has 32 digits, --json prints it"
            )
    images = [i for i, query in enumerate(queries) if not _is_stored(query)]
    encoded = [read(queries[i]) for i in images]
    called = names([queries[i] for i in images])
    if crop is not None:
        with errors.naming_image(called[0]):
            max_pixels = embedder.config.data.max_pixels
            encoded = [cropped(encoded[0], crop, max_pixels=max_pixels)]
    if encoded:
        found[images] = embed_encoded(embedder, encoded, names=called)
    for i, query in enumerate(queries):
        if _is_stored(query):
            found[i] = by_id[query.removeprefix(_STORED)]
    return found


def _is_stored(query: Any) -> bool:
    return isinstance(query, str) and query.startswith(_STORED)
