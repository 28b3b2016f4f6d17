import json

import numpy as np
import pytest

from simsearch import errors, runs
from simsearch.retrieval import calibration
from simsearch.retrieval.metrics import bins, pairs


def make(num=60, classes=5, noise=0.9, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, num)
    x = noise * rng.normal(size=(num, 8)) + rng.normal(size=(classes, 8))[labels]
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), labels


def counted(embeddings, labels):
    return pairs.count(embeddings, labels, max_pairs=10**6, seed=0)


def split_pairs(embeddings, labels):
    """Returns the cosines of all pairs, and whether each is of one class."""
    off = ~np.eye(len(labels), dtype=bool)
    return (embeddings @ embeddings.T)[off], (labels[:, None] == labels[None])[off]


def found_pairs(embeddings, labels):
    """Returns the same of each image's 10 nearest, by a full sort."""
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :10]
    return np.take_along_axis(cosines, nearest, axis=1).ravel(), (
        labels[nearest] == labels[:, None]
    ).ravel()


def pool_adjacent_violators(values, weights):
    """Returns the non-decreasing sequence of least weighted squared error, slowly."""
    blocks = [[value, weight, 1] for value, weight in zip(values, weights, strict=True)]
    i = 0
    while i + 1 < len(blocks):
        if blocks[i][0] > blocks[i + 1][0]:
            (a, u, m), (b, v, n) = blocks[i], blocks[i + 1]
            blocks[i : i + 2] = [[(a * u + b * v) / (u + v), u + v, m + n]]
            i = max(0, i - 1)
        else:
            i += 1
    return np.concatenate([[value] * count for value, _, count in blocks])


def test_isotonic_is_the_pooled_share_of_what_is_found_and_below_of_all_pairs():
    embeddings, labels = make()
    found = calibration.fit(counted(embeddings, labels), method="isotonic")
    near, near_same = found_pairs(embeddings, labels)
    cosines, same = split_pairs(embeddings, labels)
    lowest = np.sort(bins.of(near))[int(np.ceil(0.01 * len(near))) - 1]
    below, kept = bins.of(cosines) < lowest, bins.of(near) >= lowest
    places = np.concatenate([bins.of(cosines)[below], bins.of(near)[kept]])
    kinds = np.concatenate([same[below], near_same[kept]])
    filled, inverse, sizes = np.unique(places, return_inverse=True, return_counts=True)
    expected = pool_adjacent_violators(np.bincount(inverse, weights=kinds) / sizes, sizes)
    # Never quite 0 or 1: no sample proves either.
    expected = np.clip(expected, 1 / 62, 1 - 1 / 62)
    np.testing.assert_allclose(found.probability(bins.centers()[filled]), expected, atol=2e-3)
    assert (found.num_same, found.num_different) == (same.sum(), (~same).sum())


def test_logistic_has_the_slope_that_maximises_the_likelihood():
    embeddings, labels = make()
    found = calibration.fit(counted(embeddings, labels), method="logistic")
    cosines, same = found_pairs(embeddings, labels)
    slope, intercept = 0.0, 0.0
    for _ in range(50):  # Newton's method.
        p = 1 / (1 + np.exp(-(slope * cosines + intercept)))
        x = np.stack([cosines, np.ones_like(cosines)])
        step = np.linalg.solve((x * p * (1 - p)) @ x.T, x @ (same - p))
        slope, intercept = slope + step[0], intercept + step[1]
    grid = np.linspace(-0.9, 0.99, 40)
    expected = np.clip(1 / (1 + np.exp(-(slope * grid + intercept))), 1 / 62, 1 - 1 / 62)
    np.testing.assert_allclose(found.probability(grid), expected, atol=1e-3)


@pytest.mark.parametrize("method", ["isotonic", "logistic"])
def test_a_higher_cosine_never_has_a_lower_probability(method):
    found = calibration.fit(counted(*make()), method=method)
    grid = np.linspace(-1.2, 1.2, 2001).reshape(3, 667)
    probabilities = found.probability(grid)
    assert probabilities.shape == (3, 667) and probabilities.dtype == np.float64
    assert np.all(np.diff(probabilities.ravel()) >= 0)
    assert probabilities.min() >= 0 and probabilities.max() <= 1
    assert probabilities.max() - probabilities.min() > 0.5


@pytest.mark.parametrize("method", ["isotonic", "logistic"])
def test_embeddings_that_tell_nothing_get_the_share_of_same_class_pairs(method):
    same = np.zeros(bins.NUM_BINS, np.int64)
    same[200_000] = 30
    counts = pairs.Pairs(same, 3 * same, np.zeros((1, 1)), np.zeros((1, 1)), same, 3 * same, 9)
    found = calibration.fit(counts, method=method)
    np.testing.assert_allclose(found.probability(np.array([-1, 0.3, 0.9])), 0.25, atol=1e-6)


@pytest.mark.parametrize("rate", [0, 1e-3, 0.01, 0.0123, 0.25, 1])
def test_at_most_the_chosen_share_lies_above_the_threshold(rate):
    embeddings, labels = make(num=120)
    found = calibration.fit(counted(embeddings, labels), method="isotonic")
    cosines, same = split_pairs(embeddings, labels)
    different = np.sort(cosines[~same])[::-1]
    threshold = found.threshold(rate)
    assert np.mean(different > threshold) <= rate
    # And no lower one would do, but for the table's steps and the width of a bin.
    lower = found.threshold(min(1, rate * 1.11)) - 3e-5
    allowed = int(np.floor(rate * len(different)))
    if allowed < len(different):
        assert lower <= different[allowed] <= threshold + 1e-6


def test_a_rate_that_the_pairs_cannot_tell_casts_doubt_on_the_threshold_alone():
    found = calibration.fit(counted(*make(num=120)), method="isotonic")
    assert found.doubt(1e-3) is None
    for rate in (0, 1e-6):
        words = found.doubt(rate)
        assert words.startswith(f"do not trust the threshold: {found.num_different:,} validation")
        assert f"a false-match rate of {rate:g}; the smallest that they can is" in words
        smallest = float(words.rsplit(" ", 1)[1])
        assert found.doubt(smallest) is None and found.doubt(0.95 * smallest)
        assert 1 <= smallest * found.num_different < 1.11


def test_few_pairs_cast_doubt_on_the_probabilities_as_well():
    found = calibration.fit(counted(*make(num=20)), method="isotonic")
    assert found.doubt(0.5) is None
    assert found.doubt(1e-3).startswith("do not trust the threshold and the probabilities: ")


def test_a_threshold_needs_a_share():
    found = calibration.fit(counted(*make()), method="isotonic")
    for rate in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
            found.threshold(rate)


def test_pairs_of_one_kind_cannot_be_calibrated():
    embeddings, labels = make()
    with pytest.raises(ValueError, match="pairs of one class and of two"):
        calibration.fit(counted(embeddings, np.zeros_like(labels)), method="isotonic")


@pytest.mark.parametrize("method", ["isotonic", "logistic"])
def test_it_is_stored_with_the_version_and_read_again(method, tmp_path):
    version = runs.Version(tmp_path / "version_0")
    version.path.mkdir()
    assert calibration.load(version) is None
    found = calibration.fit(counted(*make()), method=method, weights="abc")
    version.calibration_file.write_text(found.to_json())
    again = calibration.load(version)
    assert (again.method, again.weights, again.num_same) == (method, "abc", found.num_same)
    grid = np.linspace(-1, 1, 101)
    np.testing.assert_array_equal(again.probability(grid), found.probability(grid))
    assert again.threshold(0.01) == found.threshold(0.01)
    assert again.to_json() == found.to_json()


def test_another_file_or_a_newer_format_is_refused(tmp_path):
    version = runs.Version(tmp_path / "version_0")
    version.path.mkdir()
    text = calibration.fit(counted(*make()), method="isotonic").to_json()
    newer = json.dumps(json.loads(text) | {"format": 99})
    for bad in ("", "[]", '{"format": 1}', text[:100], newer):
        version.calibration_file.write_text(bad)
        with pytest.raises(errors.RunError, match=r"calibration.json: .*delete the file"):
            calibration.load(version)
