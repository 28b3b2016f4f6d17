import threading

import numpy as np
import pytest

from simsearch import errors
from simsearch.data import augment, pipeline, sampling
from simsearch.data import corrupt as corrupt_lib
from tests.data import sets

STRONG = augment.Augmentation(crop_scale_min=0.5, horizontal_flip=0.5, brightness=0.3)


def batches(split, *, tmp_path="", **changes):
    options = {
        "sample_rows": sampling.classes_by_samples(
            split.labels, seed=3, batch_size=6, samples_per_class=2
        ),
        "seed": 3,
        "start_step": 0,
        "num_steps": 5,
        "image_size": 10,
        "resize_mode": "squash",
        "resize_size": 12,
        "max_pixels": 10_000,
        "augmentation": STRONG,
        "cache": "none",
        "cache_dir": str(tmp_path),
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


def test_hosts_take_consecutive_parts_of_the_same_batch():
    split = sets.make_split()
    whole = list(batches(split))
    parts = [list(batches(split, shard=(i, 2))) for i in range(2)]
    for batch, *halves in zip(whole, *parts, strict=True):
        for array, *pieces in zip(batch, *halves, strict=True):
            np.testing.assert_array_equal(np.concatenate(pieces), array)


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
