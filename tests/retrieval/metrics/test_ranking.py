import numpy as np
import pytest

from simsearch.retrieval import all_pairs
from simsearch.retrieval.metrics import ranking


def make(seed=0, num=40, classes=5, size=6):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, num)
    labels[0] = classes  # a class of one image
    x = rng.normal(size=(num, size)) + 1.5 * rng.normal(size=(classes + 1, size))[labels]
    x[3] = x[9]  # a duplicate
    x = x.astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True), labels


def order_of(embeddings, i):
    scores = embeddings @ embeddings.T
    others = [j for j in range(len(embeddings)) if j != i]
    return sorted(others, key=lambda j: (-scores[i, j], j))


@pytest.mark.parametrize("in_pairs", [False, True])
@pytest.mark.parametrize(
    ("num", "classes", "block_size"),
    [(40, 5, 3), (40, 5, None), (60, 29, 17), (130, 1, None), (300, 130, None)],
)
def test_leave_one_out_equals_nested_loops(num, classes, block_size, in_pairs, monkeypatch):
    monkeypatch.setattr(all_pairs, "pays", lambda *_, **__: in_pairs)
    embeddings, labels = make(num=num, classes=classes)
    found = ranking.leave_one_out(embeddings, labels, block_size=block_size)
    for i in range(len(labels)):
        order = order_of(embeddings, i)
        relevant = sum(labels[j] == labels[i] for j in order)
        assert found.valid[i] == (relevant > 0)
        assert found.nearest[i] == order[0]
        for k in (1, 5, 10):
            hit = any(labels[j] == labels[i] for j in order[:k])
            assert getattr(found, f"recall_at_{k}")[i] == hit
        if not relevant:
            continue
        for k in (5, 10):
            share = sum(labels[j] == labels[i] for j in order[:k]) / k
            assert getattr(found, f"precision_at_{k}")[i] == pytest.approx(share)
        first = next(rank for rank, j in enumerate(order, 1) if labels[j] == labels[i])
        assert found.mrr[i] == pytest.approx(1 / first)
        hits, average = 0, 0.0
        for rank, j in enumerate(order[:relevant], start=1):
            if labels[j] == labels[i]:
                hits += 1
                average += hits / rank
        assert found.r_precision[i] == pytest.approx(hits / relevant, rel=1e-6)
        assert found.map_at_r[i] == pytest.approx(average / relevant, rel=1e-6)


def test_figures_leave_out_images_that_are_alone_in_their_class():
    embeddings, labels = make()
    found = ranking.leave_one_out(embeddings, labels)
    assert not found.valid[0] and found.valid.sum() == len(labels) - 1
    assert all(len(column) == len(labels) - 1 for column in found.per_query().values())
    assert list(found.per_query()) == [
        "recall_at_1",
        "recall_at_5",
        "recall_at_10",
        "precision_at_5",
        "precision_at_10",
        "mrr",
        "map_at_r",
        "r_precision",
    ]


def test_perfect_and_useless_embeddings():
    labels = np.repeat([0, 1, 2], 4)
    perfect = ranking.leave_one_out(np.eye(3, dtype=np.float32)[labels], labels).per_query()
    best = dict.fromkeys(perfect, 1) | {"precision_at_5": 3 / 5, "precision_at_10": 3 / 10}
    assert {name: column.mean() for name, column in perfect.items()} == pytest.approx(best)
    # Everything in one place: ties go to the lower row, so class 0 wins every vote.
    same = ranking.leave_one_out(np.ones((12, 1), np.float32), labels)
    assert same.per_query()["recall_at_1"].mean() == pytest.approx(4 / 12)


def test_two_images_are_enough():
    found = ranking.leave_one_out(np.eye(2, dtype=np.float32), np.array([0, 0]))
    assert found.recall_at_10.tolist() == found.map_at_r.tolist() == [1, 1]


def test_recall_per_class_and_confusion_equal_loops():
    embeddings, labels = make()
    scores = ranking.leave_one_out(embeddings, labels)
    names = [f"class {i}" for i in range(7)]
    per_class = ranking.recall_per_class(scores, labels, names)
    counts = ranking.confusion(scores, labels, num_classes=7)
    expected = np.zeros((7, 7), int)
    for i in range(len(labels)):
        if scores.valid[i]:
            expected[labels[i], labels[order_of(embeddings, i)[0]]] += 1
    np.testing.assert_array_equal(counts.matrix(), expected)
    assert set(per_class) == {names[i] for i in range(5)}
    for i in range(5):
        assert per_class[names[i]] == pytest.approx(expected[i, i] / expected[i].sum())


def test_the_first_right_one_is_sought_where_none_is_near(monkeypatch):
    monkeypatch.setattr(all_pairs, "pays", lambda *_, **__: True)
    monkeypatch.setattr(ranking, "_NUM_LOOKED_AT", 1)
    labels = np.arange(200) % 100
    x = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    found = ranking.leave_one_out(x, labels)
    ranks = [1 + [labels[j] for j in order_of(x, i)].index(labels[i]) for i in range(200)]
    assert np.median(ranks) > 20, "or nothing is sought"
    np.testing.assert_allclose(1 / found.mrr, ranks, rtol=1e-5)
    np.testing.assert_array_equal(found.recall_at_10, np.array(ranks) <= 10)
