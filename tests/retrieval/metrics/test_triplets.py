import numpy as np

from simsearch.retrieval.metrics import triplets


def test_triplets_are_valid_and_seeded():
    # Embeddings that name their row: the distance between two tells which two they are.
    labels = np.array([0, 1, 1, 2, 0, 2, 2, 3])
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(8, 3)).astype(np.float32)
    squared = ((embeddings[:, None] - embeddings[None]) ** 2).sum(-1)
    allowed = {
        round(float(1 - max(squared[a, p] - squared[a, n] + 0.5, 0)), 4)
        for a in range(8)
        for p in range(8)
        for n in range(8)
        if a != p and labels[a] == labels[p] and labels[n] != labels[a]
    }
    options = {"margin": 0.5, "num_triplets": 3000}
    found = triplets.one_minus_triplet_loss(embeddings, labels, seed=0, **options)
    assert {round(float(value), 4) for value in found} == allowed
    again = triplets.one_minus_triplet_loss(embeddings, labels, seed=0, **options)
    other = triplets.one_minus_triplet_loss(embeddings, labels, seed=1, **options)
    np.testing.assert_array_equal(found, again)
    assert not np.array_equal(found, other)


def test_far_classes_reach_one_and_equal_embeddings_one_minus_the_margin():
    labels = np.repeat([0, 1], 5)
    options = {"margin": 1.0, "num_triplets": 50, "seed": 0}
    far = np.eye(2, dtype=np.float32)[labels]
    assert triplets.one_minus_triplet_loss(far, labels, **options).mean() == 1
    equal = np.ones((10, 1), np.float32)
    assert triplets.one_minus_triplet_loss(equal, labels, **options).mean() == 0
