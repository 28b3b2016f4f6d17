import pytest

from simsearch import errors
from simsearch.data import columns


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
