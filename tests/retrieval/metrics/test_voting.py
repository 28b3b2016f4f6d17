import numpy as np
import pytest

from simsearch.retrieval.metrics import voting


def make(seed=0, num=40, classes=5, size=6):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, num)
    labels[0] = classes  # a class of one image
    x = rng.normal(size=(num, size)) + 1.5 * rng.normal(size=(classes + 1, size))[labels]
    x[3] = x[9]  # a duplicate
    x = x.astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True), labels


@pytest.mark.parametrize(("num_neighbors", "temperature"), [(1, 0.07), (7, 0.07), (99, 1.0)])
def test_knn_accuracy_equals_nested_loops(num_neighbors, temperature):
    queries, query_labels = make(0)
    gallery, gallery_labels = make(1)
    found = voting.knn_accuracy(
        queries,
        query_labels,
        gallery,
        gallery_labels,
        num_neighbors=num_neighbors,
        temperature=temperature,
        block_size=9,
    )
    scores = queries @ gallery.T
    for i in range(len(queries)):
        order = sorted(range(len(gallery)), key=lambda j: (-scores[i, j], j))[:num_neighbors]
        votes = [0.0] * 6
        for j in order:
            votes[gallery_labels[j]] += np.exp(scores[i, j] / temperature)
        assert found[i] == (max(range(6), key=lambda c: votes[c]) == query_labels[i])


@pytest.mark.parametrize("num_neighbors", [3, 99])
def test_an_image_of_the_gallery_does_not_vote_for_itself(num_neighbors):
    gallery, labels = make(0)
    rows = np.array([5, 0, 17, 39])
    options = {"num_neighbors": num_neighbors, "temperature": 0.5}
    found = voting.knn_accuracy(
        gallery[rows], labels[rows], gallery, labels, exclude=rows, **options
    )
    for right, row in zip(found, rows, strict=True):
        others = np.delete(gallery, row, axis=0), np.delete(labels, row)
        alone = voting.knn_accuracy(gallery[[row]], labels[[row]], *others, **options)
        assert right == alone[0]
