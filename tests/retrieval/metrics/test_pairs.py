import numpy as np
import pytest

from simsearch.retrieval.metrics import bins, pairs


def make(num=30, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, num)
    x = rng.normal(size=(num, 6)) + rng.normal(size=(classes, 6))[labels]
    x[3] = x[9]
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), labels


def loops(embeddings, labels, queries):
    """Returns the bins of all same-class and different-class pairs, one by one."""
    scores = embeddings @ embeddings.T
    found = {True: [], False: []}
    for i in queries:
        for j in range(len(labels)):
            if i != j:
                kind = labels[i] == labels[j]
                found[bool(kind)].append(min(int((scores[i, j] + 1.0) * 2**17), 2**18))
    return found


@pytest.mark.parametrize("block_size", [1, 7, None])
def test_all_pairs_are_counted_as_in_nested_loops(block_size):
    embeddings, labels = make()
    found = pairs.count(embeddings, labels, max_pairs=10**6, seed=0, block_size=block_size)
    expected = loops(embeddings, labels, range(30))
    for counts, by_group, kind in (
        (found.same, found.same_by_group, True),
        (found.different, found.different_by_group, False),
    ):
        assert counts.sum() == by_group.sum() == len(expected[kind])
        # Cosines of another block shape round differently: to the next bin at most.
        ours = np.repeat(np.arange(bins.NUM_BINS), counts)
        np.testing.assert_allclose(ours, sorted(expected[kind]), atol=1)
        coarse = np.bincount(ours >> 7, minlength=by_group.shape[1])
        np.testing.assert_array_equal(by_group.sum(axis=0), coarse)


def test_the_nearest_are_counted_apart():
    embeddings, labels = make()
    found = pairs.count(embeddings, labels, max_pairs=10**6, seed=0)
    expected = {True: [], False: []}
    for i in range(30):
        cosines = embeddings @ embeddings[i]
        others = sorted((j for j in range(30) if j != i), key=lambda j: (-cosines[j], j))
        for j in others[:10]:
            expected[bool(labels[i] == labels[j])].append(bins.of(cosines[j]))
    for kind, counts in ((True, found.nearest_same), (False, found.nearest_different)):
        ours = np.repeat(np.arange(bins.NUM_BINS), counts)
        np.testing.assert_allclose(ours, sorted(expected[kind]), atol=1)


def test_too_many_pairs_are_those_of_queries_drawn_by_the_seed():
    embeddings, labels = make()
    options = {"max_pairs": 29 * 5}
    found = pairs.count(embeddings, labels, seed=0, **options)
    assert found.same.sum() + found.different.sum() == 29 * 5
    assert len(found.same_by_group) == 5
    again, other = (pairs.count(embeddings, labels, seed=seed, **options) for seed in (0, 1))
    np.testing.assert_array_equal(found.different, again.different)
    assert not np.array_equal(found.different, other.different)


def test_each_query_is_in_one_group_with_all_its_pairs():
    embeddings, labels = make()
    found = pairs.count(embeddings, labels, max_pairs=10**6, seed=0)
    sizes = found.same_by_group.sum(axis=1) + found.different_by_group.sum(axis=1)
    assert sizes.tolist() == [29] * 30
    num_same = np.bincount(labels)[labels] - 1
    assert sorted(found.same_by_group.sum(axis=1)) == sorted(num_same)
