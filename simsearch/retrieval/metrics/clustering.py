"""Whether the classes are clusters: k-means on the embeddings, compared with the labels."""

import warnings

import numpy as np

# Of k-means; classes that are clusters are found in a few.
_MAX_ITERATIONS = 100


def nmi(embeddings: np.ndarray, labels: np.ndarray, *, max_images: int, seed: int) -> float:
    """Returns the normalised mutual information of k-means clusters and classes, in [0, 1].

    I(clusters; classes) over the arithmetic mean of the two entropies; nothing is adjusted for
    chance. There are as many clusters as classes; k-means++ chooses the first centres.

    Args:
        embeddings: L2-normalised, float32 [N, D].
        labels: Classes, int [N].
        max_images: Where there are more, so many are drawn at random and clustered.
        seed: Of that choice and of k-means.

    References:
        Strehl and Ghosh, Cluster Ensembles, 2002.
        Arthur and Vassilvitskii, k-means++: The Advantages of Careful Seeding, 2007.
    """
    # scikit-learn takes a second to import.
    from sklearn import cluster, exceptions, metrics

    labels = np.asarray(labels)
    if len(labels) > max_images:
        kept = np.random.default_rng(seed).choice(len(labels), max_images, replace=False)
        embeddings, labels = embeddings[kept], labels[kept]
    num_classes = len(np.unique(labels))
    # It takes no seed of more bits.
    model = cluster.KMeans(
        num_classes, n_init=1, max_iter=_MAX_ITERATIONS, random_state=seed % 2**32
    )
    with warnings.catch_warnings():
        # Collapsed embeddings are fewer points than classes; the figure says it well enough.
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        clusters = model.fit_predict(embeddings)
    return float(
        metrics.normalized_mutual_info_score(labels, clusters, average_method="arithmetic")
    )
