import numpy as np
import pytest

from simsearch import errors
from simsearch.data import sampling, streams

LABELS = np.array([0] * 10 + [1] * 7 + [2] * 3 + [3] * 9)


def classes_by_samples(labels=LABELS, **changes):
    options = {"seed": 0, "batch_size": 12, "samples_per_class": 4}
    return sampling.classes_by_samples(labels, **options | changes)


def test_a_batch_is_p_classes_by_k_samples():
    sample = classes_by_samples()
    for step in range(50):
        labels = LABELS[sample(step)].reshape(3, 4)
        assert np.all(labels == labels[:, :1])
        assert len(set(labels[:, 0].tolist())) == 3


# Classes, slots: fewer, as many and more slots than classes, with and without a common divisor.
SHAPES = [(20, 8), (7, 3), (4, 4), (3, 8), (2, 4), (6, 10), (5, 13)]


@pytest.mark.parametrize(("num_classes", "num_slots"), SHAPES)
def test_no_class_comes_twice_more_than_another_and_no_row_twice(num_classes, num_slots):
    labels = np.repeat(np.arange(num_classes), 2 * num_slots + 1)
    sample = classes_by_samples(labels, batch_size=2 * num_slots, samples_per_class=2)
    for step in range(60):
        rows = sample(step)
        assert len(set(rows.tolist())) == len(rows)
        counts = np.bincount(labels[rows][::2], minlength=num_classes)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(("num_classes", "num_slots"), SHAPES)
def test_visits_of_a_class_are_counted_as_a_loop_over_the_steps_counts_them(num_classes, num_slots):
    visits = sampling._class_visits(num_classes, num_slots, seed=0)
    seen = [0] * num_classes
    for step in range(60):
        for number, visit in visits(step):
            assert visit == seen[number]
            seen[number] += 1
    assert max(seen) - min(seen) <= 1


def test_a_class_smaller_than_a_batch_repeats_as_few_rows_as_it_can():
    labels = np.repeat([0, 1], [10, 30])
    sample = classes_by_samples(labels, batch_size=24, samples_per_class=4)
    for step in range(20):
        rows = sample(step)
        assert len(set(rows[labels[rows] == 0].tolist())) == 10
        assert len(set(rows[labels[rows] == 1].tolist())) == 12


def test_an_epoch_shows_nearly_all_images():
    labels = np.repeat(np.arange(9), 25)
    sample = classes_by_samples(labels, batch_size=20)
    # 6 visits of 4 images are a pass of 25: one image of each class is left over.
    seen = {row for step in range(-(-len(labels) // 20)) for row in sample(step).tolist()}
    assert len(seen) > 0.95 * len(labels)


def test_a_round_of_slots_visits_every_class_once():
    sample = classes_by_samples(batch_size=16)
    for step in range(20):
        assert sorted(LABELS[sample(step)][::4]) == [0, 1, 2, 3]


def test_no_image_twice_in_a_slot_unless_the_class_is_too_small():
    sample = classes_by_samples()
    for step in range(50):
        for rows in sample(step).reshape(3, 4):
            size = np.sum(LABELS == LABELS[rows[0]])
            assert len(set(rows.tolist())) == min(4, size)


def test_a_pass_shows_every_image_before_any_comes_again():
    labels = np.repeat([0, 1, 2], 8)
    sample = classes_by_samples(labels, batch_size=12)
    # 8 images of each class, 4 at a time: two steps are one pass.
    for a_pass in range(5):
        rows = np.concatenate([sample(2 * a_pass), sample(2 * a_pass + 1)])
        assert sorted(rows.tolist()) == list(range(24))


def test_the_images_of_a_class_come_in_another_order_in_each_pass_and_for_each_seed():
    labels = np.repeat([0, 1], 16)
    orders = set()
    for seed in (0, 1):
        sample = classes_by_samples(labels, seed=seed, batch_size=8)
        rows = np.concatenate([sample(step) for step in range(12)])
        orders |= {tuple(order) for order in rows[labels[rows] == 0].reshape(3, 16).tolist()}
    assert len(orders) == 6


@pytest.mark.parametrize("num_slots", [8, 20])
def test_classes_come_in_another_order_in_each_batch_and_for_each_seed(num_slots):
    orders = set()
    for seed in (0, 1):
        visits = sampling._class_visits(20, num_slots, seed=seed)
        orders |= {tuple(number for number, _ in visits(step)) for step in range(40)}
    assert len(orders) == 80


def test_fewer_classes_than_slots_come_again():
    sample = classes_by_samples(np.repeat([0, 1], 20), batch_size=16)
    counts = np.bincount(np.repeat([0, 1], 20)[sample(0)])
    assert counts.tolist() == [8, 8]


@pytest.mark.parametrize("make", [classes_by_samples, lambda **k: triplets(**k)])
def test_a_batch_depends_on_seed_and_step_alone(make):
    first, again, other = make(), make(), make(seed=1)
    forwards = [first(step) for step in range(6)]
    backwards = [again(step) for step in reversed(range(6))][::-1]
    for one, two in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(not np.array_equal(rows, other(step)) for step, rows in enumerate(forwards))
    assert len({rows.tobytes() for rows in forwards}) == 6


def triplets(labels=LABELS, *, seed=0, batch_size=30):
    return sampling.triplets(labels, seed=seed, batch_size=batch_size)


def test_triplets_are_anchor_positive_negative():
    labels = np.append(LABELS, 4)  # one image of its own class: a negative only
    sample = triplets(labels)
    seen_lonely = False
    for step in range(100):
        for anchor, positive, negative in sample(step).reshape(-1, 3):
            assert anchor != positive and labels[anchor] == labels[positive]
            assert labels[negative] != labels[anchor]
            assert labels[anchor] != 4
            seen_lonely |= labels[negative] == 4
    assert seen_lonely


def test_every_pair_of_a_class_is_drawn_about_as_often():
    rng = np.random.default_rng(0)
    anchorable, draw = sampling.triplet_drawer(np.array([0, 1, 0, 0, 1, 1]))
    np.testing.assert_array_equal(anchorable, range(6))
    anchors = rng.choice(anchorable, 30_000)
    positives, negatives = draw(rng, anchors)
    for pair in ((0, 2), (0, 3), (2, 0), (1, 4), (5, 1)):
        # 12 ordered pairs of equal probability: 2,500 expected, 48 the standard deviation.
        assert abs(np.sum((anchors == pair[0]) & (positives == pair[1])) - 2500) < 250
    assert np.bincount(negatives, minlength=6).min() > 4500


@pytest.mark.parametrize("make", [classes_by_samples, triplets])
def test_one_class_is_refused(make):
    with pytest.raises(errors.UsageError, match="at least 2 classes.* 1 "):
        make(np.zeros(10, int))


def test_augment_seeds_differ_by_image_step_and_seed():
    seeds = [
        sampling.augment_seeds(seed=seed, step=step, batch_size=5)
        for seed in (0, 1)
        for step in (0, 1)
    ]
    assert all(array.shape == (5, 2) and array.dtype == np.int32 for array in seeds)
    assert len({row.tobytes() for array in seeds for row in array}) == 20
    np.testing.assert_array_equal(seeds[0], sampling.augment_seeds(seed=0, step=0, batch_size=5))


def test_mixup_shares_follow_the_folded_beta_distribution():
    shares = np.concatenate(
        [sampling.mixup(seed=0, step=step, batch_size=50, alpha=0.4)[1] for step in range(200)]
    )
    assert shares.dtype == np.float32 and shares.min() >= 0.5 and shares.max() <= 1
    # max(x, 1 - x) of Beta(0.4, 0.4), by another generator.
    drawn = np.random.default_rng(1).beta(0.4, 0.4, 200_000)
    quantiles = np.linspace(0.05, 0.95, 19)
    expected = np.quantile(np.maximum(drawn, 1 - drawn), quantiles)
    np.testing.assert_allclose(np.quantile(shares, quantiles), expected, atol=0.015)


def test_no_two_purposes_share_a_stream():
    numbers = [number for name, number in vars(streams).items() if name.isupper()]
    assert len(set(numbers)) == len(numbers) == 8


def test_mixup_partners_are_a_permutation_and_alpha_0_mixes_nothing():
    partners, _ = sampling.mixup(seed=0, step=3, batch_size=50, alpha=1.0)
    assert sorted(partners.tolist()) == list(range(50)) and np.sum(partners == range(50)) < 5
    other, _ = sampling.mixup(seed=0, step=4, batch_size=50, alpha=1.0)
    assert not np.array_equal(partners, other)
    partners, shares = sampling.mixup(seed=0, step=3, batch_size=5, alpha=0.0)
    assert partners.tolist() == list(range(5)) and shares.tolist() == [1.0] * 5
