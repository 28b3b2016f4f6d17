import dataclasses
import json

import numpy as np
import pytest

from simsearch.retrieval import bootstrap, calibration, evaluate, figures, neighbors, report
from simsearch.retrieval.metrics import bins, pairs, ranking
from tests.retrieval.metrics import sets

OPTIONS = evaluate.Options(
    num_neighbors=3,
    temperature=0.1,
    triplet_margin=1.0,
    num_triplets=100,
    max_pairs=10**6,
    max_clustered=1000,
    open_set_folds=2,
    false_match_rate=0.05,
    num_bootstrap=50,
    confidence=0.95,
    seed=0,
)
NAMES = ("a", "b", "c", "d", "e")
VECTORS = np.eye(5, 6, dtype=np.float32)
# Figures of a stored number without an interval.
POINTS = {"nmi", "calibration_error", "threshold"}
POINTS |= {"false_match_rate", "false_non_match_rate"}


def make(seed=0):
    embeddings, labels = sets.make(num=60, classes=4, noise=1.5, seed=seed)
    labels[0] = 4  # Alone in its class.
    return embeddings, labels


def fitted():
    return calibration.fit(pairs.count(*make(1), max_pairs=10**6, seed=0), method="isotonic")


def measure(**options):
    x, labels = make()
    gallery = {"gallery": x, "gallery_labels": labels}
    return evaluate.measure(
        x, labels, **gallery | {"class_names": NAMES, "options": OPTIONS} | options
    )


def test_each_figure_is_the_mean_of_its_queries_inside_its_interval():
    x, labels = make()
    found = measure(calibration=fitted(), class_vectors=VECTORS)
    scores = ranking.leave_one_out(x, labels).per_query()
    for name, column in scores.items():
        assert found.metrics[name].value == pytest.approx(column.mean())
    told = [max(range(5), key=lambda c, row=row: VECTORS[c] @ row) for row in x]
    assert found.metrics["classifier_accuracy"].value == pytest.approx(np.mean(told == labels))
    for name, interval in found.metrics.items():
        assert (interval.low is None) == (interval.high is None) == (name in POINTS), name
        if interval.low is not None:
            assert interval.low <= interval.value <= interval.high, name
    assert found.num_queries == 59 and found.num_left_out == 1
    assert set(found.per_class) == {"a", "b", "c", "d"}
    assert found.confusion.num_classes == 5 and found.confusion.values.sum() == 59


def test_values_of_single_queries_stay_in_the_images_order():
    found = measure()
    of_images = {"knn_accuracy", "one_minus_triplet_loss"}
    assert set(found.per_query) == {*ranking.FIGURES, *of_images}
    for name, column in found.per_query.items():
        assert column.shape == (60,)
        assert np.isnan(column[0]) == (name != "knn_accuracy")
        assert np.nanmean(column) == pytest.approx(found.metrics[name].value)


def test_an_image_does_not_vote_for_itself_and_intervals_are_of_the_confidence_asked_for():
    options = OPTIONS._replace(num_neighbors=1, confidence=0.5)
    found = measure(options=options, own_rows=np.arange(60)).metrics
    narrow, wide = (each["recall_at_1"] for each in (found, measure().metrics))
    assert wide.low < narrow.low < narrow.high < wide.high
    right = 59 * narrow.value  # The one that is alone in its class is no query.
    assert found["knn_accuracy"].value == pytest.approx(right / 60) and right < 55


def test_why_a_threshold_is_not_to_be_trusted_is_noted():
    rough = dataclasses.replace(fitted(), num_different=3)
    found = measure(calibration=rough)
    assert found.notes == (rough.doubt(0.05),)
    assert report.table(found).endswith(f"\n  {found.notes[0]}")
    assert figures.to_json(found)["notes"] == list(found.notes)


def test_classes_that_were_not_trained_on_have_no_votes_and_it_is_said():
    found = measure(gallery_labels=np.full(60, 9), class_vectors=VECTORS)
    for name in report.GROUPS["classification"]:
        assert name not in found.metrics and name not in found.per_query
    assert found.notes == (
        "no knn_accuracy or classifier_accuracy: no train image is of a class of this split",
    )
    assert found.notes[0] in report.table(found)


def test_a_calibration_is_judged_by_what_it_predicted():
    x, labels = make()
    fit = fitted()
    found = measure(calibration=fit)
    cosines = x @ x.T
    nearest = neighbors.top_k(x, x, k=10, exclude=np.arange(60)).rows
    # As the figure has it: a cosine counts as its bin's middle.
    binned = bins.centers()[bins.of(np.take_along_axis(cosines, nearest, axis=1))]
    predicted = fit.probability(binned)
    mean_gap = predicted.mean() - np.mean(labels[nearest] == labels[:, None])
    # The mean of the gaps is at least the gap of the means.
    error = found.metrics["calibration_error"].value
    assert abs(mean_gap) - 1e-9 <= error < 0.2
    assert found.metrics["calibration_error"].value == found.calibrated.reliability.error
    off = ~np.eye(60, dtype=bool)
    is_same = (labels[:, None] == labels)[off]
    above = cosines[off] > fit.threshold(0.05)
    assert found.metrics["threshold"].value == fit.threshold(0.05)
    assert found.metrics["false_match_rate"].value == pytest.approx(above[~is_same].mean())
    assert found.metrics["false_non_match_rate"].value == pytest.approx(1 - above[is_same].mean())
    assert measure().calibrated is None and "threshold" not in measure().metrics


def test_one_class_and_two_images_are_measured_as_far_as_they_can_be():
    x = np.eye(2, dtype=np.float32)[[0, 0, 1]]
    gallery = {"gallery": x, "gallery_labels": np.zeros(3, int)}
    found = evaluate.measure(
        x, np.array([0, 0, 1]), **gallery, class_names=NAMES, options=OPTIONS, calibration=fitted()
    )
    assert found.metrics["recall_at_1"].value == 1
    assert "open_set_auroc" not in found.metrics


def test_the_stored_form_holds_every_figure():
    found = measure(calibration=fitted())
    stored = json.loads(json.dumps(figures.to_json(found, version=3)))
    assert stored["version"] == 3 and stored["num_queries"] == 59
    assert set(stored["metrics"]) == set(found.metrics)
    assert set(stored["metrics"]["recall_at_1"]) == {"value", "low", "high"}
    assert stored["metrics"]["nmi"]["low"] is None
    assert stored["calibration"] == {
        "method": "isotonic",
        "num_same": found.calibrated.calibration.num_same,
        "num_different": found.calibrated.calibration.num_different,
        "false_match_rate": 0.05,
        "threshold": found.calibrated.threshold,
    }
    assert len(stored["reliability"]["predicted"]) == 15


def test_the_table_shows_every_figure_once_in_its_group():
    found = measure(calibration=fitted(), class_vectors=VECTORS)
    beside = {name: bootstrap.Interval(i / 100) for i, name in enumerate(found.metrics)}
    lines = report.table(found, beside).splitlines()
    groups = [line.strip() for line in lines if not line.startswith("    ")]
    assert groups == list(report.GROUPS)
    names = [line.split()[0] for line in lines if line.startswith("    ")]
    assert sorted(names) == sorted(found.metrics)
    for line in lines:
        if line.startswith("    "):
            name, value, *interval, beside_it = line.replace("lower is better", "").split()
            shown = found.metrics[name]
            assert (value, beside_it) == (f"{shown.value:.4f}", f"{beside[name].value:.4f}")
            bounds = [] if shown.low is None else [f"[{shown.low:.4f},", f"{shown.high:.4f}]"]
            assert interval == [*bounds, "raw", "pixels"]
            assert ("lower is better" in line) == (name in report.LOWER_IS_BETTER)
    assert names.index("eer") > names.index("classifier_accuracy")
    assert not set(report.LOWER_IS_BETTER) - set(found.metrics)
