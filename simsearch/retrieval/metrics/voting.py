"""The accuracy of the class that the nearest train images vote for."""

import numpy as np

from simsearch.retrieval import neighbors


def knn_accuracy(
    queries: np.ndarray,
    query_labels: np.ndarray,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    *,
    num_neighbors: int,
    temperature: float,
    block_size: int | None = None,
) -> np.ndarray:
    """Returns whether the nearest gallery images vote for the query's class, float32 [Q].

    Args:
        queries: L2-normalised, float32 [Q, D].
        query_labels: Classes, int [Q].
        gallery: L2-normalised, float32 [M, D]; no query is among it.
        gallery_labels: Classes, int [M].
        num_neighbors: Gallery images that vote; fewer where the gallery is smaller.
        temperature: A vote weighs exp(cosine / temperature); equal sums go to the lower class.
        block_size: Queries at a time; None: as many as fit 128 MiB.

    References:
        Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, 2018.
    """
    gallery_labels = np.asarray(gallery_labels)
    num_classes = int(max(gallery_labels.max(), np.max(query_labels, initial=0))) + 1
    k = min(num_neighbors, len(gallery))
    predicted = []
    for block in neighbors.ranked_blocks(queries, gallery, k=k, block_size=block_size):
        # Relative to the nearest, whose weight is 1: no exponential overflows.
        weights = np.exp((block.scores - block.scores[:, :1]).astype(np.float64) / temperature)
        votes = np.zeros((len(weights), num_classes))
        np.add.at(votes, (np.arange(len(weights))[:, None], gallery_labels[block.rows]), weights)
        predicted.append(np.argmax(votes, axis=1))
    return (np.concatenate(predicted) == np.asarray(query_labels)).astype(np.float32)
