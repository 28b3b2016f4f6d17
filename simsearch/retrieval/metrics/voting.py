"""The accuracy of the class that the nearest train images vote for."""

import numpy as np

from simsearch.retrieval import neighbors

# Queries whose votes are counted at a time: as many sums of all classes are held.
_VOTE_ROWS = 1024


def knn_accuracy(
    queries: np.ndarray,
    query_labels: np.ndarray,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    *,
    num_neighbors: int,
    temperature: float,
    exclude: np.ndarray | None = None,
    block_size: int | None = None,
) -> np.ndarray:
    """Returns whether the nearest gallery images vote for the query's class, float32 [Q].

    Args:
        queries: L2-normalised, float32 [Q, D].
        query_labels: Classes, int [Q].
        gallery: L2-normalised, float32 [M, D].
        gallery_labels: Classes, int [M].
        num_neighbors: Gallery images that vote; fewer where the gallery is smaller.
        temperature: A vote weighs exp(cosine / temperature); equal sums go to the lower class.
        exclude: The gallery row that each query is itself, which has no vote, int [Q]; None: no
            query is in the gallery.
        block_size: Queries at a time; None: as many as fit 128 MiB.

    References:
        Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, 2018.
    """
    gallery_labels = np.asarray(gallery_labels)
    num_classes = int(max(gallery_labels.max(), np.max(query_labels, initial=0))) + 1
    k = min(num_neighbors, len(gallery) - (exclude is not None))
    nearest = neighbors.top_k(queries, gallery, k=k, exclude=exclude, block_size=block_size)
    # Relative to the nearest, whose weight is 1: no exponential overflows.
    weights = np.exp((nearest.scores - nearest.scores[:, :1]).astype(np.float64) / temperature)
    voters = gallery_labels[nearest.rows]
    predicted = np.empty(len(queries), np.int64)
    for start in range(0, len(queries), _VOTE_ROWS):
        part = slice(start, start + _VOTE_ROWS)
        votes = np.zeros((len(weights[part]), num_classes))
        np.add.at(votes, (np.arange(len(votes))[:, None], voters[part]), weights[part])
        predicted[part] = np.argmax(votes, axis=1)
    return (predicted == np.asarray(query_labels)).astype(np.float32)
