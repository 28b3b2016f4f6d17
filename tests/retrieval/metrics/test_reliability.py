import numpy as np
import pytest

from simsearch.retrieval.metrics import reliability


def test_the_error_is_that_of_a_loop_over_bins():
    rng = np.random.default_rng(0)
    predicted, same = rng.random(500), rng.random(500) < 0.4
    predicted[0] = 1.0
    found = reliability.measure(predicted, same, np.ones(500))
    error = 0.0
    for b in range(reliability.NUM_BINS):
        low, high = b / reliability.NUM_BINS, (b + 1) / reliability.NUM_BINS
        inside = (predicted >= low) & ((predicted < high) | (b == reliability.NUM_BINS - 1))
        error += inside.sum() / 500 * abs(predicted[inside].mean() - same[inside].mean())
        assert found.weight[b] == pytest.approx(inside.sum() / 500)
    assert found.error == pytest.approx(error)


def test_counts_are_pairs_said_at_once():
    predicted = np.array([0.1, 0.1, 0.1, 0.8, 0.8])
    same = np.array([0, 0, 1, 1, 0])
    one_by_one = reliability.measure(predicted, same, np.ones(5))
    at_once = reliability.measure(np.array([0.1, 0.8]), np.array([1, 1]), np.array([3, 2]))
    assert at_once.error == pytest.approx(one_by_one.error)


def test_honest_probabilities_have_a_small_error_and_boastful_ones_a_large_one():
    rng = np.random.default_rng(0)
    predicted = rng.random(20_000)
    same = rng.random(20_000) < predicted
    assert reliability.measure(predicted, same, np.ones(20_000)).error < 0.02
    assert reliability.measure(np.sqrt(predicted), same, np.ones(20_000)).error > 0.1
