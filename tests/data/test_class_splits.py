import dataclasses

import numpy as np
import pytest

from simsearch import errors, wiring
from simsearch.config import files as config_files
from simsearch.data import class_splits, sources, splits

NAMES = tuple("abcdefghij")


def make_split(labels, name):
    labels = np.sort(np.asarray(labels)).astype(np.int32)
    return splits.Split(
        labels=labels,
        class_names=NAMES,
        names=[f"{name}/{i}" for i in range(len(labels))],
        read=lambda i: f"{name} {i} of class {labels[i]}".encode(),
        fingerprint=name,
        num_bytes=np.arange(len(labels)),
    )


def found(train=range(10), validation=range(10), test=range(10), copies=(5, 2, 3)):
    parts = {"train": train, "validation": validation, "test": test}
    return {
        name: make_split(np.repeat(list(classes), count), name)
        for (name, classes), count in zip(parts.items(), copies, strict=True)
    }


def by_class(parts, **changes):
    options = {"valid_class_fraction": 0.2, "test_class_fraction": 0.4, "split_seed": 0}
    return class_splits.by_class(parts, **options | changes)


def classes(parts):
    return {name: "".join(class_splits.classes_of(split)) for name, split in parts.items()}


def test_no_class_is_in_two_splits_and_every_image_in_one():
    parts = by_class(found())
    assert list(parts) == ["train", "validation", "test"]
    names = classes(parts)
    assert {name: len(text) for name, text in names.items()} == {
        "train": 4,
        "validation": 2,
        "test": 4,
    }
    assert sorted("".join(names.values())) == list(NAMES)
    rows = [name for split in parts.values() for name in split.names]
    assert len(rows) == len(set(rows)) == 100
    for split in parts.values():
        assert split.class_names == NAMES and np.all(np.diff(split.labels) >= 0)
        for i, (label, name) in enumerate(zip(split.labels, split.names, strict=True)):
            own, row = name.split("/")
            assert split.read(i) == f"{own} {row} of class {label}".encode()
            assert split.num_bytes[i] == int(row)


def test_the_seed_chooses_the_classes_and_nothing_else_does():
    assert classes(by_class(found())) == classes(by_class(found(copies=(1, 7, 2))))
    chosen = {classes(by_class(found(), split_seed=seed))["test"] for seed in range(10)}
    assert len(chosen) > 5
    more = by_class(found(), valid_class_fraction=0.3)
    assert classes(more)["test"] == classes(by_class(found()))["test"]
    fingerprints = {by_class(found(), split_seed=seed)["train"].fingerprint for seed in range(3)}
    assert len(fingerprints) == 3


def test_named_classes_take_the_place_of_a_fraction():
    names = classes(by_class(found(), test_classes=["j", "a", "c"]))
    assert names["test"] == "acj" and len(names["validation"]) == 2 and len(names["train"]) == 5
    names = classes(by_class(found(), test_classes=["a", "b"], valid_classes=["i", "c"]))
    assert names == {"train": "defghj", "validation": "ci", "test": "ab"}


def test_a_split_that_the_source_keeps_apart_stays_as_it_is():
    parts = found(train=range(6), validation=range(6), test=range(6, 10))
    made = by_class(parts)
    assert made["test"] is parts["test"]
    names = classes(made)
    assert len(names["validation"]) == 2 and sorted(names["train"] + names["validation"]) == list(
        "abcdef"
    )
    assert len(made["train"].labels) + len(made["validation"].labels) == 6 * 7
    moved = by_class(parts, test_classes=["a", "b"])
    assert classes(moved)["test"] == "ab" and moved["train"] is not parts["train"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_classes": ["k"]}, "data.test_classes names 'k'"),
        ({"test_classes": ["a", "b"], "valid_classes": ["b", "c"]}, "share 'b'"),
        ({"test_classes": ["a"]}, "data.test_classes names 1 class and must name 2 or more"),
        ({"test_classes": list("abcdefgh")}, "leaves 0 of 10 classes for train"),
        ({"valid_class_fraction": 0.5}, "leaves 1 of 10 classes for train"),
    ],
)
def test_what_cannot_be_split_is_told_in_one_line(changes, message):
    with pytest.raises(errors.UsageError, match=message) as caught:
        by_class(found(), **changes)
    assert "\n" not in str(caught.value)


def test_too_few_classes_for_three_splits_are_told_as_that():
    parts = found(train=range(5), validation=range(5), test=range(5))
    with pytest.raises(errors.UsageError, match="needs 6 classes, 2 for each split, .* are 5; use"):
        by_class(parts, test_class_fraction=0.01)


def test_a_misspelt_class_is_told_with_the_nearest():
    parts = found()
    renamed = {
        name: dataclasses.replace(split, class_names=("apple", *NAMES[1:]))
        for name, split in parts.items()
    }
    with pytest.raises(errors.UsageError, match="did you mean 'apple'"):
        by_class(renamed, test_classes=["aple", "b"])


def test_the_protocol_is_described():
    assert class_splits.describe(found(), "image") == (
        "50 train, 20 validation, 30 test images of 10 classes, split by image"
    )
    assert class_splits.describe(by_class(found()), "class") == (
        "40 train, 20 validation, 40 test images of 4 train, 2 validation, 4 test classes, "
        "split by class: none is in two splits"
    )
    single = {name: make_split([0, 1, 1, 3], name) for name in splits.SPLITS}
    assert class_splits.describe(single, "image").endswith("a single train image of 'a', 'd'")


def test_a_class_whose_name_has_commas_can_be_named(monkeypatch):
    names = ("tench, Tinca tinca", "tench", "goldfish", "a,b", "a,b,c", *NAMES[5:])
    parts = {name: dataclasses.replace(split, class_names=names) for name, split in found().items()}
    monkeypatch.setattr(sources, "load", lambda *_, **__: parts)
    for text, expected in (
        ("tench, Tinca tinca,goldfish", "tench, Tinca tinca;goldfish"),
        ("goldfish, tench, f", "tench;goldfish;f"),
        (", a,b,c , tench,", "tench;a,b,c"),
        ("tench, a,b, a,b,c,", "tench;a,b;a,b,c"),
    ):
        fields = {"data.split": "class", "data.test_classes": text}
        made = wiring.images.source_splits(config_files.load_config("demo", fields))
        assert ";".join(class_splits.classes_of(made["test"])) == expected


def test_the_configuration_splits_any_source_by_class(tmp_path):
    config = config_files.load_config(
        "demo",
        {
            "data.split": "class",
            "data.test_classes": "0, 9,4",
            "data.cache_dir": str(tmp_path),
        },
    )
    parts = wiring.images.load_splits(config)
    assert classes(parts)["test"] == "049"
    assert len(classes(parts)["validation"]) == 2 and len(classes(parts)["train"]) == 5
    by_image = sources.load("digits")
    assert sum(len(s.labels) for s in parts.values()) == sum(
        len(s.labels) for s in by_image.values()
    )
    facts = wiring.facts.collect(config, parts, {})
    assert facts["split"] == "class" and facts["classes"]["test"] == ["0", "4", "9"]
