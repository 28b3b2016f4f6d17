import dataclasses
import logging

import numpy as np
import pytest

from simsearch import errors
from simsearch.data import duplicates, splits
from simsearch.data.decoding import images
from tests.data import sets


def make(contents, *, has_lengths=True, name="x", reads=None):
    """Returns a split whose rows have the given bytes; None cannot be read."""

    def read(row):
        if reads is not None:
            reads.append((name, row))
        if contents[row] is None:
            raise errors.CorruptImage("no image")
        return contents[row]

    lengths = np.array([len(content or b"") for content in contents], np.int64)
    return splits.Split(
        labels=np.arange(len(contents), dtype=np.int32) // 2,
        class_names=tuple("abcdef"),
        names=[f"{name}/{i}" for i in range(len(contents))],
        read=read,
        fingerprint=splits.digest(name, contents),
        num_bytes=lengths if has_lengths else None,
    )


TRAIN = [b"one", b"two", b"three", b"four", b"one", None, b"seven"]
VALID, TEST = [b"six", b"two", None], [b"one", b"eleven"]


@pytest.mark.parametrize("has_lengths", [True, False])
def test_copies_of_validation_and_test_images_are_left_out_of_train(tmp_path, caplog, has_lengths):
    found = {
        name: make(contents, name=name, has_lengths=has_lengths)
        for name, contents in (("train", TRAIN), ("validation", VALID), ("test", TEST))
    }
    with caplog.at_level(logging.INFO, "simsearch"):
        kept = duplicates.drop_from_train(found, cache_dir=str(tmp_path))
    assert list(kept["train"].names) == ["train/2", "train/3", "train/5", "train/6"]
    assert kept["train"].labels.tolist() == [1, 1, 2, 3]
    assert kept["train"].fingerprint != found["train"].fingerprint
    assert kept["test"] is found["test"] and kept["validation"] is found["validation"]
    (record,) = caplog.records
    assert "3 images identical" in record.getMessage() and "'train/0'" in record.getMessage()


def test_only_images_of_a_length_on_both_sides_are_read():
    reads = []
    found = {
        "train": make(TRAIN, name="train", reads=reads),
        "test": make([b"1234", b"eleven"], name="test", reads=reads),
    }
    assert duplicates.copies_in_train(found).rows.tolist() == []
    assert reads == [("test", 0), ("train", 3)]


def test_what_was_found_is_remembered_for_the_same_images_alone(tmp_path):
    reads = []
    found = {"train": make(TRAIN, reads=reads), "test": make(TEST, name="test", reads=reads)}
    first = duplicates.drop_from_train(found, cache_dir=str(tmp_path))
    assert reads
    reads.clear()
    again = duplicates.drop_from_train(found, cache_dir=str(tmp_path))
    assert not reads and list(again["train"].names) == list(first["train"].names)
    changed = found | {"test": make([b"seven"], name="test", reads=reads)}
    assert len(duplicates.drop_from_train(changed, cache_dir=str(tmp_path))["train"].labels) == 6
    grown = found | {"train": make([b"new", *TRAIN])}
    again = duplicates.drop_from_train(grown, cache_dir=str(tmp_path))["train"]
    assert [again.read(i) for i in range(4)] == [b"new", b"two", b"three", b"four"]


def test_a_folder_that_cannot_be_written_is_told_and_nothing_is_lost(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    found = {"train": make(TRAIN), "test": make(TEST, name="test")}
    kept = duplicates.drop_from_train(found, cache_dir=str(tmp_path / "file"))
    assert len(kept["train"].labels) == 5
    assert "next time" in caplog.records[0].getMessage()


def test_no_copy_is_no_change(tmp_path):
    found = {"train": sets.make_split(), "test": make([b"1"], name="test")}
    kept = duplicates.drop_from_train(found, cache_dir=str(tmp_path))
    assert kept["train"] is found["train"]
    picked = splits.pick(dataclasses.replace(found["test"]), np.array([0]))
    assert picked.num_bytes.tolist() == [1]


def test_what_could_not_be_read_once_is_looked_for_again(tmp_path, caplog):
    contents, is_broken = [b"one", b"two"], True

    def read(row):
        if is_broken:
            raise images.UnreadFile("cannot be read: Stale file handle")
        return contents[row]

    train = dataclasses.replace(make(contents, name="train"), read=read)
    found = {"train": train, "test": make([b"two"], name="test")}
    kept = duplicates.drop_from_train(found, cache_dir=str(tmp_path))["train"]
    assert len(kept.labels) == 2 and "done again next time" in caplog.text
    with pytest.raises(errors.RunError, match="a run could not go on without those"):
        duplicates.drop_from_train(found, cache_dir=str(tmp_path), must_be_final=True)
    is_broken = False
    kept = duplicates.drop_from_train(found, cache_dir=str(tmp_path))["train"]
    assert list(kept.names) == ["train/0"]
