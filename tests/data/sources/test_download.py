import dataclasses
import errno
import os
from pathlib import Path

import numpy as np
import pytest

from simsearch.data import corrupt, sources, splits
from simsearch.data.decoding import images
from simsearch.data.sources import download
from simsearch.errors import CorruptImage, RunError, UsageError


def read_back(path):
    return sources.load("folder", path=str(path))


def assert_same_rows(found, other):
    for name, split in found.items():
        assert other[name].class_names == split.class_names
        np.testing.assert_array_equal(other[name].labels, split.labels)
        for i in range(len(split.labels)):
            assert other[name].read(i) == split.read(i)


def make(rows, class_names=("apple", "hot dog"), prefix="train"):
    """Returns a split of (label, name, bytes) rows."""
    return splits.Split(
        labels=np.array([label for label, _, _ in rows], np.int32),
        class_names=tuple(class_names),
        names=[f"{prefix}/{name}" for _, name, _ in rows],
        read=lambda i: rows[i][2],
        fingerprint=splits.digest(rows),
    )


def make_splits(rows, **options):
    return {name: make(rows, prefix=name, **options) for name in ("train", "validation", "test")}


def png(value):
    return images.encode_png(np.full((4, 4), value, np.uint8))


FOUR = [(0, "x.png", png(1)), (0, "y.png", png(2)), (1, "x.png", png(3)), (1, "y.png", png(4))]


def test_numbered_rows_are_read_back_identically(tmp_path):
    found = sources.load("digits")
    counts = download.download(found, str(tmp_path / "new" / "digits"))
    assert counts == {"written": 1797, "kept": 0, "unreadable": 0}
    assert_same_rows(found, read_back(tmp_path / "new" / "digits"))


def test_files_keep_their_names_and_bytes_even_where_they_are_no_image(tmp_path):
    rows = [*FOUR[:2], (0, "z.JPG", b"text"), *FOUR[2:]]
    found = make_splits(rows)
    download.download(found, str(tmp_path))
    other = read_back(tmp_path)
    assert_same_rows(found, other)
    assert list(other["validation"].names)[2:4] == ["val/apple/z.JPG", "val/hot dog/x.png"]


def test_the_extension_follows_the_content_where_the_name_has_none(tmp_path):
    rows = [(0, "8", png(1)), (0, "9", b"GIF89a"), (1, "10", b"no image"), (1, "101", png(2))]
    download.download(make_splits(rows), str(tmp_path))
    train = tmp_path / "train"
    names = sorted(str(path.relative_to(train)) for path in train.glob("*/*"))
    assert names == ["apple/8.png", "apple/9.gif", "hot dog/010.jpg", "hot dog/101.png"]


@pytest.mark.parametrize(
    "class_names",
    [
        ("../up", "a/b"),
        ("Apple", "apple"),
        (".hidden", "x"),
        ("", "a:b"),
        ("a?", "a_"),
        ("e" * 300, "f." + "g" * 300),
        ("St.", "U. S."),
    ],
)
def test_class_names_are_made_safe_and_keep_their_order(tmp_path, class_names):
    found = make_splits(FOUR, class_names=class_names)
    download.download(found, str(tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    other = read_back(tmp_path / "out")
    np.testing.assert_array_equal(other["train"].labels, found["train"].labels)
    assert [other["train"].read(i) for i in range(4)] == [row[2] for row in FOUR]


def test_file_names_that_collide_or_change_their_order_are_numbered(tmp_path):
    names = ["b/x.png", "a/x.png", "y?.png", "y*.png"]
    found = make_splits([(i // 2, name, png(i)) for i, name in enumerate(names)])
    download.download(found, str(tmp_path))
    assert_same_rows(found, read_back(tmp_path))


def test_an_interrupted_download_goes_on_where_it_stopped(tmp_path):
    found = make_splits(FOUR)

    def stop(i):
        if i == 1:
            raise KeyboardInterrupt
        return found["validation"].read(i)

    stopping = found | {"validation": dataclasses.replace(found["validation"], read=stop)}
    with pytest.raises(KeyboardInterrupt):
        download.download(stopping, str(tmp_path))
    Path(tmp_path, "train", "apple", ".x.png.1234.tmp").write_bytes(b"half")
    counts = download.download(found, str(tmp_path))
    assert counts == {"written": 7, "kept": 5, "unreadable": 0}
    assert_same_rows(found, read_back(tmp_path))


def test_a_folder_of_something_else_is_refused(tmp_path):
    download.download(make_splits(FOUR), str(tmp_path / "set"))
    other = make_splits([*FOUR, (1, "z.png", png(5))])
    with pytest.raises(UsageError, match="of the same download, found other files"):
        download.download(other, str(tmp_path / "set"))
    Path(tmp_path, "mine").mkdir()
    Path(tmp_path, "mine", "holiday.jpg").touch()
    with pytest.raises(UsageError, match="choose another folder with --output"):
        download.download(other, str(tmp_path / "mine"))


def test_rows_that_cannot_be_read_are_counted_and_named(tmp_path):
    failures = {
        1: CorruptImage("gone"),
        2: OSError("Unexpected end of stream"),
        3: OSError(errno.EIO, "Input/output error", "data.arrow"),
    }

    def read(i):
        if i in failures:
            raise failures[i]
        return FOUR[i][2]

    rows = [(label, name + str(i), content) for i, (label, name, content) in enumerate(FOUR)]
    train = dataclasses.replace(make(rows), read=read)
    log = corrupt.CorruptLog()
    counts = download.download({"train": train}, str(tmp_path), corrupt=log)
    assert counts == {"written": 1, "kept": 0, "unreadable": 3}
    assert log.reasons == {
        "train/y.png1": "gone",
        "train/x.png2": "cannot be read: Unexpected end of stream",
        "train/y.png3": "cannot be read: Input/output error",
    }


@pytest.mark.parametrize("names", [["x.png"], []])
def test_a_full_disk_is_told_in_one_line_and_leaves_no_broken_file(tmp_path, monkeypatch, names):
    replace = os.replace
    words = "".join(rf" \({name}\)" for name in names)

    def full(source, target):
        if str(target).endswith("hot dog/x.png"):
            # A write, unlike what opens and renames, knows no name.
            raise OSError(errno.ENOSPC, "No space left on device", *names)
        replace(source, target)

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(RunError, match=f"left on device{words}: check the") as caught:
        download.download(make_splits(FOUR), str(tmp_path))
    assert "\n" not in str(caught.value)
    assert [path.name for path in sorted(tmp_path.rglob("*.png"))] == ["x.png", "y.png"]
    assert not list(tmp_path.rglob("*.tmp"))
    monkeypatch.undo()
    download.download(make_splits(FOUR), str(tmp_path))
    assert_same_rows(make_splits(FOUR), read_back(tmp_path))


def test_names_that_differ_in_case_alone_are_two_files_everywhere(tmp_path):
    rows = [(0, "A.png", png(1)), (0, "a.png", png(2)), (1, "x.png", png(3)), (1, "y.png", png(4))]
    found = make_splits(rows)
    download.download(found, str(tmp_path))
    assert len({path.name.casefold() for path in (tmp_path / "train/apple").glob("*.png")}) == 2
    assert_same_rows(found, read_back(tmp_path))
