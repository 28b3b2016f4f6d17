"""How often each cosine comes among pairs of one class and of two: counts, block by block."""

from typing import NamedTuple

import numpy as np

from simsearch.retrieval import neighbors

# Equal steps of the cosine from -1 to 1, and one more bin for what rounds above 1.
NUM_BINS = 2**18 + 1
# Coarser steps, 128 bins each, and groups of queries: what resampling works on.
_SHIFT = 7
_NUM_COARSE = ((NUM_BINS - 1) >> _SHIFT) + 1
_MOST_GROUPS = 512


class Pairs(NamedTuple):
    """Ordered pairs of a query and another image, counted by cosine.

    Attributes:
        same: Pairs of one class, int64 [NUM_BINS].
        different: Pairs of two classes, int64 [NUM_BINS].
        same_by_group: The same in coarser bins, for each group of queries, float32 [G, C].
        different_by_group: Likewise.
    """

    same: np.ndarray
    different: np.ndarray
    same_by_group: np.ndarray
    different_by_group: np.ndarray


def edges() -> np.ndarray:
    """Returns where the bins begin and the last one ends, float64 [NUM_BINS + 1].

    Bin i holds the cosines from edge i up to, but not including, edge i + 1.
    """
    return -1.0 + np.arange(NUM_BINS + 1) * (2.0 / (NUM_BINS - 1))


def bins(cosines: np.ndarray) -> np.ndarray:
    """Returns the bin of each cosine, int64; those outside [-1, 1] by rounding are clipped."""
    half = (NUM_BINS - 1) // 2
    # A power of 2: the product is exact, so no cosine falls on the wrong side of an edge.
    steps = np.floor(np.asarray(cosines) * np.float32(half))
    return np.clip(steps.astype(np.int64) + half, 0, NUM_BINS - 1)


def count(
    embeddings: np.ndarray,
    labels: np.ndarray,
    *,
    max_pairs: int,
    seed: int,
    block_size: int | None = None,
) -> Pairs:
    """Returns the pairs of every query with every other image.

    Args:
        embeddings: L2-normalised, float32 [N, D], N >= 2.
        labels: Classes, int [N].
        max_pairs: Where there are more, queries are drawn at random, and each is paired with all
            other images; at least one query.
        seed: Of that choice.
        block_size: Queries at a time; None: as many as fit the memory of a block.
    """
    labels = np.asarray(labels)
    num_images = len(labels)
    queries = np.arange(num_images)
    most = max(1, max_pairs // (num_images - 1))
    if num_images > most:
        queries = np.sort(np.random.default_rng(seed).choice(num_images, most, replace=False))
    num_groups = min(len(queries), _MOST_GROUPS)
    groups = np.random.default_rng(seed).permutation(len(queries)) % num_groups
    found = Pairs(
        np.zeros(NUM_BINS, np.int64),
        np.zeros(NUM_BINS, np.int64),
        np.zeros((num_groups, _NUM_COARSE), np.float32),
        np.zeros((num_groups, _NUM_COARSE), np.float32),
    )
    members = {label: np.flatnonzero(labels == label) for label in np.unique(labels[queries])}
    size = block_size or neighbors.block_rows(num_images)
    for start in range(0, len(queries), size):
        rows = queries[start : start + size]
        _add(
            found,
            bins(embeddings[rows] @ embeddings.T),
            rows=rows,
            groups=groups[start : start + size],
            partners=[members[labels[row]][members[labels[row]] != row] for row in rows],
        )
    return found


def _add(
    found: Pairs,
    block: np.ndarray,
    *,
    rows: np.ndarray,
    groups: np.ndarray,
    partners: list[np.ndarray],
) -> None:
    """Adds the pairs of a block of queries.

    Args:
        found: What is added to.
        block: Bin of each query with each image, int64 [b, N].
        rows: The images that the queries are, int64 [b].
        groups: The group of each query, int64 [b].
        partners: For each query the other images of its class.
    """
    same = [line[others] for line, others in zip(block, partners, strict=True)]
    own = block[np.arange(len(rows)), rows]
    counts = np.bincount(np.concatenate(same), minlength=NUM_BINS)
    found.same[:] += counts
    found.different[:] += np.bincount(block.ravel(), minlength=NUM_BINS) - counts
    found.different[:] -= np.bincount(own, minlength=NUM_BINS)
    for group, line, of_class, self_bin in zip(groups, block, same, own, strict=True):
        all_counts = np.bincount(line >> _SHIFT, minlength=_NUM_COARSE)
        all_counts[self_bin >> _SHIFT] -= 1
        class_counts = np.bincount(of_class >> _SHIFT, minlength=_NUM_COARSE)
        found.same_by_group[group] += class_counts
        found.different_by_group[group] += all_counts - class_counts
