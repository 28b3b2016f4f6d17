import tracemalloc

import numpy as np
import pytest

from simsearch import errors
from simsearch.data import balanced, sampling
from tests.data import sets

# A long tail: classes of 1, 2, 3, 5, 10, 30, 100 and 1,000 images.
SIZES = (1, 2, 3, 5, 10, 30, 100, 1000)
TAILED = np.repeat(np.arange(len(SIZES)), SIZES)


def hard(labels=TAILED, **changes):
    options = {"seed": 0, "batch_size": 16, "samples_per_class": 4}
    return balanced.hard_classes(
        labels, **options | {"hard_fraction": 0.5, "confusion": None} | changes
    )


def class_balanced(labels=TAILED, **changes):
    return balanced.class_balanced(labels, **{"seed": 0, "batch_size": 16} | changes)


def classes_by_samples(labels=TAILED, **changes):
    options = {"seed": 0, "batch_size": 16, "samples_per_class": 4}
    return sampling.classes_by_samples(labels, **options | changes)


def triplets(labels=TAILED, **changes):
    return sampling.triplets(labels, **{"seed": 0, "batch_size": 15} | changes)


every_sampler = pytest.mark.parametrize(
    "make", [hard, class_balanced, classes_by_samples, triplets], ids=lambda make: make.__name__
)


@every_sampler
def test_a_long_tail_is_sampled_and_the_step_alone_decides(make):
    first, again, other = make(), make(), make(seed=1)
    forwards = [first(step) for step in range(40)]
    backwards = [again(step) for step in reversed(range(40))][::-1]
    for rows, same in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(rows, same)
        assert len(rows) in (15, 16) and rows.dtype == np.int64
        assert rows.min() >= 0 and rows.max() < len(TAILED)
    assert any(not np.array_equal(rows, other(step)) for step, rows in enumerate(forwards))
    seen = set(TAILED[np.concatenate(forwards)])
    assert seen >= ({7} if make is triplets else set(range(1, 8)))


@every_sampler
def test_a_row_comes_twice_in_a_batch_only_where_its_class_is_too_small(make):
    if make is triplets:
        pytest.skip("an image may be in two triplets")
    for step in range(60):
        rows = make()(step)
        for label in np.unique(TAILED[rows]):
            own = rows[TAILED[rows] == label]
            assert len(set(own.tolist())) == min(len(own), SIZES[label])
            # As equally often as can be.
            assert np.ptp(np.unique(own, return_counts=True)[1]) <= 1


@pytest.mark.parametrize("make", [hard, classes_by_samples])
def test_a_class_with_one_image_fills_its_samples_with_it(make):
    sample = make()
    batches = [rows for step in range(60) if 0 in (rows := sample(step))]
    assert batches and all(np.sum(rows == 0) == 4 for rows in batches)


def test_images_are_drawn_with_a_probability_inverse_to_their_classes_size():
    sample = class_balanced(batch_size=20)
    rows = np.concatenate([sample(step) for step in range(2000)])
    # 5,000 of each class expected, 66 the standard deviation.
    assert np.abs(np.bincount(TAILED[rows]) - 5000).max() < 330
    counts = np.bincount(rows, minlength=len(TAILED))
    for label, size in enumerate(SIZES[:6]):
        own = counts[TAILED == label]
        assert np.abs(own - 5000 / size).max() < 5 * np.sqrt(5000 / size) + 1
    assert np.abs(counts[TAILED == 7] - 5).max() < 20


@pytest.mark.parametrize("batch_size", [1, 2, 7, 64, 3000])
def test_a_balanced_batch_may_have_any_size(batch_size):
    assert class_balanced(batch_size=batch_size)(3).shape == (batch_size,)


def confusion_of(pairs, num_classes=20, queries=50):
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.fill_diagonal(counts, queries)
    for i, j, count in pairs:
        counts[i, j] += count
    return counts


def together(sample, one, two, num_steps=600):
    """Returns how often two classes are in a batch, of the batches that hold the first."""
    batches = [set(LEVEL[sample(step)].tolist()) for step in range(num_steps)]
    with_one = [batch for batch in batches if one in batch]
    return np.mean([two in batch for batch in with_one])


LEVEL = np.repeat(np.arange(20), 12)


def test_confused_classes_come_together_and_others_as_by_chance():
    confusion = confusion_of([(3, 8, 30), (12, 15, 9), (15, 12, 3)])
    chance = hard(LEVEL)
    sample = hard(LEVEL, confusion=sets.counts_of(confusion))
    # 3 others out of 19 by chance.
    assert 0.08 < together(chance, 3, 8) < 0.25
    # The one that is drawn freely brings the other along, whichever way round it was confused.
    assert together(sample, 3, 8) > 0.8 and together(sample, 8, 3) > 0.8
    assert together(sample, 12, 15) > 0.8
    assert together(sample, 0, 1) < 0.3
    visits = np.bincount(np.concatenate([LEVEL[sample(step)] for step in range(600)]))
    assert visits.min() > 0.4 * visits.mean()


def test_confusions_weigh_by_the_share_of_a_classes_queries():
    # Class 0 was taken for 1 in 30 of 300 queries, for 2 in 10 of 20 the other way round.
    confusion = confusion_of([(0, 1, 30)])
    confusion[0, 0], confusion[2, 2], confusion[2, 0] = 270, 10, 10
    sample = hard(LEVEL, confusion=sets.counts_of(confusion), batch_size=8)
    batches = [set(LEVEL[sample(step)].tolist()) for step in range(1500)]
    counts = [sum(0 in batch and other in batch for batch in batches) for other in (1, 2)]
    assert counts[1] > 1.2 * counts[0] > 60


def test_the_fraction_says_how_many_are_drawn_freely():
    confusion = confusion_of([(i, i + 1, 40) for i in range(0, 20, 2)])
    pairs = {}
    for fraction in (0.0, 0.5, 1.0):
        sample = hard(LEVEL, confusion=sets.counts_of(confusion), hard_fraction=fraction)
        pairs[fraction] = np.mean([together(sample, i, i + 1, 150) for i in range(0, 20, 2)])
    assert pairs[0.0] < 0.3 and pairs[0.5] > 0.9 and pairs[1.0] > 0.7


def test_a_batch_is_p_classes_by_k_samples():
    confusion = confusion_of([(3, 8, 30)])
    for step in range(30):
        labels = LEVEL[hard(LEVEL, confusion=sets.counts_of(confusion))(step)].reshape(4, 4)
        assert np.all(labels == labels[:, :1]) and len(set(labels[:, 0].tolist())) == 4


def test_more_slots_than_classes_take_all_and_the_confused_once_more():
    labels = np.repeat(np.arange(5), 30)
    confusion = confusion_of([(0, 3, 40)], num_classes=5)
    sample = hard(labels, confusion=sets.counts_of(confusion), batch_size=28)
    extra = [np.flatnonzero(np.bincount(labels[sample(step)]) == 8).tolist() for step in range(200)]
    assert all(len(two) == 2 for two in extra)
    # Both where the free one is either, which is 2 in 5; 1 in 10 by chance.
    assert 0.3 < np.mean([two == [0, 3] for two in extra]) < 0.5


def test_classes_without_a_training_image_are_never_drawn():
    labels = np.repeat([1, 4, 6], 10)
    confusion = confusion_of([(1, 0, 40), (1, 4, 5)], num_classes=8)
    sample = hard(labels, confusion=sets.counts_of(confusion), batch_size=8)
    drawn = np.concatenate([labels[sample(step)] for step in range(50)])
    assert set(drawn.tolist()) == {1, 4, 6}


def test_memory_grows_with_the_confusions_and_not_with_the_square_of_the_classes():
    confusion = sets.counts_of_many()
    tracemalloc.start()
    try:
        hard(np.repeat(np.arange(4000), 2), confusion=confusion)(0)
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("make", [hard, class_balanced])
def test_one_class_is_refused(make):
    with pytest.raises(errors.UsageError, match="at least 2 classes"):
        make(np.zeros(10, int))
