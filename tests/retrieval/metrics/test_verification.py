import numpy as np
import pytest
from sklearn import metrics

from simsearch.retrieval.metrics import pairs, verification
from tests.retrieval.metrics import sets

OPTIONS = {"false_match_rate": 0.01, "num_bootstrap": 200, "confidence": 0.95, "seed": 0}


def measure(embeddings, labels, **options):
    counts = pairs.count(embeddings, labels, max_pairs=10**7, seed=0)
    return verification.measure(counts, **OPTIONS | options)


@pytest.mark.parametrize("noise", [0.5, 1.0, 3.0])
def test_rates_are_those_of_all_pairs_one_by_one(noise):
    embeddings, labels = sets.make(num=80, noise=noise)
    off = ~np.eye(80, dtype=bool)
    kinds = (labels[:, None] == labels)[off]
    false, true, _ = metrics.roc_curve(
        kinds, (embeddings @ embeddings.T)[off], drop_intermediate=False
    )
    found = measure(embeddings, labels)
    crossing = np.argmin(np.abs(1 - true - false))
    # The curve rises in steps of one pair in about 1,200 of one class.
    assert found["eer"].value == pytest.approx((1 - true + false)[crossing] / 2, abs=1e-3)
    expected = 1 - true[np.flatnonzero(false <= 0.01)[-1]]
    assert found["fnmr_at_fmr"].value == pytest.approx(expected, abs=2e-3)


def test_the_intervals_hold_the_values_and_shrink_with_more_images():
    widths = []
    for num in (40, 400):
        found = measure(*sets.make(num=num, noise=2.0))
        for interval in found.values():
            assert 0 <= interval.low <= interval.value <= interval.high <= 1
        widths.append(found["eer"].high - found["eer"].low)
    assert widths[0] > widths[1] > 0


def test_separate_classes_make_no_error_and_one_class_has_no_rates():
    labels = np.repeat([0, 1, 2], 5)
    found = measure(np.eye(3, dtype=np.float32)[labels], labels)
    assert found == {"eer": (0, 0, 0), "fnmr_at_fmr": (0, 0, 0)}
    assert measure(np.eye(3, dtype=np.float32)[labels], np.zeros(15, int)) == {}


def test_cosines_that_are_all_alike_have_no_interval():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 10)
    base = np.ones(8) + 3e-2 * rng.normal(size=(4, 8))[labels]
    embeddings = base + 1e-6 * rng.normal(size=(40, 8))
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    found = measure(embeddings, labels)["eer"]
    assert found.value < 0.02 and found.low is None and found.high is None
