import numpy as np
import pytest

from simsearch import errors
from simsearch.commands import measurable
from simsearch.config import files as config_files
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sources


def split(labels):
    return sources.Split(
        labels=np.array(labels, np.int32),
        class_names=("a", "b"),
        names=[str(i) for i in range(len(labels))],
        read=lambda row: b"",
        fingerprint="",
    )


EIGHT = {"train": split([0] * 6 + [1] * 6), "validation": split([0, 1]), "test": split([0, 1])}
ENOUGH = split([0, 0, 1, 1])


def test_a_small_folder_is_told_what_to_hold_out():
    config = config_files.load_config("train")
    with pytest.raises(errors.UsageError) as caught:
        measurable.check_new_queries(EIGHT, config)
    assert "no class with two of them" in str(caught.value)
    assert str(caught.value).endswith(
        "--config.data.valid_fraction=0.25 --config.data.test_fraction=0.25"
    )
    with pytest.raises(errors.UsageError, match="can be retrieved; add images$"):
        # So many are held out already: the split is the source's own.
        measurable.check_new_queries(
            EIGHT, config_files.load_config("train", {"data.valid_fraction": 0.3})
        )
    lonely = {"train": split([0] * 10 + [1] * 2), "validation": split([0] * 5), "test": ENOUGH}
    with pytest.raises(errors.UsageError, match="'a' alone.*; add images of other classes"):
        measurable.check_new_queries(lonely, config)
    tiny = {"train": split([0] * 3 + [1] * 3)} | {
        name: EIGHT[name] for name in ("validation", "test")
    }
    with pytest.raises(errors.UsageError, match="can be retrieved; add images$"):
        measurable.check_new_queries(tiny, config)
    classes = config_files.load_config("train", {"data.split": "class"})
    with pytest.raises(errors.UsageError, match="valid_class_fraction and .*test_class_fraction"):
        measurable.check_new_queries(EIGHT, classes)


def test_a_test_split_that_cannot_be_measured_is_told_before_training(caplog):
    config = config_files.load_config("train")
    measurable.check_new_queries(dict.fromkeys(EIGHT, ENOUGH), config)
    assert not caplog.records
    measurable.check_new_queries(EIGHT | {"validation": ENOUGH}, config)
    assert "can measure this version with --split=validation alone" in caplog.text
    with pytest.raises(errors.UsageError, match="measure another with --split, or train again"):
        measurable.check_queries(EIGHT, "test")


def test_images_of_one_class_are_no_queries():
    with pytest.raises(errors.UsageError, match="of the class 'b' alone"):
        measurable.check_queries({"test": split([1, 1, 1])}, "test")


def test_what_could_be_read_must_be_of_two_classes():
    valid, corrupt = np.array([True, True, False, False]), corrupt_lib.CorruptLog()
    measurable.check_readable(valid[[0, 0, 0, 2]], split([0, 0, 1, 1]), "test", corrupt=corrupt)
    for name in "23":
        corrupt.add(name, "damaged")
    with pytest.raises(errors.RunError) as caught:
        measurable.check_readable(valid, ENOUGH, "test", corrupt=corrupt)
    assert "class 'a' alone" in str(caught.value)
    assert str(caught.value).endswith("skipped 2 unreadable images: 2 (damaged), 3 (damaged)")
