import numpy as np
import pytest

from simsearch.retrieval import bootstrap

OPTIONS = {"num_samples": 500, "confidence": 0.95, "seed": 0}


def test_the_interval_is_that_of_resampled_means():
    values = np.random.default_rng(0).normal(size=50)
    rng = np.random.default_rng(0)
    means = sorted(values[rng.integers(0, 50, (500, 50))].mean(axis=1))
    value, low, high = bootstrap.interval(values, **OPTIONS)
    assert value == pytest.approx(values.mean())
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


def test_it_holds_the_true_mean_about_as_often_as_it_says():
    held = 0
    for seed in range(200):
        sample = np.random.default_rng(seed).binomial(1, 0.7, 100)
        _, low, high = bootstrap.interval(sample, **(OPTIONS | {"seed": seed}))
        held += low <= 0.7 <= high
    # 190 expected; four standard deviations of a binomial, and percentile intervals run narrow.
    assert 176 <= held <= 200


def test_more_values_make_it_narrower_and_one_value_makes_it_a_point():
    rng = np.random.default_rng(0)
    widths = []
    for size in (20, 200, 2000):
        _, low, high = bootstrap.interval(rng.normal(size=size), **OPTIONS)
        widths.append(high - low)
    assert widths[0] > widths[1] > widths[2]
    assert bootstrap.interval(np.array([0.25]), **OPTIONS) == (0.25, 0.25, 0.25)


def test_blocks_of_resamples_are_as_many_as_asked_for(monkeypatch):
    values = np.arange(10.0)
    monkeypatch.setattr(bootstrap, "_BLOCK_ELEMENTS", 70)
    _, low, high = bootstrap.interval(values, **OPTIONS)
    assert low < 4.5 < high


def test_no_value_is_refused():
    with pytest.raises(ValueError, match="at least one value"):
        bootstrap.interval(np.array([]), **OPTIONS)
