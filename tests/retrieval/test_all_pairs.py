import numpy as np
import pytest

from simsearch.retrieval import all_pairs, neighbors


def crossed(rng, num, size, values):
    """Vectors whose products are exact in every order of summing, many of them equal."""
    return rng.choice(np.float32(values), (num, size))


def plain(x, k):
    return neighbors.top_k(x, x, k=k, exclude=np.arange(len(x)))


@pytest.mark.parametrize("k", [1, 5, 40, 299])
@pytest.mark.parametrize("rows", [1, 7, 64, 300])
def test_the_nearest_are_those_of_the_plain_search(k, rows, monkeypatch):
    monkeypatch.setattr(neighbors, "_BLOCK_ELEMENTS", rows * 300)
    x = np.random.default_rng(k).normal(size=(300, 16)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    found, expected = all_pairs.top_k(x, k=k), plain(x, k)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
    np.testing.assert_array_equal(found.rows, expected.rows)


@pytest.mark.parametrize("values", [(-0.5, 0.5), (0, 0, 0.5), (1,)], ids=["ties", "few", "alike"])
@pytest.mark.parametrize("rows", [7, 300])
def test_equal_scores_come_by_lower_row(values, rows, monkeypatch):
    monkeypatch.setattr(neighbors, "_BLOCK_ELEMENTS", rows * 300)
    x = crossed(np.random.default_rng(0), 300, 4, values)
    for k in (1, 3, 20):
        found, expected = all_pairs.top_k(x, k=k), plain(x, k)
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.scores, expected.scores)


def test_candidates_are_few_and_images_with_too_few_or_too_many_are_searched_plainly(monkeypatch):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2000, 32)).astype(np.float32)
    x[:1000] = x[0]  # copies, each as near as the other
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    searched = []
    inner = neighbors.top_k
    monkeypatch.setattr(
        neighbors, "top_k", lambda q, *a, **k: searched.append(len(q)) or inner(q, *a, **k)
    )
    k = 20
    bounds = all_pairs._bounds(x, k)
    counts = np.bincount(all_pairs._candidates(x, bounds).queries, minlength=len(x))
    assert np.isinf(bounds[:1000]).all() and not counts[:1000].any()
    assert counts[1000:].mean() < 6 * k
    found = all_pairs.top_k(x, k=k)
    assert searched == [(counts < k).sum()] and 1000 <= searched[0] < 1300
    plain = inner(x, x, k=k, exclude=np.arange(len(x)))
    np.testing.assert_allclose(found.scores, plain.scores, atol=1e-6)
    # Copies may come in any order: their scores differ by rounding, and so from machine to machine.
    is_copy = plain.rows < 1000
    np.testing.assert_array_equal(found.rows < 1000, is_copy)
    np.testing.assert_array_equal(found.rows[~is_copy], plain.rows[~is_copy])
    at = np.take_along_axis(x @ x.T, found.rows, axis=1)
    np.testing.assert_allclose(at, found.scores, atol=1e-6)
    assert all(len(set(row)) == k for row in found.rows.tolist())


def test_it_pays_for_many_images_with_few_neighbours_each():
    large = np.broadcast_to(np.float32(0), (60_000, 512))
    assert all_pairs.pays(large, k=99)
    assert not all_pairs.pays(large, k=3000)
    assert not all_pairs.pays(large[:, :64], k=99)
    assert not all_pairs.pays(large[:1000], k=50)
