"""How often each cosine comes among pairs of one class and of two: counts, block by block."""

from typing import NamedTuple

import numpy as np

from simsearch.retrieval import neighbors
from simsearch.retrieval.metrics import bins

# As many of a query's results as a person looks at.
NUM_NEAREST = 10


class Pairs(NamedTuple):
    """Ordered pairs of a query and another image, counted by cosine; bins as in `bins`.

    Attributes:
        same: Pairs of one class, int64 [NUM_BINS].
        different: Pairs of two classes, int64 [NUM_BINS].
        same_by_group: Pairs of one class in coarse bins, by group of queries, float32
            [G, NUM_COARSE].
        different_by_group: Pairs of two classes in coarse bins, by group of queries, float32
            [G, NUM_COARSE].
        nearest_same: Pairs of one class among each query's 10 nearest, int64 [NUM_BINS].
        nearest_different: Pairs of two classes among each query's 10 nearest, int64 [NUM_BINS].
        num_queries: Images that were paired with all others.
    """

    same: np.ndarray
    different: np.ndarray
    same_by_group: np.ndarray
    different_by_group: np.ndarray
    nearest_same: np.ndarray
    nearest_different: np.ndarray
    num_queries: int


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
        seed: Of that choice and of the groups.
        block_size: Queries at a time; None: as many as fit the memory of a block.
    """
    labels = np.asarray(labels)
    queries = bins.draw_queries(len(labels), max_pairs=max_pairs, seed=seed)
    groups = bins.draw_groups(len(queries), seed=seed)
    shape = (groups.max() + 1, bins.NUM_COARSE)
    found = Pairs(
        np.zeros(bins.NUM_BINS, np.int64),
        np.zeros(bins.NUM_BINS, np.int64),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.float32),
        np.zeros(bins.NUM_BINS, np.int64),
        np.zeros(bins.NUM_BINS, np.int64),
        len(queries),
    )
    members = {label: np.flatnonzero(labels == label) for label in np.unique(labels[queries])}
    # Bins take several times the memory of the cosines that they are of.
    size = block_size or max(1, neighbors.block_rows(len(labels)) // 8)
    for block in neighbors.blocks(
        embeddings[queries], embeddings, exclude=queries, block_size=size
    ):
        part = slice(block.start, block.start + len(block.scores))
        rows = queries[part]
        _add_nearest(found, block.scores, is_same=labels[rows, None] == labels)
        _add(
            found,
            bins.of(block.scores),
            rows=rows,
            groups=groups[part],
            partners=[members[labels[row]][members[labels[row]] != row] for row in rows],
        )
    return found


def _add_nearest(found: Pairs, scores: np.ndarray, *, is_same: np.ndarray) -> None:
    """Adds the nearest of a block of queries: cosines float32 [b, N], which are of one class."""
    k = min(NUM_NEAREST, scores.shape[1] - 1)
    nearest = np.stack([neighbors.largest(row, k) for row in scores])
    found_bins = bins.of(np.take_along_axis(scores, nearest, axis=1))
    right = np.take_along_axis(is_same, nearest, axis=1)
    found.nearest_same[:] += bins.count(found_bins[right])
    found.nearest_different[:] += bins.count(found_bins[~right])


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
    counts = bins.count(np.concatenate(same))
    found.same[:] += counts
    found.different[:] += bins.count(block) - counts - bins.count(own)
    for group, line, of_class, self_bin in zip(groups, block, same, own, strict=True):
        in_all = bins.count_coarse(line)
        in_all[bins.coarse(self_bin)] -= 1
        in_class = bins.count_coarse(of_class)
        found.same_by_group[group] += in_class
        found.different_by_group[group] += in_all - in_class
