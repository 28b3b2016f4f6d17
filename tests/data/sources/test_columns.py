import dataclasses

import pytest

from simsearch import errors
from simsearch.data.sources import columns
from tests.data import sets


def test_booleans_are_named_by_their_words_and_integers_in_their_order():
    numbers, names = columns.number_labels({"train": [True, False, None]}, None)
    assert names == ("False", "True") and numbers["train"].tolist() == [1, 0, -1]
    numbers, names = columns.number_labels({"train": [10, 9]}, None)
    assert names == ("09", "10") and numbers["train"].tolist() == [1, 0]


def test_splits_are_found_by_any_of_their_names():
    names = ["train", "val", "test", "unsupervised"]
    found = columns.standard_splits(names, where="x")
    assert found == {"train": "train", "validation": "val", "test": "test"}
    assert columns.standard_splits(["all"], where="x") == {"train": "all"}


def test_two_splits_of_one_kind_are_refused():
    with pytest.raises(errors.UsageError, match="one validation split in x, found 'val' and"):
        columns.standard_splits(["train", "val", "validation"], where="x")


def test_images_without_a_label_are_left_out_and_the_first_class_is_none_of_them():
    numbers, _ = columns.number_labels({"train": [0, None, 1, -1]}, ["a", "b"])
    assert numbers["train"].tolist() == [0, -1, 1, -1]
    split = dataclasses.replace(sets.make_split(4), labels=numbers["train"])
    kept = columns.labelled({"train": split}, where="x")["train"]
    assert list(kept.names) == ["image 0", "image 2"]


def test_of_several_columns_the_best_known_name_is_taken():
    found = columns.choose(
        ["photo", "other", "image"],
        [],
        ["photo", "other", "image", "label"],
        asked="",
        field="image_column",
        where="x",
    )
    assert found == "image"
