import numpy as np

from simsearch.retrieval.metrics import triplets


def test_a_query_has_the_mean_of_its_own_random_triplets():
    labels = np.array([0, 1, 1, 2, 0, 2, 2, 3])
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(8, 3)).astype(np.float32)
    squared = ((embeddings[:, None] - embeddings[None]) ** 2).sum(-1)
    queries = range(7)  # the last image is alone in its class

    def values(a):
        return [
            float(1 - max(squared[a, p] - squared[a, n] + 0.5, 0))
            for p in range(8)
            for n in range(8)
            if a != p and labels[a] == labels[p] and labels[n] != labels[a]
        ]

    def found(seed, num_triplets):
        return triplets.one_minus_triplet_loss(
            embeddings, labels, seed=seed, num_triplets=num_triplets, margin=0.5
        )

    # One triplet each: every value is one of those that the query can have.
    seen = [set() for _ in queries]
    for seed in range(200):
        for query, value in enumerate(found(seed, 7)):
            seen[query].add(round(float(value), 4))
    assert seen == [{round(value, 4) for value in values(query)} for query in queries]
    # Many: the mean over all of them.
    expected = [np.mean(values(query)) for query in queries]
    np.testing.assert_allclose(found(0, 7 * 20_000), expected, atol=0.03)
    np.testing.assert_array_equal(found(0, 50), found(0, 50))
    assert not np.array_equal(found(0, 50), found(1, 50))
    assert len(found(0, 1)) == 7


def test_far_classes_reach_one_and_equal_embeddings_one_minus_the_margin():
    labels = np.repeat([0, 1], 5)
    options = {"margin": 1.0, "num_triplets": 50, "seed": 0}
    far = np.eye(2, dtype=np.float32)[labels]
    assert triplets.one_minus_triplet_loss(far, labels, **options).mean() == 1
    equal = np.ones((10, 1), np.float32)
    assert triplets.one_minus_triplet_loss(equal, labels, **options).mean() == 0
