import os
import pathlib
import threading

import numpy as np
import pytest

from simsearch.data import sources
from simsearch.data.decoding import formats, images
from simsearch.errors import RunError, UsageError

COUNTS = {"train": 12, "test": 6}


def pixel(split, i):
    image = images.decode(split.read(i), resize_mode="squash", resize_size=4, max_pixels=100)
    return int(image[0, 0, 0])


@pytest.fixture(scope="module")
def tiny():
    """A builder of a set that is made on the spot."""
    import tensorflow_datasets as tfds

    class TinyFruit(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(names=["pear", "apple"]),
                "number": tfds.features.Scalar(np.int64),
                "text": tfds.features.Text(),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {name: self._generate_examples(count) for name, count in COUNTS.items()}

        def _generate_examples(self, count):
            for i in range(count):
                image = np.full((4, 4, 3), 20 * i + i % 2, np.uint8)
                text = "even" if i % 2 == 0 else "odd"
                yield i, {"image": image, "label": i % 2, "number": i % 2 + 9, "text": text}

    return TinyFruit


@pytest.fixture(scope="module")
def cache_dir(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    sources.load("tfds:tiny_fruit", cache_dir=str(folder))
    return str(folder)


def test_a_set_is_prepared_and_its_rows_are_read_by_number(cache_dir):
    found = sources.load("tfds:tiny_fruit", cache_dir=cache_dir, valid_fraction=0.0)
    assert {name: len(split.labels) for name, split in found.items()} == {
        "train": 12,
        "validation": 0,
        "test": 6,
    }
    train = found["train"]
    assert train.class_names == ("apple", "pear")
    assert train.labels.tolist() == [0] * 6 + [1] * 6
    assert formats.sniff(train.read(0)) == "png"
    assert sorted(pixel(train, i) for i in range(12)) == [20 * i + i % 2 for i in range(12)]
    for i in range(12):
        assert pixel(train, i) % 2 == 1 - train.labels[i]


@pytest.mark.parametrize(("column", "names"), [("number", ("09", "10")), ("text", ("even", "odd"))])
def test_labels_can_be_integers_or_texts(cache_dir, column, names):
    found = sources.load("tfds:tiny_fruit", cache_dir=cache_dir, label_column=column)
    assert found["train"].class_names == names
    assert all(pixel(found["test"], i) % 2 == found["test"].labels[i] for i in range(6))


def test_rows_and_fingerprints_are_the_same_each_time(cache_dir):
    first, second = (sources.load("tfds:tiny_fruit", cache_dir=cache_dir) for _ in range(2))
    for name, split in first.items():
        assert split.fingerprint == second[name].fingerprint
        assert list(split.names) == list(second[name].names)


def test_labels_are_read_once_and_anew_where_the_set_is_another(cache_dir, monkeypatch):
    from tensorflow_datasets.core.data_sources import base

    first, reads = sources.load("tfds:tiny_fruit", cache_dir=cache_dir), []
    real = base.BaseDataSource.__getitem__
    monkeypatch.setattr(
        base.BaseDataSource, "__getitem__", lambda self, i: reads.append(i) or real(self, i)
    )
    again = sources.load("tfds:tiny_fruit", cache_dir=cache_dir)
    assert not reads and again["train"].fingerprint == first["train"].fingerprint
    assert again["test"].labels.tolist() == first["test"].labels.tolist()
    [shard] = pathlib.Path(cache_dir).rglob("*test*array_record*")
    os.utime(shard, ns=(1, 1))
    assert sources.load("tfds:tiny_fruit", cache_dir=cache_dir) and len(reads) == 18


def test_rows_can_be_read_by_many_threads(cache_dir):
    train = sources.load("tfds:tiny_fruit", cache_dir=cache_dir)["train"]
    expected, results = [train.read(i) for i in range(len(train.labels))], []
    fresh = sources.load("tfds:tiny_fruit", cache_dir=cache_dir)["train"]

    def read_all():
        results.append([fresh.read(i) for i in range(len(fresh.labels))])

    threads = [threading.Thread(target=read_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 8


def test_a_set_without_random_access_is_refused(tiny, tmp_path):
    tiny(data_dir=str(tmp_path), file_format="tfrecord").download_and_prepare()
    with pytest.raises(UsageError, match="found it as tfrecord .* set data.cache_dir"):
        sources.load("tfds:tiny_fruit", cache_dir=str(tmp_path))


def test_an_unknown_set_is_told_in_one_line(tiny, tmp_path):
    with pytest.raises(UsageError, match="got tfds:no_such_set") as caught:
        sources.load("tfds:no_such_set", cache_dir=str(tmp_path))
    assert "\n" not in str(caught.value) and "Available" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"label_column": "image"}, "found a column 'image' of another type"),
        ({"image_column": "photo"}, "found no 'photo' among"),
    ],
)
def test_a_column_that_does_not_fit_is_refused(cache_dir, column, message):
    with pytest.raises(UsageError, match=message):
        sources.load("tfds:tiny_fruit", cache_dir=cache_dir, **column)


def test_the_columns_that_are_taken_are_said(cache_dir, caplog):
    with caplog.at_level("INFO", "simsearch"):
        sources.load("tfds:tiny_fruit", cache_dir=cache_dir)
    assert "images from column 'image', labels from column 'label'" in caplog.text


def test_a_version_that_is_not_there_is_told_with_those_that_are(tiny, tmp_path):
    with pytest.raises(UsageError, match="got tfds:tiny_fruit:9.9.9 .*9.9.9, only: 1.0.0.* look"):
        sources.load("tfds:tiny_fruit:9.9.9", cache_dir=str(tmp_path))


def test_where_nothing_answers_it_is_not_tried_for_minutes(tiny, tmp_path, monkeypatch):
    from tensorflow_datasets.core.download import downloader

    seen = []

    def unreachable(self, dl_manager):
        seen.append(downloader.MAX_RETRIES)
        raise ConnectionError("nothing answers")

    monkeypatch.setattr(tiny, "_split_generators", unreachable)
    usual = downloader.MAX_RETRIES
    with pytest.raises(RunError, match="expected to download .* nothing answers; check the net"):
        sources.load("tfds:tiny_fruit", cache_dir=str(tmp_path))
    assert seen[0] <= 5 < usual == downloader.MAX_RETRIES


def test_missing_files_of_a_set_are_told_in_one_line(tiny, tmp_path, monkeypatch):
    def fail(self, dl_manager):
        raise AssertionError("Manual directory /x does not exist, using instructions:\nDownload x.")

    monkeypatch.setattr(tiny, "_split_generators", fail)
    with pytest.raises(UsageError, match="more: Manual .* using instructions: Download x."):
        sources.load("tfds:tiny_fruit", cache_dir=str(tmp_path))
