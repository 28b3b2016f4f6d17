import numpy as np
import pytest
from sklearn import metrics

from simsearch.retrieval.metrics import open_set
from tests.retrieval.metrics import sets

OPTIONS = {"num_bootstrap": 100, "confidence": 0.95, "seed": 0}
SCORE = {"num_folds": 3, "max_pairs": 10**7, "seed": 0}


def make(num=50):
    embeddings, labels = sets.make(num=num, classes=6)
    labels[0] = 9  # Alone in its class.
    return embeddings, labels


@pytest.mark.parametrize("block_size", [7, None])
def test_a_query_has_its_highest_cosine_with_a_gallery_that_lacks_the_held_out_classes(block_size):
    embeddings, labels = make()
    found = open_set.score(embeddings, labels, block_size=block_size, **SCORE)
    cosines = embeddings @ embeddings.T
    held_out = []
    for f in range(3):
        missing = set(labels[found.is_unknown[:, f]].tolist())
        held_out += sorted(missing)
        gallery = [j for j in range(50) if labels[j] not in missing]
        for i in range(50):
            others = [j for j in gallery if j != i]
            assert found.highest[i, f] == pytest.approx(max(cosines[i, j] for j in others))
            assert found.is_unknown[i, f] == (labels[i] in missing)
            assert found.is_known[i, f] == any(labels[j] == labels[i] for j in others)
    assert sorted(held_out) == sorted(set(labels.tolist()))


def test_figures_are_means_over_the_folds():
    # With fewer, 94 and 96 % would be as many queries as 95.
    found = open_set.score(*make(num=200), **SCORE)
    areas, rates = [], []
    for f in range(3):
        known = found.highest[found.is_known[:, f], f]
        unknown = found.highest[found.is_unknown[:, f], f]
        kinds = np.repeat([1, 0], [len(known), len(unknown)])
        areas.append(metrics.roc_auc_score(kinds, np.concatenate([known, unknown])))
        threshold = max(cosine for cosine in known if np.mean(known >= cosine) >= 0.95)
        rates.append(np.mean(unknown >= threshold))
    measured = open_set.measure(found, **OPTIONS)
    assert measured["open_set_auroc"].value == pytest.approx(np.mean(areas), abs=1e-4)
    assert measured["fpr_at_95_tpr"].value == pytest.approx(np.mean(rates), abs=1e-9)
    for interval in measured.values():
        assert interval.low <= interval.value <= interval.high


def test_nothing_similar_is_told_where_no_cosine_is_above_the_threshold():
    found = open_set.score(*make(), **SCORE)
    told = open_set.nothing_similar(found, threshold=0.8, **OPTIONS)
    own = [found.highest[i, f] for i, f in zip(*np.nonzero(found.is_unknown), strict=True)]
    assert told["nothing_similar_unknown"].value == pytest.approx(np.mean(np.array(own) <= 0.8))
    shares = [
        np.mean(found.highest[i, found.is_known[i]] <= 0.8)
        for i in range(50)
        if found.is_known[i].any()
    ]
    assert told["nothing_similar_known"].value == pytest.approx(np.mean(shares))


def test_classes_far_apart_are_told_apart_and_folds_follow_the_seed():
    labels = np.repeat(np.arange(6), 4)
    embeddings = np.eye(6, dtype=np.float32)[labels]
    measured = open_set.measure(open_set.score(embeddings, labels, **SCORE), **OPTIONS)
    assert measured == {"open_set_auroc": (1, 1, 1), "fpr_at_95_tpr": (0, 0, 0)}
    folds = [
        open_set.score(embeddings, labels, **SCORE | {"seed": seed}).is_unknown
        for seed in (0, 0, 1, 2)
    ]
    assert np.array_equal(folds[0], folds[1])
    assert not all(np.array_equal(folds[0], other) for other in folds[2:])


def test_queries_are_drawn_where_there_are_too_many_pairs():
    embeddings, labels = make()
    found = open_set.score(embeddings, labels, **SCORE | {"max_pairs": 49 * 10})
    assert found.highest.shape == found.is_known.shape == (10, 3)


def test_a_fold_without_unknown_queries_is_left_out():
    embeddings, labels = make()
    found = open_set.score(embeddings, labels, **SCORE)
    is_unknown = found.is_unknown.copy()
    is_unknown[:, 1] = False
    others = open_set.Scores(*(each[:, [0, 2]] for each in found))
    drawn = open_set.measure(found._replace(is_unknown=is_unknown), **OPTIONS)
    assert drawn == open_set.measure(others, **OPTIONS)
    assert np.isfinite(drawn["open_set_auroc"].value)
    none = found._replace(is_unknown=np.zeros_like(is_unknown))
    assert open_set.measure(none, **OPTIONS) == {}


def test_one_class_and_classes_of_one_image_have_no_figures():
    embeddings, labels = make()
    assert open_set.score(embeddings, np.zeros(50, int), **SCORE) is None
    alone = open_set.score(embeddings, np.arange(50), **SCORE)
    assert open_set.measure(alone, **OPTIONS) == {}
    told = open_set.nothing_similar(alone, threshold=0.5, **OPTIONS)
    assert list(told) == ["nothing_similar_unknown"]
    two = open_set.score(embeddings[:3], np.array([0, 0, 1]), **SCORE)
    assert open_set.measure(two, **OPTIONS) == {}
