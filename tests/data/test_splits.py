import hashlib
import shutil

import numpy as np
import pytest

from simsearch.data import sources, splits

SHARES = {"test": 0.3, "validation": 0.2}


def hashed(text):
    return np.frombuffer(hashlib.blake2b(text.encode(), digest_size=8).digest(), np.uint64)[0]


def drawn_one_class_at_a_time(labels, names, seed, *, by_name):
    """Returns the names that each split gets, each class looked for among all rows."""
    parts = {"train": [], "validation": [], "test": []}
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if by_name:
            rows = np.asarray(sorted(rows, key=lambda row: hashed(f"{seed} {names[row]}")))
        else:
            rows = np.random.default_rng([seed, label]).permutation(rows)
        counts = {name: max(1, round(share * len(rows))) for name, share in SHARES.items()}
        for name, count in counts.items():
            taken = max(0, min(count, len(rows) - 2))
            parts[name] += rows[:taken].tolist()
            rows = rows[taken:]
        parts["train"] += rows.tolist()
    return {name: [names[row] for row in sorted(rows)] for name, rows in parts.items()}


@pytest.mark.parametrize("by_name", [True, False])
def test_what_is_held_out_of_a_class_depends_on_that_class_alone(by_name):
    rng = np.random.default_rng(0)
    # Some classes have one image, and some none.
    labels = np.sort(rng.integers(0, 60, 300)).astype(np.int32)
    names = [f"{label}/{row}.png" for row, label in enumerate(labels)]
    class_names = tuple(f"class {number:02d}" for number in range(60))
    found = splits.Split(labels, class_names, names, read=lambda row: b"", fingerprint="some")
    parts = splits.standardise(
        {"train": found},
        valid_fraction=SHARES["validation"],
        test_fraction=SHARES["test"],
        split_seed=5,
        where="here",
        by_name=by_name,
    )
    present = np.unique(labels, return_inverse=True)[1]
    expected = drawn_one_class_at_a_time(present, names, 5, by_name=by_name)
    assert {name: list(split.names) for name, split in parts.items()} == expected


@pytest.mark.parametrize("labels", [[], [4], [2, 0, 2, 5, 0, 2]])
def test_the_rows_of_each_class_come_in_order(labels):
    labels = np.asarray(labels, np.int32)
    found = [(label, rows.tolist()) for label, rows in splits.rows_by_class(labels)]
    assert found == [
        (label, np.flatnonzero(labels == label).tolist()) for label in sorted({*labels.tolist()})
    ]


def test_picked_rows_keep_what_is_known_of_each():
    split = splits.Split(
        labels=np.array([0, 0, 1, 1], np.int32),
        class_names=("a", "b"),
        names=["a/0", "a/1", "b/0", "b/1"],
        read=lambda row: b"x" * (row + 1),
        fingerprint="some",
        num_bytes=np.arange(1, 5),
    )
    picked = splits.pick(split, np.array([3, 0]))
    assert picked.labels.tolist() == [1, 0] and list(picked.names) == ["b/1", "a/0"]
    assert [len(picked.read(i)) for i in range(2)] == picked.num_bytes.tolist() == [4, 1]
    assert picked.fingerprint != splits.pick(split, np.array([0, 3])).fingerprint


def test_a_summary_tells_other_images_and_not_where_they_lie(shapes, tmp_path):
    before = splits.summary(sources.load("folder", path=str(shapes)))
    assert before["train images"][0] == 30 and before["classes"][0] == 3
    shutil.copytree(shapes, tmp_path / "copy")
    again = splits.summary(sources.load("folder", path=str(tmp_path / "copy")))
    assert again == before and splits.changes(before, again) == []

    some = tmp_path / "copy/train/circle/0.png"
    shutil.copy(some, some.with_name("more.png"))
    grown = splits.summary(sources.load("folder", path=str(tmp_path / "copy")))
    assert splits.changes(before, grown) == ["train images: 30 then, 31 now, and not the same"]
    some.unlink()
    (tmp_path / "copy/val/square").rename(tmp_path / "copy/val/star")
    other = splits.summary(sources.load("folder", path=str(tmp_path / "copy")))
    assert splits.changes(before, other) == [
        "classes: 3 then, 4 now, and not the same",
        "train images: 30 then, 30 now, and not the same",
        "validation images: 12 then, 12 now, and not the same",
    ]
