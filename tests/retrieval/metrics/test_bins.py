import numpy as np

from simsearch.retrieval.metrics import bins


def test_a_bin_holds_from_its_edge_up_to_the_next():
    edges = bins.edges()
    assert edges[0] == -1 and edges[-2] == 1 and len(edges) == bins.NUM_BINS + 1
    inside = np.array([0, 1, 1000, 131072, 262143, 262144])
    np.testing.assert_array_equal(bins.of(edges[inside].astype(np.float32)), inside)
    below = np.nextafter(edges[inside[1:]].astype(np.float32), np.float32(-2))
    np.testing.assert_array_equal(bins.of(below), inside[1:] - 1)
    outside = np.array([-np.inf, -1.0000001, 1.0000001], np.float32)
    assert bins.of(outside).tolist() == [0, 0, 262144]
    assert np.all((edges[:-1] <= bins.centers()) & (bins.centers() <= 1))


def test_coarse_counts_are_sums_of_fine_ones():
    found = bins.of(np.random.default_rng(0).uniform(-1, 1, 500).astype(np.float32))
    fine = bins.count(found)
    summed = np.append(fine[:-1].reshape(-1, 128).sum(axis=1), fine[-1])
    np.testing.assert_array_equal(bins.count_coarse(found), summed)


def test_queries_are_all_or_as_many_as_the_pairs_allow():
    assert bins.draw_queries(10, max_pairs=90, seed=0).tolist() == list(range(10))
    some = bins.draw_queries(10, max_pairs=40, seed=0)
    assert len(set(some.tolist())) == 4 and np.all(np.diff(some) > 0)
    assert len(bins.draw_queries(10, max_pairs=1, seed=0)) == 1
    assert bins.draw_queries(1, max_pairs=5, seed=0).tolist() == [0]


def test_each_query_has_a_group_and_groups_are_even():
    assert sorted(bins.draw_groups(30, seed=0)) == list(range(30))
    sizes = np.bincount(bins.draw_groups(1000, seed=0))
    assert len(sizes) == 256 and set(sizes) == {3, 4}
