import numpy as np
import pytest

from simsearch.retrieval import metrics


def make(seed=0, num=40, classes=5, size=6):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, num)
    labels[0] = classes  # a class of one image
    x = rng.normal(size=(num, size)) + 1.5 * rng.normal(size=(classes + 1, size))[labels]
    x[3] = x[9]  # a duplicate
    x = x.astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True), labels


def ranking(embeddings, i):
    scores = embeddings @ embeddings.T
    others = [j for j in range(len(embeddings)) if j != i]
    return sorted(others, key=lambda j: (-scores[i, j], j))


@pytest.mark.parametrize("block_size", [3, None])
def test_leave_one_out_equals_nested_loops(block_size):
    embeddings, labels = make()
    found = metrics.leave_one_out(embeddings, labels, block_size=block_size)
    for i in range(len(labels)):
        order = ranking(embeddings, i)
        relevant = sum(labels[j] == labels[i] for j in order)
        assert found.valid[i] == (relevant > 0)
        assert found.nearest[i] == order[0]
        for k in (1, 5, 10):
            hit = any(labels[j] == labels[i] for j in order[:k])
            assert getattr(found, f"recall_at_{k}")[i] == hit
        if not relevant:
            continue
        hits, average = 0, 0.0
        for rank, j in enumerate(order[:relevant], start=1):
            if labels[j] == labels[i]:
                hits += 1
                average += hits / rank
        assert found.r_precision[i] == pytest.approx(hits / relevant, rel=1e-6)
        assert found.map_at_r[i] == pytest.approx(average / relevant, rel=1e-6)


def test_figures_leave_out_images_that_are_alone_in_their_class():
    embeddings, labels = make()
    found = metrics.leave_one_out(embeddings, labels)
    assert not found.valid[0] and found.valid.sum() == len(labels) - 1
    assert all(len(column) == len(labels) - 1 for column in found.per_query().values())
    assert list(found.per_query()) == [
        "recall_at_1",
        "recall_at_5",
        "recall_at_10",
        "map_at_r",
        "r_precision",
    ]


def test_perfect_and_useless_embeddings():
    labels = np.repeat([0, 1, 2], 4)
    perfect = metrics.leave_one_out(np.eye(3, dtype=np.float32)[labels], labels)
    assert all(column.mean() == 1 for column in perfect.per_query().values())
    # Everything in one place: ties go to the lower row, so class 0 wins every vote.
    same = metrics.leave_one_out(np.ones((12, 1), np.float32), labels)
    assert same.per_query()["recall_at_1"].mean() == pytest.approx(4 / 12)


def test_two_images_are_enough():
    found = metrics.leave_one_out(np.eye(2, dtype=np.float32), np.array([0, 0]))
    assert found.recall_at_10.tolist() == found.map_at_r.tolist() == [1, 1]


def test_recall_per_class_and_confusion_equal_loops():
    embeddings, labels = make()
    scores = metrics.leave_one_out(embeddings, labels)
    names = [f"class {i}" for i in range(7)]
    per_class = metrics.recall_per_class(scores, labels, names)
    counts = metrics.confusion(scores, labels, num_classes=7)
    expected = np.zeros((7, 7), int)
    for i in range(len(labels)):
        if scores.valid[i]:
            expected[labels[i], labels[ranking(embeddings, i)[0]]] += 1
    np.testing.assert_array_equal(counts, expected)
    assert set(per_class) == {names[i] for i in range(5)}
    for i in range(5):
        assert per_class[names[i]] == pytest.approx(expected[i, i] / expected[i].sum())


@pytest.mark.parametrize(("num_neighbors", "temperature"), [(1, 0.07), (7, 0.07), (99, 1.0)])
def test_knn_accuracy_equals_nested_loops(num_neighbors, temperature):
    queries, query_labels = make(0)
    gallery, gallery_labels = make(1)
    found = metrics.knn_accuracy(
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
    found = metrics.one_minus_triplet_loss(embeddings, labels, seed=0, **options)
    assert {round(float(value), 4) for value in found} == allowed
    again = metrics.one_minus_triplet_loss(embeddings, labels, seed=0, **options)
    other = metrics.one_minus_triplet_loss(embeddings, labels, seed=1, **options)
    np.testing.assert_array_equal(found, again)
    assert not np.array_equal(found, other)


def test_far_classes_reach_one_and_equal_embeddings_one_minus_the_margin():
    labels = np.repeat([0, 1], 5)
    options = {"margin": 1.0, "num_triplets": 50, "seed": 0}
    far = np.eye(2, dtype=np.float32)[labels]
    assert metrics.one_minus_triplet_loss(far, labels, **options).mean() == 1
    equal = np.ones((10, 1), np.float32)
    assert metrics.one_minus_triplet_loss(equal, labels, **options).mean() == 0
