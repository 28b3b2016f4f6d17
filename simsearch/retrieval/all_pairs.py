"""Exact nearest neighbours of images among themselves: one product serves both of its images.

A sample of the images tells how near an image's k nearest are about. With that bound one pass over
the half of the similarities above the diagonal keeps the few pairs that count, for both images.
"""

from typing import NamedTuple

import numpy as np

from simsearch.retrieval import neighbors

# One image of so many is in the sample.
_SAMPLING = 16
# An image with so many times more candidates than were looked for is left to the plain search.
_MAX_CANDIDATES = 2
# From so many images and numbers in their embeddings on half of the product is worth a sample and a
# sort: 16,384 of 512 or 65,536 of 128 dimensions.
_MIN_IMAGES, _MIN_NUMBERS = 2**14, 2**23
# Neighbours of all images together; each takes about a hundred bytes at its peak.
MAX_NEIGHBORS = 2**23


class _Candidates(NamedTuple):
    """Pairs that may be neighbours; of one query in the order of their rows.

    Attributes:
        queries: int32 [M].
        rows: int32 [M].
        scores: Cosines, float32 [M].
    """

    queries: np.ndarray
    rows: np.ndarray
    scores: np.ndarray


def pays(embeddings: np.ndarray, *, k: int) -> bool:
    """Returns whether `top_k` is faster than that of `neighbors`, and has room."""
    num_images = len(embeddings)
    is_large = num_images >= _MIN_IMAGES and embeddings.size >= _MIN_NUMBERS
    return is_large and num_images * k <= MAX_NEIGHBORS


def top_k(embeddings: np.ndarray, *, k: int) -> neighbors.Neighbors:
    """Returns the k nearest others of each image, as `neighbors.top_k` without the image itself.

    Args:
        embeddings: L2-normalised, float32 [N, D].
        k: Neighbours of each, from 1 to N - 1.
    """
    num_images = len(embeddings)
    bounds = _bounds(embeddings, k)
    found = _candidates(embeddings, bounds)
    counts = np.bincount(found.queries, minlength=num_images)
    starts = np.cumsum(counts) - counts
    # By query, then by falling score; stable, so that equal scores stay in the order of their rows.
    keys = (found.queries.astype(np.int64) << 32) - neighbors.ascending_bits(found.scores)
    order = np.argsort(keys, kind="stable")
    nearest = neighbors.Neighbors(
        np.empty((num_images, k), np.float32), np.empty((num_images, k), np.int64)
    )
    enough = np.flatnonzero(counts >= k)
    chosen = order[starts[enough, None] + np.arange(k)]
    nearest.scores[enough] = found.scores[chosen]
    nearest.rows[enough] = found.rows[chosen]
    rest = np.flatnonzero(counts < k)
    plain = neighbors.top_k(embeddings[rest], embeddings, k=k, exclude=rest)
    nearest.scores[rest], nearest.rows[rest] = plain
    return nearest


def _bounds(embeddings: np.ndarray, k: int) -> np.ndarray:
    """Returns a cosine for each image that its k nearest reach in all likelihood, float32 [N].

    It is infinite where too many would: many images that are equally near.
    """
    num_images = len(embeddings)
    # Not every sixteenth: the order of images may have a period.
    rng = np.random.default_rng(0)
    sample = np.sort(rng.choice(num_images, num_images // _SAMPLING, replace=False))
    expected = k * len(sample) / num_images
    # Three standard deviations more than are expected there; one may be the image itself.
    depth = min(len(sample), int(expected + 3 * np.sqrt(expected)) + 2)
    most = _MAX_CANDIDATES * depth
    bounds = np.empty(num_images, np.float32)
    for block in neighbors.blocks(embeddings, embeddings[sample]):

        def bound(i: int, block: neighbors.Block = block) -> None:
            row = block.scores[i]
            at_least = neighbors.at_most_kth_largest(row, depth)
            crowded = np.count_nonzero(row >= at_least) > most
            bounds[block.start + i] = np.inf if crowded else at_least

        neighbors.for_each_row(bound, len(block.scores))
    return bounds


def _candidates(embeddings: np.ndarray, bounds: np.ndarray) -> _Candidates:
    """Returns all pairs of different images whose cosine reaches the query's bound."""
    num_images = len(embeddings)
    size = neighbors.block_rows(num_images)
    memory = np.empty(size * num_images, np.float32)
    parts: list[_Candidates] = []
    for start in range(0, num_images, size):
        rows = embeddings[start : start + size]
        end = start + len(rows)
        shape = (len(rows), num_images - start)
        scores = memory[: shape[0] * shape[1]].reshape(shape)
        np.matmul(rows, embeddings[start:].T, out=scores)
        np.fill_diagonal(scores, -np.inf)
        # Of each row the columns that it reaches, and those beyond the block that reach it.
        own = [np.zeros(0, np.int64)] * len(rows)
        others = list(own)

        def look(i, start=start, end=end, scores=scores, own=own, others=others) -> None:
            row = scores[i]
            own[i] = np.flatnonzero(row >= bounds[start + i])
            others[i] = np.flatnonzero(row[end - start :] >= bounds[end:]) + (end - start)

        neighbors.for_each_row(look, len(rows))
        at, columns = _flat(others)
        parts.append(_Candidates(columns + start, at + start, scores[at, columns]))
        at, columns = _flat(own)
        parts.append(_Candidates(at + start, columns + start, scores[at, columns]))
    return _Candidates(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _flat(columns_of: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the row and the column of each of some rows' columns, int32 [M] both."""
    rows = np.repeat(np.arange(len(columns_of), dtype=np.int32), [len(c) for c in columns_of])
    return rows, np.concatenate(columns_of).astype(np.int32)
