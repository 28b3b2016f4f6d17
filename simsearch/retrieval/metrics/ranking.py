"""Figures of merit of retrieval, one value for each query, so that they can be resampled.

References:
    Musgrave et al., A Metric Learning Reality Check, 2020: R-precision and MAP@R.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from simsearch.data import confusion as confusion_lib
from simsearch.retrieval import all_pairs, neighbors

# The deepest cut-off of a figure that has a fixed one.
_DEEPEST = 10
# Neighbours among which the first right one is looked for, where all come at once.
_NUM_LOOKED_AT = 100


class RetrievalScores(NamedTuple):
    """Leave-one-out figures of N images, each the query once and among the gallery otherwise.

    Attributes:
        valid: Whether another image shares the class, bool [N]; the others are no queries.
        nearest: Row of each image's nearest neighbour, int64 [N].
        recall_at_1: Whether the nearest is of the query's class, float32 [N].
        recall_at_5: Whether one of the nearest 5 is.
        recall_at_10: Whether one of the nearest 10 is.
        precision_at_5: Share of the class among the nearest 5.
        precision_at_10: Share of the class among the nearest 10.
        mrr: 1 / the rank of the first of the query's class; the mean is the mean reciprocal rank.
        map_at_r: Mean average precision at R, the other images of the class.
        r_precision: Share of the class among the nearest R.
    """

    valid: np.ndarray
    nearest: np.ndarray
    recall_at_1: np.ndarray
    recall_at_5: np.ndarray
    recall_at_10: np.ndarray
    precision_at_5: np.ndarray
    precision_at_10: np.ndarray
    mrr: np.ndarray
    map_at_r: np.ndarray
    r_precision: np.ndarray

    def per_query(self) -> dict[str, np.ndarray]:
        """Returns the figures by name, float32 [Q], of the queries alone."""
        return {name: getattr(self, name)[self.valid] for name in FIGURES}

    def means(self) -> dict[str, float]:
        """Returns the mean of each figure over the queries, without intervals."""
        return {name: float(np.mean(values)) for name, values in self.per_query().items()}


FIGURES = RetrievalScores._fields[2:]


def leave_one_out(
    embeddings: np.ndarray, labels: np.ndarray, *, block_size: int | None = None
) -> RetrievalScores:
    """Returns the figures of images against each other; a query is left out by its identity.

    Only a query's R nearest are put in order, R the other images of its class: what comes after
    counts for nothing but the rank of the first right one, which is counted instead.

    Args:
        embeddings: L2-normalised, float32 [N, D], N >= 2.
        labels: Classes, int [N].
        block_size: Queries at a time; None: as many as fit 128 MiB.
    """
    collected = _Collected(np.asarray(labels))
    depths = collected.depths
    # Those beyond R spare some queries the search for their first right one.
    room = all_pairs.MAX_NEIGHBORS // len(labels)
    k = min(max(int(depths.max()), min(_NUM_LOOKED_AT, room)), len(labels) - 1)
    if block_size is None and all_pairs.pays(embeddings, k=k):
        found = all_pairs.top_k(embeddings, k=k)
        for query in range(len(labels)):
            collected.add(query, found.rows[query])
        far = collected.without_first()
        for block in neighbors.blocks(embeddings[far], embeddings, exclude=far):
            for i, row in enumerate(block.scores):
                collected.add_first(far[block.start + i], row)
        return collected.result()
    for block in neighbors.blocks(
        embeddings, embeddings, exclude=np.arange(len(labels)), block_size=block_size
    ):

        def rank(i: int, block: neighbors.Block = block) -> None:
            row, query = block.scores[i], block.start + i
            order = neighbors.largest(row, int(depths[query]))
            if not collected.add(query, order):
                collected.add_first(query, row)

        neighbors.for_each_row(rank, len(block.scores))
    return collected.result()


class _Collected:
    """The figures of all queries while they come in, one query after the other.

    Attributes:
        depths: How many of each image's nearest count, int [N].
    """

    def __init__(self, labels: np.ndarray) -> None:
        num_images = len(labels)
        self._labels = labels
        self._num_relevant = np.bincount(labels)[labels] - 1
        self.depths = np.maximum(min(_DEEPEST, num_images - 1), self._num_relevant)
        self._nearest = np.empty(num_images, np.int64)
        # Rank of the first of the query's class; 0: not yet seen.
        self._first = np.zeros(num_images, np.int64)
        self._shares = np.zeros((num_images, 4), np.float32)

    def add(self, query: int, order: np.ndarray) -> bool:
        """Takes the rows of a query's nearest, `depths` or more.

        Returns:
            Whether one is of the query's class.
        """
        self._nearest[query] = order[0]
        ranks = np.flatnonzero(self._labels[order] == self._labels[query]) + 1
        if not len(ranks):
            return False
        self._first[query] = ranks[0]
        self._shares[query] = _shares(ranks, int(self._num_relevant[query]))
        return True

    def without_first(self) -> np.ndarray:
        """Returns the queries none of whose nearest is of their class, int [F]."""
        return np.flatnonzero((self._first == 0) & (self._num_relevant > 0))

    def add_first(self, query: int, row: np.ndarray) -> None:
        """Takes the cosines of such a query with all images, float32 [N]; -inf with itself."""
        # All labels are looked at, which takes as long as all the rest.
        if self._num_relevant[query]:
            self._first[query] = _first_rank(row, self._labels == self._labels[query])

    def result(self) -> RetrievalScores:
        """Returns the figures of all queries."""
        found = self._first > 0
        mrr = np.divide(1, self._first, out=np.zeros(len(found)), where=found)
        reached = [found & (self._first <= k) for k in (1, 5, 10)]
        at_5, at_10, map_at_r, r_precision = self._shares.T
        figures = (*reached, at_5, at_10, mrr, map_at_r, r_precision)
        return RetrievalScores(
            self._num_relevant > 0,
            self._nearest,
            *(np.ascontiguousarray(figure, np.float32) for figure in figures),
        )


def _shares(ranks: np.ndarray, num_relevant: int) -> tuple[float, float, float, float]:
    """Returns precision at 5 and at 10, MAP@R and R-precision of one query.

    Args:
        ranks: Of the images of its class among its nearest, from 1 and growing.
        num_relevant: The other images of its class, R.
    """
    at_5, at_10 = np.searchsorted(ranks, (5, 10), side="right")
    within = ranks[: np.searchsorted(ranks, num_relevant, side="right")]
    precisions = np.arange(1, len(within) + 1) / within
    return at_5 / 5, at_10 / 10, precisions.sum() / num_relevant, len(within) / num_relevant


def _first_rank(row: np.ndarray, is_same: np.ndarray) -> int:
    """Returns the rank of the nearest image of the query's class, equal scores by lower column."""
    candidates = np.flatnonzero(is_same & np.isfinite(row))
    best = candidates[np.argmax(row[candidates])]
    return 1 + np.count_nonzero(row > row[best]) + np.count_nonzero(row[:best] == row[best])


def recall_per_class(
    scores: RetrievalScores, labels: np.ndarray, class_names: Sequence[str]
) -> dict[str, float]:
    """Returns the mean Recall@1 of each class that has a query.

    Args:
        scores: As `leave_one_out` returns them.
        labels: Classes, int [N].
        class_names: Name of each class.
    """
    found = {}
    for label, name in enumerate(class_names):
        of_class = scores.valid & (np.asarray(labels) == label)
        if of_class.any():
            found[name] = float(np.mean(scores.recall_at_1[of_class]))
    return found


def confusion(
    scores: RetrievalScores, labels: np.ndarray, *, num_classes: int
) -> confusion_lib.Counts:
    """Returns how often queries of one class have a nearest neighbour of which.

    Args:
        scores: As `leave_one_out` returns them.
        labels: Classes, int [N].
        num_classes: Classes C.
    """
    labels = np.asarray(labels)
    nearest = labels[scores.nearest[scores.valid]]
    return confusion_lib.count(labels[scores.valid], nearest, num_classes=num_classes)
