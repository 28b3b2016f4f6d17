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
    """Returns 1 - max(d(a, p) - d(a, n) + margin, 0) of random triplets, float32 [T].

    Distances are squared Euclidean. The mean is what some projects call accuracy.

    Args:
        embeddings: L2-normalised, float32 [N, D].
        labels: Classes, int [N], at least two, one of them with two images.
        margin: Of the hinge.
        num_triplets: Triplets T; an anchor is any image whose class has another.
        seed: Chooses them.
    """
    draw = sampling.triplet_drawer(labels)
    anchors, positives, negatives = draw(np.random.default_rng(seed), num_triplets)

    def squared(rows: np.ndarray) -> np.ndarray:
        return np.sum((embeddings[anchors] - embeddings[rows]) ** 2, axis=1)

    return 1.0 - np.maximum(squared(positives) - squared(negatives) + margin, 0.0)
