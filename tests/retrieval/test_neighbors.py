import numpy as np
import pytest

from simsearch.retrieval import neighbors


def unit(rng, *shape):
    x = rng.normal(size=shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def full_sort(queries, gallery, k, exclude=None):
    scores = queries @ gallery.T
    rows = []
    for i, row in enumerate(scores):
        order = sorted(range(len(gallery)), key=lambda j, row=row: (-row[j], j))
        rows.append([j for j in order if exclude is None or j != exclude[i]][:k])
    rows = np.array(rows)
    return np.take_along_axis(scores, rows, axis=1), rows


def test_unit_rows_have_length_one_and_zeros_stay():
    rows = neighbors.unit_rows(np.array([[3, 4], [0, 0], [-2e-3, 0]], np.float32))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [-1, 0]], rtol=1e-6)
    assert rows.dtype == np.float32


@pytest.mark.parametrize("block_size", [1, 7, None])
@pytest.mark.parametrize("k", [1, 5, 29])
def test_top_k_is_a_full_sort(k, block_size):
    rng = np.random.default_rng(0)
    queries, gallery = unit(rng, 20, 8), unit(rng, 30, 8)
    exclude = rng.integers(0, 30, 20)
    found = neighbors.top_k(queries, gallery, k=k, exclude=exclude, block_size=block_size)
    scores, rows = full_sort(queries, gallery, k, exclude)
    np.testing.assert_array_equal(found.rows, rows)
    # Another block shape sums in another order; cosines of unit vectors are near 1 at most.
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)


def test_equal_scores_come_by_lower_row():
    gallery = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    rng = np.random.default_rng(1)
    gallery = gallery[rng.permutation(20)]
    queries = np.eye(4, dtype=np.float32)
    for k in (1, 3, 7, 20):
        np.testing.assert_array_equal(
            neighbors.top_k(queries, gallery, k=k).rows, full_sort(queries, gallery, k)[1]
        )


def test_a_query_is_left_out_by_identity_and_its_copies_are_found():
    gallery = np.ones((3, 4), np.float32) / 2
    found = neighbors.top_k(gallery, gallery, k=2, exclude=np.arange(3))
    np.testing.assert_array_equal(found.rows, [[1, 2], [0, 2], [0, 1]])
    kept = neighbors.top_k(gallery, gallery, k=2, exclude=np.array([-1, -1, 0]))
    np.testing.assert_array_equal(kept.rows, [[0, 1], [0, 1], [1, 2]])


def test_more_neighbors_than_there_are_is_refused():
    gallery = np.eye(3, dtype=np.float32)
    with pytest.raises(ValueError, match="k=3 must be from 1 to 2"):
        neighbors.top_k(gallery, gallery, k=3, exclude=np.arange(3))
    with pytest.raises(ValueError, match="k=0"):
        neighbors.top_k(gallery, gallery, k=0)


def test_no_query_has_no_neighbor():
    found = neighbors.top_k(np.zeros((0, 3), np.float32), np.eye(3, dtype=np.float32), k=2)
    assert found.rows.shape == found.scores.shape == (0, 2)


@pytest.mark.parametrize("k", [1, 3, 50, 299, 300])
def test_the_largest_of_a_long_row_come_in_order_ties_and_signed_zeros_too(k):
    rng = np.random.default_rng(k)
    row = rng.integers(-20, 20, 300).astype(np.float32) / 20
    row[::7] *= -0.0
    row[5] = -np.inf
    expected = sorted(range(300), key=lambda j: (-row[j], j))[:k]
    assert neighbors.largest(row, k).tolist() == expected


def test_every_row_is_worked_on_once_and_a_failure_is_told():
    seen = []
    neighbors.for_each_row(seen.append, 100)
    assert sorted(seen) == list(range(100))
    with pytest.raises(ZeroDivisionError):
        neighbors.for_each_row(lambda i: 1 // (i - 70), 100)
