"""1 - triplet loss over random triplets, which some projects call accuracy."""

import numpy as np

from simsearch.data import sampling


def one_minus_triplet_loss(
    embeddings: np.ndarray,
    labels: np.ndarray,
    *,
    margin: float,
    num_triplets: int,
    seed: int,
) -> np.ndarray:
    """Returns 1 - max(d(a, p) - d(a, n) + margin, 0) of each query, float32 [Q].

    A query is an image whose class has another. It is the anchor of as many random triplets as
    every other query, and its value is their mean: so the values are as independent as the queries
    are, and the queries can be resampled. Distances are squared Euclidean. The mean of all is what
    some projects call accuracy.

    Args:
        embeddings: L2-normalised, float32 [N, D].
        labels: Classes, int [N], at least two, one of them with two images.
        margin: Of the hinge.
        num_triplets: Triplets in all, rounded up to as many for each query, one at least.
        seed: Chooses them.
    """
    anchors, draw = sampling.triplet_drawer(labels)
    rng = np.random.default_rng(seed)

    def squared(rows: np.ndarray) -> np.ndarray:
        return np.sum((embeddings[anchors] - embeddings[rows]) ** 2, axis=1)

    total = np.zeros(len(anchors), np.float32)
    per_query = -(-num_triplets // len(anchors))
    for _ in range(per_query):
        positives, negatives = draw(rng, anchors)
        total += 1.0 - np.maximum(squared(positives) - squared(negatives) + margin, 0.0)
    return total / per_query
