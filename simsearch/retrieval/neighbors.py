"""Exact nearest neighbours by cosine, block by block: the memory does not grow with N x N."""

from collections.abc import Callable, Iterator
from concurrent import futures
from typing import NamedTuple

import numpy as np

from simsearch import cores

# Similarities held at a time; 128 MiB of float32.
_BLOCK_ELEMENTS = 2**25
# Rows that one thread takes at a time, and from which on it is worth a thread.
_THREAD_ROWS = 16
# A row's k largest are sought among so many times k maxima first, where it is that much longer.
_MAXIMA = 6


class Neighbors(NamedTuple):
    """The nearest gallery rows of each query, most similar first; equal scores by lower row.

    Attributes:
        scores: Cosines, float32 [Q, k].
        rows: Gallery rows, int64 [Q, k].
    """

    scores: np.ndarray
    rows: np.ndarray


class Block(NamedTuple):
    """The similarities of consecutive queries with the whole gallery.

    Attributes:
        start: The first query.
        scores: Cosines, float32 [b, N]; -inf where a query may not have the row.
    """

    start: int
    scores: np.ndarray


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

    Raises:
        ValueError: Where there are fewer than k rows to have.
    """
    most = len(gallery) - (exclude is not None)
    if not 0 < k <= most:
        raise ValueError(f"k={k} must be from 1 to {most}, the gallery rows that a query may have")
    found = Neighbors(
        np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    )
    for block in blocks(queries, gallery, exclude=exclude, block_size=block_size):

        def rank(i: int, block: Block = block) -> None:
            row = block.scores[i]
            chosen = largest(row, k)
            found.rows[block.start + i] = chosen
            found.scores[block.start + i] = row[chosen]

        for_each_row(rank, len(block.scores))
    return found


def blocks(
    queries: np.ndarray,
    gallery: np.ndarray,
    *,
    exclude: np.ndarray | None = None,
    block_size: int | None = None,
) -> Iterator[Block]:
    """Yields the similarities of all queries, a block at a time; arguments as for `top_k`.

    A block is overwritten by the next.
    """
    size = block_size or block_rows(len(gallery))
    memory = np.empty((min(size, len(queries)), len(gallery)), np.float32)
    for start in range(0, len(queries), size):
        part = queries[start : start + size]
        scores = np.matmul(part, gallery.T, out=memory[: len(part)])
        if exclude is not None:
            own = np.asarray(exclude[start : start + size])
            has_own = np.flatnonzero(own >= 0)
            scores[has_own, own[has_own]] = -np.inf
        yield Block(start, scores)


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Returns rows [N, D] divided by their lengths, so that products are cosines; zeros stay."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def block_rows(num_columns: int) -> int:
    """Returns how many queries' similarities to so many images are held at a time."""
    return max(1, _BLOCK_ELEMENTS // num_columns)


def for_each_row(work: Callable[[int], None], num_rows: int) -> None:
    """Calls `work` with every row's number, on all cores where there are many rows."""
    starts = range(0, num_rows, _THREAD_ROWS)

    def work_on(start: int) -> None:
        for i in range(start, min(start + _THREAD_ROWS, num_rows)):
            work(i)

    with futures.ThreadPoolExecutor(cores.count()) as pool:
        for _ in pool.map(work_on, starts):
            pass


def largest(row: np.ndarray, k: int) -> np.ndarray:
    """Returns the columns of a row's k largest scores, largest first, equal ones by lower column.

    Args:
        row: float32 [N].
        k: From 1 to N.
    """
    columns = np.flatnonzero(row >= at_most_kth_largest(row, k))
    # One integer for each candidate, whose order is: higher score, then lower column. Sorting
    # integers needs no stable, slower sort.
    keys = (~ascending_bits(row[columns]) << 32) | columns
    keys.sort()
    return keys[:k] & 0xFFFFFFFF


def ascending_bits(scores: np.ndarray) -> np.ndarray:
    """Returns 32-bit integers, as int64, in the order of float32 scores; -0 is equal to 0."""
    bits = (scores + np.float32(0)).view(np.int32)
    return (bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))).astype(np.int64)


def at_most_kth_largest(row: np.ndarray, k: int) -> np.float32:
    """Returns a score that at least k of the row reach, and not many more."""
    count = _MAXIMA * k
    depth = len(row) // count
    if depth >= 2:
        # The k-th largest of these maxima: each is reached once at least. Their rows are
        # contiguous, so that the processor compares many at a time.
        row = row[: depth * count].reshape(depth, count).max(axis=0)
    return np.partition(row, len(row) - k)[len(row) - k]
