"""Figures of merit of retrieval, one value for each query, so that they can be resampled.

References:
    Musgrave et al., A Metric Learning Reality Check, 2020: R-precision and MAP@R.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from simsearch.retrieval import neighbors


class RetrievalScores(NamedTuple):
    """Leave-one-out figures of N images, each the query once and among the gallery otherwise.

    Attributes:
        valid: Whether another image shares the class, bool [N]; the others are no queries.
        nearest: Row of each image's nearest neighbour, int64 [N].
        recall_at_1: Whether the nearest is of the query's class, float32 [N].
        recall_at_5: Whether one of the nearest 5 is.
        recall_at_10: Whether one of the nearest 10 is.
        map_at_r: Mean average precision at R, the other images of the class.
        r_precision: Share of the class among the nearest R.
    """

    valid: np.ndarray
    nearest: np.ndarray
    recall_at_1: np.ndarray
    recall_at_5: np.ndarray
    recall_at_10: np.ndarray
    map_at_r: np.ndarray
    r_precision: np.ndarray

    def per_query(self) -> dict[str, np.ndarray]:
        """Returns the figures by name, float32 [Q], of the queries alone."""
        return {name: getattr(self, name)[self.valid] for name in self._fields[2:]}


def leave_one_out(
    embeddings: np.ndarray, labels: np.ndarray, *, block_size: int | None = None
) -> RetrievalScores:
    """Returns the figures of images against each other; a query is left out by its identity.

    Args:
        embeddings: L2-normalised, float32 [N, D], N >= 2.
        labels: Classes, int [N].
        block_size: Queries at a time; None: as many as fit 128 MiB.
    """
    labels = np.asarray(labels)
    num_relevant = np.bincount(labels)[labels] - 1
    k = min(max(10, int(num_relevant.max())), len(labels) - 1)
    columns: list[tuple[np.ndarray, ...]] = []
    start = 0
    for block in neighbors.ranked_blocks(
        embeddings, embeddings, k=k, exclude=np.arange(len(labels)), block_size=block_size
    ):
        own = slice(start, start + len(block.rows))
        start = own.stop
        hits = labels[block.rows] == labels[own, None]
        columns.append((block.rows[:, 0], *_figures(hits, num_relevant[own])))
    joined = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    return RetrievalScores(num_relevant > 0, *joined)


def _figures(hits: np.ndarray, num_relevant: np.ndarray) -> list[np.ndarray]:
    """Returns the five figures, float32 [b] each, of ranked hits, bool [b, k]."""
    ranks = np.arange(1, hits.shape[1] + 1)
    within = hits & (ranks <= num_relevant[:, None])
    precision = np.cumsum(hits, axis=1) / ranks
    size = np.maximum(num_relevant, 1)
    figures = [hits[:, :n].any(axis=1) for n in (1, 5, 10)]
    figures.append(np.sum(precision * within, axis=1) / size)
    figures.append(np.sum(within, axis=1) / size)
    return [np.asarray(figure, np.float32) for figure in figures]


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


def confusion(scores: RetrievalScores, labels: np.ndarray, *, num_classes: int) -> np.ndarray:
    """Returns how often a query of class i has a nearest neighbour of class j, int [C, C].

    Args:
        scores: As `leave_one_out` returns them.
        labels: Classes, int [N].
        num_classes: Classes C.
    """
    counts = np.zeros((num_classes, num_classes), np.int64)
    labels = np.asarray(labels)
    np.add.at(counts, (labels[scores.valid], labels[scores.nearest[scores.valid]]), 1)
    return counts
