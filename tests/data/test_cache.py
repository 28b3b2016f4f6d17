import errno
import os
import threading
from concurrent import futures

import numpy as np
import pytest

from simsearch import errors
from simsearch.data import cache
from tests.data import sets


class Counter:
    """Loads pictures and counts how often."""

    def __init__(self):
        self.rows = []

    def __call__(self, row):
        self.rows.append(row)
        if row == 9:
            raise errors.CorruptImage("no image")
        return sets.picture(row)


@pytest.mark.parametrize(("kind", "times"), [("none", 2), ("ram", 1), ("disk", 1)])
def test_what_was_loaded_is_kept(tmp_path, kind, times):
    load = Counter()
    cached = cache.cached(load, kind, directory=str(tmp_path), key="a")
    for _ in range(2):
        np.testing.assert_array_equal(cached(3), sets.picture(3))
    assert load.rows == [3] * times
    for _ in range(2):
        with pytest.raises(errors.CorruptImage):
            cached(9)


def test_the_disk_cache_serves_another_process_and_no_other_key(tmp_path):
    first, second, other = Counter(), Counter(), Counter()
    cache.cached(first, "disk", directory=str(tmp_path), key="a")(1)
    cache.cached(second, "disk", directory=str(tmp_path), key="a")(1)
    cache.cached(other, "disk", directory=str(tmp_path), key="b")(1)
    assert (first.rows, second.rows, other.rows) == ([1], [], [1])


@pytest.mark.parametrize("content", [b"", b"\x05\x00\x00\x00\x05\x00", None])
def test_a_file_cut_off_by_a_kill_is_made_again(tmp_path, content):
    cached = cache.cached(Counter(), "disk", directory=str(tmp_path), key="a")
    cached(1)
    (path,) = tmp_path.rglob("*.rgb")
    whole = path.read_bytes()
    path.write_bytes(whole[:-7] if content is None else content)
    load = Counter()
    again = cache.cached(load, "disk", directory=str(tmp_path), key="a")
    np.testing.assert_array_equal(again(1), sets.picture(1))
    assert load.rows == [1] and path.read_bytes() == whole


def test_many_threads_read_the_disk_cache(tmp_path):
    cached = cache.cached(Counter(), "disk", directory=str(tmp_path), key="a")
    for row in range(8):
        cached(row)
    load = Counter()
    again = cache.cached(load, "disk", directory=str(tmp_path), key="a")
    with futures.ThreadPoolExecutor(8) as pool:
        for i, image in enumerate(pool.map(again, [i % 8 for i in range(2000)])):
            np.testing.assert_array_equal(image, sets.picture(i % 8))
    assert load.rows == []


def test_threads_that_make_the_same_image_do_not_disturb_each_other(tmp_path, monkeypatch, caplog):
    both, replace = threading.Barrier(2, timeout=60), os.replace

    def replace_together(*paths):
        both.wait()
        replace(*paths)

    monkeypatch.setattr(os, "replace", replace_together)
    cached = cache.cached(Counter(), "disk", directory=str(tmp_path), key="a")
    with futures.ThreadPoolExecutor(2) as pool:
        for image in pool.map(cached, [1, 1]):
            np.testing.assert_array_equal(image, sets.picture(1))
    assert not caplog.records
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["1.rgb"]


def test_a_write_that_fails_leaves_no_draft(tmp_path, monkeypatch):
    def full(*paths):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    cache.cached(Counter(), "disk", directory=str(tmp_path), key="a")(1)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_full_disk_is_told_once_and_training_goes_on(tmp_path, monkeypatch, caplog):
    def full(path, image):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache, "_write", full)
    load = Counter()
    cached = cache.cached(load, "disk", directory=str(tmp_path), key="a")
    for row in (1, 2, 1):
        np.testing.assert_array_equal(cached(row), sets.picture(row))
    assert load.rows == [1, 2, 1]
    (record,) = caplog.records
    assert "No space left on device" in record.getMessage()
