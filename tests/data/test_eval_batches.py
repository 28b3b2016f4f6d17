import subprocess
import sys
import threading
from concurrent import futures

import numpy as np
import pytest

from simsearch import errors
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import eval_batches
from simsearch.data.decoding import images
from tests.data import sets

OPTIONS = {
    "image_size": 12,
    "resize_mode": "squash",
    "resize_size": 12,
    "max_pixels": 10_000,
    "num_threads": 2,
}


def batches(split, batch_size=5, on_corrupt="skip"):
    log = corrupt_lib.CorruptLog()
    found = list(
        eval_batches.eval_batches(
            split, batch_size=batch_size, on_corrupt=on_corrupt, corrupt=log, **OPTIONS
        )
    )
    return found, log


@pytest.mark.parametrize("num_rows", [1, 5, 12])
def test_every_row_comes_in_order_and_unchanged(num_rows):
    split = sets.make_split(num_rows)
    found, log = batches(split)
    assert len(found) == -(-num_rows // 5) and not len(log)
    assert all(batch.images.shape == (5, 12, 12, 3) for batch in found)
    images, labels, valid = (
        np.concatenate(column) for column in list(zip(*found, strict=True))[:3]
    )
    assert all(batch.mixed_labels is batch.mix_weights is None for batch in found)
    assert valid.tolist() == [True] * num_rows + [False] * (len(valid) - num_rows)
    np.testing.assert_array_equal(labels[:num_rows], split.labels)
    for row in range(num_rows):
        np.testing.assert_array_equal(images[row], sets.picture(row))


def test_two_views_of_an_image_are_two_times_three_channels(monkeypatch):
    monkeypatch.setitem(OPTIONS, "resize_mode", "both")
    found, log = batches(sets.make_split(6, broken=(2,)))
    assert [batch.images.shape for batch in found] == [(5, 12, 12, 6)] * 2
    assert list(log.reasons) == ["image 2"] and not found[0].images[2].any()
    # The pictures are square: both views are the whole.
    for view in (slice(0, 3), slice(3, 6)):
        np.testing.assert_array_equal(found[1].images[0, ..., view], sets.picture(5))


def test_images_are_resized_in_the_way_that_is_asked_for(monkeypatch):
    for name, value in {"resize_size": 9, "image_size": 8, "interpolation": "bicubic"}.items():
        monkeypatch.setitem(OPTIONS, name, value)
    (batch,), _ = batches(sets.make_split(5))
    options = {name: value for name, value in OPTIONS.items() if name != "num_threads"}
    for row, image in enumerate(batch.images):
        np.testing.assert_array_equal(image, images.load_for_eval(sets.png(row), **options))


def test_unreadable_rows_are_marked_and_named():
    def read(row):
        if row == 4:
            raise FileNotFoundError(2, "No such file", "gone.jpg")
        return sets.png(row)

    found, log = batches(sets.make_split(8, broken=(2,), read=read))
    valid = np.concatenate([batch.valid for batch in found])
    assert np.flatnonzero(~valid[:8]).tolist() == [2, 4]
    assert list(log.reasons) == ["image 2", "image 4"]


def test_fail_stops_with_the_name():
    with pytest.raises(errors.RunError, match="image 2 .*on_corrupt=skip"):
        batches(sets.make_split(8, broken=(2,)), on_corrupt="fail")


def test_no_more_than_two_batches_are_read_ahead():
    started = []

    def read(row):
        started.append(row)
        return sets.png(row)

    log = corrupt_lib.CorruptLog()
    stream = eval_batches.eval_batches(
        sets.make_split(100, read=read), batch_size=4, on_corrupt="skip", corrupt=log, **OPTIONS
    )
    next(stream)
    stream.close()
    assert len(started) <= 8


def test_what_was_read_ahead_is_dropped_where_nobody_asks_for_it(monkeypatch):
    started, is_closed = [], threading.Event()

    class Pool(futures.ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            is_closed.set()
            super().shutdown(wait=wait)

    def read(row):
        started.append(row)
        assert row < 4 or is_closed.wait(60)
        return sets.png(row)

    monkeypatch.setattr(eval_batches, "ThreadPoolExecutor", Pool)
    log = corrupt_lib.CorruptLog()
    stream = eval_batches.eval_batches(
        sets.make_split(100, read=read), batch_size=4, on_corrupt="skip", corrupt=log, **OPTIONS
    )
    next(stream)
    stream.close()
    # Beside the first batch, what the two threads were at.
    assert len(started) <= 6


def test_what_search_needs_does_not_import_tensorflow():
    code = (
        "import sys, simsearch, simsearch.data.eval_batches, simsearch.data.sampling\n"
        "import simsearch.data.batch, simsearch.retrieval.embed, simsearch.commands.evaluation\n"
        "names = 'tensorflow', 'tensorflow_datasets', 'datasets', 'matplotlib', 'torch'\n"
        "print([name for name in names if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr
