import threading

import numpy as np
import pytest

from simsearch import errors
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import pipeline, sampling
from simsearch.data.augmentation import augment, erasing, policies
from simsearch.data.decoding import images
from tests.data import sets

STRONG = augment.Augmentation(crop_scale_min=0.5, horizontal_flip=0.5, brightness=0.3)


def batches(split, *, tmp_path="", cache="none", **changes):
    load = pipeline.loader(
        split,
        resize_mode="squash",
        resize_size=12,
        max_pixels=10_000,
        cache=cache,
        cache_dir=str(tmp_path),
    )
    options = {
        "load": load,
        "sample_rows": sampling.classes_by_samples(
            split.labels, seed=3, batch_size=6, samples_per_class=2
        ),
        "seed": 3,
        "start_step": 0,
        "num_steps": 5,
        "image_size": 10,
        "augmentation": STRONG,
        "on_corrupt": "skip",
        "corrupt": corrupt_lib.CorruptLog(),
    }
    return pipeline.train_batches(split, **options | changes)


def assert_equal(found, expected):
    found, expected = list(found), list(expected)
    assert len(found) == len(expected)
    for one, two in zip(found, expected, strict=True):
        for array, other in zip(one, two, strict=True):
            np.testing.assert_array_equal(array, other)


def test_batches_hold_the_sampled_rows():
    split = sets.make_split()
    sample = sampling.classes_by_samples(split.labels, seed=3, batch_size=6, samples_per_class=2)
    plain = batches(split, augmentation=augment.Augmentation(), image_size=12)
    for step, batch in enumerate(plain):
        rows = sample(step)
        assert batch.images.dtype == np.uint8 and batch.labels.dtype == np.int32
        np.testing.assert_array_equal(batch.labels, split.labels[rows])
        np.testing.assert_array_equal(batch.images, [sets.picture(int(row)) for row in rows])
        assert batch.valid.all()
    assert step == 4


@pytest.mark.parametrize("cache", ["none", "ram", "disk"])
def test_a_batch_depends_on_seed_and_step_alone(tmp_path, cache):
    split = sets.make_split(broken=(5,))
    straight = list(batches(split))
    resumed = batches(split, start_step=2, num_steps=3, cache=cache, tmp_path=tmp_path)
    assert_equal(resumed, straight[2:])
    other = list(batches(split, seed=4))
    assert not np.array_equal(other[0].images, straight[0].images)


def test_an_image_made_in_another_way_is_not_taken_from_the_disk_cache(tmp_path):
    split = sets.make_split(read=lambda row: images.encode_png(sets.picture(row, 18)[:12]))

    def load(**changes):
        options = {"resize_mode": "squash", "resize_size": 8, "max_pixels": 1000}
        options |= {"cache": "disk", "cache_dir": str(tmp_path)}
        return pipeline.loader(split, **options | changes)(0)

    first = load()
    np.testing.assert_array_equal(load(), first)
    for change in ({"resize_mode": "short_side"}, {"resize_size": 9}, {"interpolation": "bicubic"}):
        expected = images.decode(
            split.read(0),
            **{"resize_mode": "squash", "resize_size": 8, "max_pixels": 1000} | change,
        )
        np.testing.assert_array_equal(load(**change), expected)
        assert not np.array_equal(expected, first)
    with pytest.raises(errors.CorruptImage):
        load(max_pixels=100)


def test_an_unreadable_image_is_marked_named_and_replaced_by_one_of_its_batch():
    log = corrupt_lib.CorruptLog()
    split = sets.make_split(broken=(0, 1, 9))
    num_bad = 0
    for batch in batches(split, num_steps=8, corrupt=log):
        bad = np.flatnonzero(~batch.valid)
        num_bad += len(bad)
        first = batch.images[np.argmax(batch.valid)]
        for i in bad:
            np.testing.assert_array_equal(batch.images[i], first)
    assert num_bad >= 3 and list(log.reasons) == ["image 0", "image 1", "image 9"]


def test_a_batch_without_any_readable_image_is_marked():
    split = sets.make_split(broken=range(24))
    assert not any(batch.valid.any() for batch in batches(split))


def test_fail_stops_with_the_name_in_one_line():
    with pytest.raises(errors.RunError, match=r"image \d+ .*on_corrupt=skip") as caught:
        list(batches(sets.make_split(broken=range(24)), on_corrupt="fail"))
    assert "\n" not in str(caught.value)


def test_a_file_deleted_meanwhile_is_named():
    def read(row):
        if row == 7:
            raise FileNotFoundError(2, "No such file or directory", "gone.jpg")
        return sets.png(row)

    log = corrupt_lib.CorruptLog()
    found = list(batches(sets.make_split(read=read), corrupt=log, num_steps=8))
    assert not all(batch.valid.all() for batch in found) and list(log.reasons) == ["image 7"]


def test_any_other_failure_comes_through_as_it_is():
    def read(row):
        raise errors.RunError("the hub went away")

    with pytest.raises(errors.RunError, match="^the hub went away$"):
        list(batches(sets.make_split(read=read)))


def test_stopping_early_ends_the_threads():
    before = threading.active_count()
    stream = batches(sets.make_split(), num_steps=1000)
    next(stream)
    stream.close()
    assert threading.active_count() <= before + 1


def test_no_step_is_no_batch():
    assert list(batches(sets.make_split(), num_steps=0)) == []


def test_mixup_mixes_the_images_of_a_batch_by_the_weights_it_tells():
    split = sets.make_split(broken=(5,))
    plain = list(batches(split, num_steps=8))
    mixed = list(batches(split, num_steps=8, mixup_alpha=0.4))
    assert_equal(batches(split, start_step=3, num_steps=5, mixup_alpha=0.4), mixed[3:])
    num_mixed = num_broken = 0
    for step, (batch, own) in enumerate(zip(mixed, plain, strict=True)):
        partners, _ = sampling.mixup(seed=3, step=step, batch_size=6, alpha=0.4)
        np.testing.assert_array_equal(batch.labels, own.labels)
        np.testing.assert_array_equal(batch.valid, own.valid)
        assert batch.mixed_labels.dtype == np.int32 and batch.mix_weights.dtype == np.float32
        for i, partner in enumerate(partners):
            share = batch.mix_weights[i]
            if share == 1:
                assert batch.mixed_labels[i] == batch.labels[i]
                np.testing.assert_array_equal(batch.images[i], own.images[i])
                continue
            assert 0.5 <= share and own.valid[i] and own.valid[partner] and partner != i
            assert batch.mixed_labels[i] == own.labels[partner]
            expected = share * own.images[i] + (1.0 - share) * own.images[partner]
            assert np.abs(batch.images[i] - expected).max() < 0.51
            num_mixed += 1
        num_broken += np.sum(~batch.valid)
    assert num_mixed > 20 and num_broken > 0


def test_everything_switched_on_repeats_whatever_the_threads_do():
    everything = STRONG._replace(
        rotation_degrees=10.0,
        policy=policies.Policy("trivial", 2, 30, 0.99, 0.14, 135.0, 0.99, 6),
        erasing=erasing.Erasing(0.5, 0.02, 0.3, 3.0),
    )
    split = sets.make_split()
    one, two = (
        list(batches(split, augmentation=everything, mixup_alpha=0.2, num_steps=6))
        for _ in range(2)
    )
    assert_equal(one, two)
    assert len({batch.images.tobytes() for batch in one}) == 6
