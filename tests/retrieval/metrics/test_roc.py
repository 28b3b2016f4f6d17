import numpy as np
import pytest
from scipy import optimize
from sklearn import metrics

from simsearch.retrieval.metrics import roc


def make(seed=0, num_bins=40, tied=False):
    rng = np.random.default_rng(seed)
    size = 4 if tied else num_bins
    positives = rng.integers(0, size, 60) // 2 + size // 2 - 1
    negatives = rng.integers(0, size, 90) // 2 + (size // 2 - 1) * (seed % 3 == 2) // 2
    return positives, negatives, num_bins


def curve(positives, negatives, num_bins):
    return roc.curve(*(np.bincount(x, minlength=num_bins) for x in (positives, negatives)))


CASES = [(seed, tied) for seed in range(6) for tied in (False, True)]


@pytest.mark.parametrize(("seed", "tied"), CASES)
def test_the_curve_and_its_area_are_scikit_learns(seed, tied):
    positives, negatives, num_bins = make(seed, tied=tied)
    found = curve(positives, negatives, num_bins)
    kinds = np.repeat([1, 0], [len(positives), len(negatives)])
    scores = np.concatenate([positives, negatives])
    false, true, _ = metrics.roc_curve(kinds, scores, drop_intermediate=False)
    points = sorted(set(zip(found.false.tolist(), found.true.tolist(), strict=True)))
    np.testing.assert_allclose(points, np.stack([false, true], 1), atol=1e-12)
    assert roc.area(found) == pytest.approx(metrics.roc_auc_score(kinds, scores))


@pytest.mark.parametrize(("seed", "tied"), CASES)
def test_the_area_is_how_often_a_positive_outranks_a_negative(seed, tied):
    positives, negatives, num_bins = make(seed, tied=tied)
    wins = [(p > n) + 0.5 * (p == n) for p in positives for n in negatives]
    assert roc.area(curve(positives, negatives, num_bins)) == pytest.approx(np.mean(wins))


@pytest.mark.parametrize(("seed", "tied"), CASES)
def test_the_equal_error_rate_is_where_the_curve_meets_the_diagonal(seed, tied):
    positives, negatives, num_bins = make(seed, tied=tied)
    found = curve(positives, negatives, num_bins)
    # np.interp takes one of several heights over a share; a tilt of 1e-9 leaves none upright.
    false = found.false + 1e-9 * np.arange(num_bins + 1)
    expected = optimize.brentq(lambda x: 1 - np.interp(x, false, found.true) - x, 0, 1)
    assert roc.equal_error_rate(found) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("rate", [0, 0.01, 0.1, 0.5])
def test_the_miss_rate_at_a_threshold_is_that_of_a_loop(rate):
    positives, negatives, num_bins = make()
    found = roc.miss_rate(curve(positives, negatives, num_bins), false_rate=rate)
    thresholds = range(num_bins + 1)
    passing = [t for t in thresholds if np.mean(negatives >= t) <= rate]
    best, below = np.mean(positives < passing[0]), np.mean(positives < passing[0] - 1)
    # At a threshold that lets no more pass, or on the way to the next.
    assert below <= found <= best
    if np.mean(negatives >= passing[0]) == rate:
        assert found == pytest.approx(best)


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.95, 1])
def test_the_false_rate_at_a_threshold_is_that_of_a_loop(rate):
    positives, negatives, num_bins = make()
    found = roc.false_rate(curve(positives, negatives, num_bins), true_rate=rate)
    last = max(t for t in range(num_bins + 1) if np.mean(positives >= t) >= rate)
    assert np.mean(negatives >= last + 1) <= found <= np.mean(negatives >= last)
    if np.mean(positives >= last) == rate:
        assert found == pytest.approx(np.mean(negatives >= last))


def test_perfect_useless_and_reversed_scores():
    low, high = np.eye(10)[1] * 5, np.eye(10)[8] * 7
    expected = {"perfect": (1, 0, 0, 0), "useless": (0.5, 0.5, 0.9, 0.95), "reversed": (0, 1, 1, 1)}
    pairs = {"perfect": (high, low), "useless": (low, low), "reversed": (low, high)}
    for name, (positives, negatives) in pairs.items():
        found = roc.curve(positives, negatives)
        values = (
            roc.area(found),
            roc.equal_error_rate(found),
            roc.miss_rate(found, false_rate=0.1),
            roc.false_rate(found, true_rate=0.95),
        )
        assert values == pytest.approx(expected[name]), name


def test_leading_axes_are_curves_of_their_own():
    rng = np.random.default_rng(0)
    positives, negatives = rng.integers(0, 9, (2, 3, 4, 20))
    together = roc.curve(positives, negatives)
    for name, options in (
        ("area", {}),
        ("equal_error_rate", {}),
        ("miss_rate", {"false_rate": 0.1}),
        ("false_rate", {"true_rate": 0.95}),
    ):
        found = getattr(roc, name)(together, **options)
        assert found.shape == (3, 4)
        single = roc.curve(positives[1, 2], negatives[1, 2])
        assert found[1, 2] == pytest.approx(float(getattr(roc, name)(single, **options)))
