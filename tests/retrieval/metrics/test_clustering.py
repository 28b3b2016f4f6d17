import numpy as np
import pytest

from simsearch.retrieval.metrics import clustering
from tests.retrieval.metrics import sets


def mutual_information(first, second):
    """Returns I over the mean entropy, from the definition."""
    joint = np.zeros((first.max() + 1, second.max() + 1))
    for a, b in zip(first, second, strict=True):
        joint[a, b] += 1 / len(first)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    information = sum(
        joint[a, b] * np.log(joint[a, b] / rows[a] / columns[b])
        for a, b in zip(*np.nonzero(joint), strict=True)
    )
    entropies = [-sum(p * np.log(p) for p in part if p) for part in (rows, columns)]
    return information / np.mean(entropies)


def test_it_is_the_information_that_clusters_and_classes_share():
    from sklearn import cluster

    embeddings, labels = sets.make(num=100, noise=1.5)
    clusters = cluster.KMeans(5, n_init=1, random_state=3).fit_predict(embeddings)
    found = clustering.nmi(embeddings, labels, max_images=1000, seed=3)
    assert found == pytest.approx(mutual_information(labels, clusters))
    assert 0.2 < found < 0.9


def test_far_classes_share_all_and_labels_at_random_share_little():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 30)
    x = np.eye(3)[labels] + 0.01 * rng.normal(size=(90, 3))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    for seed in (0, 2**40):
        assert clustering.nmi(x, labels, max_images=1000, seed=seed) == pytest.approx(1)
    assert clustering.nmi(x, rng.permutation(labels), max_images=1000, seed=0) < 0.2


def test_of_too_many_images_some_are_clustered():
    embeddings, labels = sets.make(num=200)
    few = clustering.nmi(embeddings, labels, max_images=50, seed=0)
    assert few != clustering.nmi(embeddings, labels, max_images=200, seed=0)
    assert few == clustering.nmi(embeddings, labels, max_images=50, seed=0)
