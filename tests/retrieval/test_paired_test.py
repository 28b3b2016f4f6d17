import itertools

import numpy as np
import pytest

from simsearch.retrieval import paired_test

OPTIONS = {"num_bootstrap": 300, "confidence": 0.95, "seed": 0}


def alone(first, second):
    """Compares queries that do not depend on each other."""
    return paired_test.measure(first, second, groups=np.arange(len(first)), **OPTIONS)


def exact_p_value(gains):
    sums = [
        abs(sum(sign * gain for sign, gain in zip(signs, gains, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(gains))
    ]
    return sum(value >= abs(sum(gains)) - 1e-12 for value in sums) / len(sums)


def test_a_better_version_is_told_with_its_queries():
    first = np.array([0.0, 1, 0, 0.5, 1, 0])
    second = np.array([1.0, 1, 0.25, 0.75, 0, 0])
    found = alone(first, second)
    assert found.first == pytest.approx(2.5 / 6) and found.second == pytest.approx(0.5)
    assert found.difference == pytest.approx(0.5 / 6)
    assert found.low <= found.difference <= found.high
    assert found.won.tolist() == [0, 2, 3] and found.lost.tolist() == [4]


def test_swapping_the_versions_swaps_the_signs():
    rng = np.random.default_rng(0)
    first, second = rng.random(80), rng.random(80) + 0.1
    there = alone(first, second)
    back = alone(second, first)
    assert there.difference == pytest.approx(-back.difference)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.p_value == back.p_value
    assert there.won.tolist() == back.lost.tolist()


@pytest.mark.parametrize("gains", [[0.3], [1, 1, -1], [1, 1, 1, 1, 1], [0.5, -0.1, 0.2, 0, 0, 0]])
def test_few_differing_queries_have_the_exact_p_value(gains):
    options = {"num_permutations": 10, "seed": 0}
    expected = exact_p_value([gain for gain in gains if gain])
    assert paired_test.sign_flip_p_value(np.array(gains), **options) == pytest.approx(expected)


def test_random_signs_approach_the_exact_p_value(monkeypatch):
    gains = np.random.default_rng(1).normal(0.3, 1, 11)
    monkeypatch.setattr(paired_test, "_MOST_EXACT", 0)
    monkeypatch.setattr(paired_test, "_BLOCK_ELEMENTS", 5000)
    found = paired_test.sign_flip_p_value(gains, num_permutations=20_000, seed=0)
    # Four standard deviations of a binomial share at 20,000 draws are at most 0.0142.
    assert found == pytest.approx(exact_p_value(gains.tolist()), abs=0.0142)


def test_a_p_value_of_random_signs_counts_the_signs_that_were_observed():
    # Of 2**20 assignments two reach the sum, and none of the 99 that are drawn does.
    found = paired_test.sign_flip_p_value(np.ones(20), num_permutations=99, seed=0)
    assert found == pytest.approx(1 / 100)


def test_equal_versions_seldom_look_different():
    rng = np.random.default_rng(0)
    p_values = [
        paired_test.sign_flip_p_value(rng.normal(size=30), num_permutations=400, seed=seed)
        for seed in range(200)
    ]
    # Uniform: 20 of 200 below 0.1 expected, four standard deviations are 17.
    assert 3 <= np.sum(np.array(p_values) <= 0.1) <= 37


def test_groups_that_move_together_are_one_observation():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(14), 6)
    sure, holds, sure_alone = 0, 0, 0
    for seed in range(100):
        gains = rng.normal(size=14)[groups] + 0.1 * rng.normal(size=len(groups))
        options = OPTIONS | {"seed": seed}
        found = paired_test.measure(np.zeros(len(gains)), gains, groups=groups, **options)
        sure += found.p_value <= 0.1
        holds += found.low <= 0 <= found.high
        sure_alone += alone(np.zeros(len(gains)), gains).p_value <= 0.1
        assert found.num_groups == 14
    # 10 and 95 expected; percentile intervals of 14 groups are known to be a little narrow.
    assert sure <= 22 and holds >= 82
    assert sure_alone > 35


def test_of_few_groups_the_p_value_is_to_be_trusted_and_not_the_interval():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(5), 8)
    promised, sure = 0, 0
    for seed in range(200):
        gains = rng.normal(size=5)[groups]
        options = OPTIONS | {"seed": seed}
        found = paired_test.measure(np.zeros(len(gains)), gains, groups=groups, **options)
        promised += not found.low <= 0 <= found.high
        sure += found.p_value < 0.05
    # Of 200 where the two are equally good, 10 promised; five signs cannot be sure.
    assert promised > 20 and sure == 0


def test_the_p_value_is_that_of_the_groups_sums():
    gains, groups = np.array([3.0, -1, 1, 1, 2]), np.array([7, 7, 2, 2, 9])
    found = paired_test.measure(np.zeros(5), gains, groups=groups, **OPTIONS)
    assert found.p_value == pytest.approx(exact_p_value([2, 2, 2]))
    assert (found.difference, found.num_groups) == (pytest.approx(6 / 5), 3)
    # Sums over sizes of resampled groups: from the worst group to the best.
    assert found.low >= 1 and found.high <= 2


def test_the_same_version_differs_in_nothing():
    values = np.random.default_rng(0).random(20)
    found = alone(values, values)
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert len(found.won) == len(found.lost) == 0


def test_other_queries_are_refused():
    with pytest.raises(ValueError, match="the same queries"):
        alone(np.zeros(3), np.zeros(4))
