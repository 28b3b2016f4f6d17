"""Exact nearest neighbours by cosine, block by block: the memory does not grow with N x N."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

# Similarities held at a time; 128 MiB of float32.
_BLOCK_ELEMENTS = 2**25


class Neighbors(NamedTuple):
    """The nearest gallery rows of each query, most similar first; equal scores by lower row.

    Attributes:
        scores: Cosines, float32 [Q, k].
        rows: Gallery rows, int64 [Q, k].
    """

    scores: np.ndarray
    rows: np.ndarray


def top_k(
    queries: np.ndarray,
    gallery: np.ndarray,
    *,
    k: int,
    exclude: np.ndarray | None = None,
    block_size: int | None = None,
) -> Neighbors:
    """Returns the k nearest gallery rows of each query.

    Args:
        queries: L2-normalised, float32 [Q, D].
        gallery: L2-normalised, float32 [N, D].
        k: Neighbours of each; at most the gallery rows that a query may have.
        exclude: The gallery row that each query may not have, itself as a rule, int [Q]; -1: none.
        block_size: Queries at a time; None: as many as fit 128 MiB.
    """
    blocks = list(ranked_blocks(queries, gallery, k=k, exclude=exclude, block_size=block_size))
    if not blocks:
        return Neighbors(np.zeros((0, k), np.float32), np.zeros((0, k), np.int64))
    return Neighbors(*(np.concatenate(part) for part in zip(*blocks, strict=True)))


def ranked_blocks(
    queries: np.ndarray,
    gallery: np.ndarray,
    *,
    k: int,
    exclude: np.ndarray | None = None,
    block_size: int | None = None,
) -> Iterator[Neighbors]:
    """Yields `top_k` of consecutive queries, a block at a time; arguments as there.

    Raises:
        ValueError: Where there are fewer than k rows to have.
    """
    most = len(gallery) - (exclude is not None)
    if not 0 < k <= most:
        raise ValueError(f"k={k} must be from 1 to {most}, the gallery rows that a query may have")
    size = block_size or block_rows(len(gallery))
    for start in range(0, len(queries), size):
        scores = queries[start : start + size] @ gallery.T
        if exclude is not None:
            own = np.asarray(exclude[start : start + size])
            has_own = np.flatnonzero(own >= 0)
            scores[has_own, own[has_own]] = -np.inf
        yield _largest(scores, k)


def block_rows(num_columns: int) -> int:
    """Returns how many queries' similarities to so many images are held at a time."""
    return max(1, _BLOCK_ELEMENTS // num_columns)


def _largest(scores: np.ndarray, k: int) -> Neighbors:
    """Returns the k largest of each row of float32 [b, N], equal ones by lower column."""
    thresholds = np.partition(scores, scores.shape[1] - k, axis=1)[:, scores.shape[1] - k]
    rows = np.empty((len(scores), k), np.int64)
    for i, threshold in enumerate(thresholds):
        # All that reach the threshold, in column order: a stable sort keeps it among equals.
        candidates = np.flatnonzero(scores[i] >= threshold)
        rows[i] = candidates[np.argsort(-scores[i, candidates], kind="stable")[:k]]
    return Neighbors(np.take_along_axis(scores, rows, axis=1), rows)
