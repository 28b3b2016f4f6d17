import os
import threading
from pathlib import Path

import numpy as np
import pytest

from simsearch.data import sources, splits
from simsearch.data.decoding import formats, images
from simsearch.data.sources import download, hub
from simsearch.errors import CorruptImage, UsageError
from tests.data import sets

SNACKS = Path(__file__).parents[4] / "shared" / "data" / "snacks"


def write_images(root, counts, *, extension=".png"):
    """Writes small images below root: {"train/cat": 3} makes train/cat/0.png, 1.png and 2.png."""
    number = 0
    for folder, count in counts.items():
        path = Path(root, folder)
        path.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            number += 1
            pixels = np.full((4, 4), number, np.uint8)
            (path / f"{i}{extension}").write_bytes(images.encode_png(pixels))


def load_folder(path, **options):
    options = {"valid_fraction": 0.25, "test_fraction": 0.25, "split_seed": 0} | options
    return sources.load("folder", path=str(path), **options)


def pixel(split, i):
    return int(
        images.decode(split.read(i), resize_mode="squash", resize_size=4, max_pixels=100)[0, 0, 0]
    )


@pytest.mark.parametrize(
    ("train", "valid", "test"),
    [
        ("train", "val", "test"),
        ("Train", "Validation", "TEST"),
        ("TRAIN", "dev", "test"),
        ("training", "valid", "Testing"),
    ],
)
def test_split_folders_are_found_by_any_of_their_names(tmp_path, train, valid, test):
    write_images(tmp_path, {f"{train}/b": 3, f"{train}/a": 2, f"{valid}/b": 1, f"{test}/a": 1})
    found = load_folder(tmp_path)
    assert list(found) == ["train", "validation", "test"]
    assert all(split.class_names == ("a", "b") for split in found.values())
    assert found["train"].labels.tolist() == [0, 0, 1, 1, 1]
    assert found["train"].labels.dtype == np.int32
    assert found["validation"].labels.tolist() == [1]
    assert found["test"].labels.tolist() == [0]
    assert list(found["train"].names)[:2] == [f"{train}/a/0.png", f"{train}/a/1.png"]
    assert [pixel(found["train"], i) for i in range(5)] == [4, 5, 1, 2, 3]


def test_classes_beside_folders_of_splits_are_not_left_out_in_silence(tmp_path, caplog):
    write_images(tmp_path, {"train/steam": 3, "train/diesel": 3, "car": 3, "bus": 3})
    (tmp_path / "annotations").mkdir()
    found = load_folder(tmp_path)
    assert found["train"].class_names == ("diesel", "steam")
    assert "the images in 'bus', 'car' beside 'train' are not read" in caplog.text


def test_a_single_folder_is_split_by_class_with_a_seed(tmp_path):
    write_images(tmp_path, {"a": 8, "b": 12, "train": 4})
    found = load_folder(tmp_path)
    counts = {name: np.bincount(split.labels).tolist() for name, split in found.items()}
    assert counts == {"train": [4, 6, 2], "validation": [2, 3, 1], "test": [2, 3, 1]}
    names = [set(split.names) for split in found.values()]
    assert len(set.union(*names)) == 24 == sum(map(len, names))
    assert [list(split.names) for split in load_folder(tmp_path).values()] == [
        list(split.names) for split in found.values()
    ]
    other = load_folder(tmp_path, split_seed=1)
    assert set(other["test"].names) != set(found["test"].names)


def test_a_set_that_grows_keeps_what_was_held_out(tmp_path):
    write_images(tmp_path, {"b": 60, "c": 40})
    before = load_folder(tmp_path)
    # Another class, which moves the labels of all, and some more images of one.
    write_images(tmp_path, {"a": 10, "b": 66})
    after = load_folder(tmp_path)
    trained = set(before["train"].names)
    for name in ("validation", "test"):
        leaked = trained & set(after[name].names)
        assert len(leaked) <= 2, leaked
    kept = set(before["test"].names) & set(after["test"].names)
    assert len(kept) >= len(before["test"].names) - 3
    numbers = [splits.identities(found["train"]) for found in (before, after)]
    assert len(set(numbers[1])) == len(numbers[1]) == len(after["train"].labels)
    assert len(set(numbers[0]) - set(numbers[1])) <= 4


def test_a_file_name_that_is_no_text_is_a_name(tmp_path):
    write_images(tmp_path, {"a": 4, "b": 4})
    Path(tmp_path, "a/0.png").rename(os.fsdecode(os.fsencode(tmp_path / "a") + b"/caf\xe9.png"))
    found = load_folder(tmp_path)
    assert sum(len(set(splits.identities(split).tolist())) for split in found.values()) == 8
    download.download(found, str(tmp_path / "copy"))
    again = load_folder(tmp_path / "copy")
    assert [len(split.labels) for split in again.values()] == [
        len(split.labels) for split in found.values()
    ]


def test_a_missing_split_is_taken_out_of_train_alone(tmp_path):
    write_images(tmp_path, {"train/a": 8, "train/b": 8, "test/a": 1, "test/b": 1})
    found = load_folder(tmp_path)
    assert [len(split.labels) for split in found.values()] == [12, 4, 2]
    assert all(name.startswith("train/") for name in found["validation"].names)
    none = load_folder(tmp_path, valid_fraction=0.0)
    assert [len(split.labels) for split in none.values()] == [16, 0, 2]


def test_a_class_with_one_image_is_trained_on(tmp_path):
    write_images(tmp_path, {"a": 1, "b": 1, "c": 9})
    found = load_folder(tmp_path, valid_fraction=0.3, test_fraction=0.3)
    counts = {name: np.bincount(split.labels).tolist() for name, split in found.items()}
    assert counts == {"train": [1, 1, 3], "validation": [0, 0, 3], "test": [0, 0, 3]}


def test_two_images_of_every_class_stay_in_train(tmp_path):
    write_images(tmp_path, {"a": 2, "b": 3, "c": 40})
    found = load_folder(tmp_path, valid_fraction=0.4, test_fraction=0.4)
    assert np.bincount(found["train"].labels).tolist() == [2, 2, 8]


def test_a_class_that_a_split_lacks_keeps_its_number(tmp_path):
    write_images(tmp_path, {"train/a": 2, "train/c": 2, "test/b": 2, "test/c": 1, "val/c": 1})
    found = load_folder(tmp_path)
    assert found["train"].class_names == ("a", "b", "c")
    assert found["train"].labels.tolist() == [0, 0, 2, 2]
    assert found["test"].labels.tolist() == [1, 1, 2]


def test_only_visible_image_files_count_and_folders_are_searched_deeply(tmp_path):
    write_images(tmp_path, {"a": 2, "b/deep/er": 2, ".hidden": 3, "a/.cache": 1})
    Path(tmp_path, "a", "notes.txt").write_text("not an image")
    Path(tmp_path, "a", ".DS_Store").write_text("")
    Path(tmp_path, "a", "._0.png").write_text("")
    Path(tmp_path, "readme.md").write_text("")
    Path(tmp_path, "a", "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    Path(tmp_path, "a", "TEXT.JPG").write_text("called .jpg")
    train = load_folder(tmp_path, valid_fraction=0, test_fraction=0)["train"]
    assert list(train.names) == [
        "a/0.png",
        "a/1.png",
        "a/TEXT.JPG",
        "b/deep/er/0.png",
        "b/deep/er/1.png",
    ]
    with pytest.raises(CorruptImage, match="text"):
        pixel(train, 2)


def test_what_may_be_an_image_and_is_left_out_is_told_once(tmp_path, caplog):
    write_images(tmp_path, {"train/a": 2, "train/b/deep": 2, "test/a": 1, "test/b": 1})
    write_images(tmp_path, {"train/b": 1}, extension=".pbm")
    for name in ("caption.txt", "Thumbs.db", ".hidden"):
        Path(tmp_path, "train/a", name).touch()
    Path(tmp_path, "LICENSE").touch()
    found = load_folder(tmp_path, valid_fraction=0)
    assert len(found["train"].labels) == 5 and not caplog.records
    for name in (
        "train/b/photo",
        "train/a/1.heic",
        "train/a/2.HEIC",
        "loose.png",
        "test/loose.jpg",
    ):
        Path(tmp_path, name).touch()
    assert len(load_folder(tmp_path, valid_fraction=0)["train"].labels) == 5
    [record] = caplog.records
    assert f"left out: 5 files below {tmp_path}, such as 'loose.png'; what is" in record.message


def test_classes_may_have_folders_of_their_own(tmp_path):
    write_images(tmp_path, {"cat/front": 4, "cat/side": 4, "dog/front": 4, "dog/back": 4})
    assert load_folder(tmp_path)["train"].class_names == ("cat", "dog")
    write_images(tmp_path, {"dog/side": 1, "cat/back": 1})
    assert load_folder(tmp_path)["train"].class_names == ("cat", "dog")


def test_loops_of_links_end_and_links_to_folders_are_followed(tmp_path):
    write_images(tmp_path / "set", {"a": 2, "b": 2})
    write_images(tmp_path, {"elsewhere": 2})
    Path(tmp_path, "set/a/loop").symlink_to(tmp_path / "set" / "a")
    Path(tmp_path, "set/b/up").symlink_to(tmp_path / "set" / "b" / "again")
    Path(tmp_path, "set/b/again").symlink_to(tmp_path / "set" / "b" / "up")
    Path(tmp_path, "set/c").symlink_to(tmp_path / "elsewhere")
    train = load_folder(tmp_path / "set", valid_fraction=0, test_fraction=0)["train"]
    assert np.bincount(train.labels).tolist() == [2, 2, 2]


def test_a_file_that_vanished_is_a_corrupt_image(tmp_path):
    write_images(tmp_path, {"a": 2, "b": 2})
    train = load_folder(tmp_path, valid_fraction=0, test_fraction=0)["train"]
    Path(tmp_path, "b/0.png").unlink()
    with pytest.raises(CorruptImage, match="No such file"):
        train.read(2)


def test_the_fingerprint_follows_files_and_split(tmp_path):
    write_images(tmp_path, {"a": 8, "b": 8})
    first = load_folder(tmp_path)
    assert load_folder(tmp_path)["train"].fingerprint == first["train"].fingerprint
    assert load_folder(tmp_path, split_seed=1)["train"].fingerprint != first["train"].fingerprint
    os.utime(tmp_path / "a" / "0.png", ns=(0, 0))
    assert load_folder(tmp_path)["train"].fingerprint != first["train"].fingerprint
    assert len({split.fingerprint for split in first.values()}) == 3


WRONG_FOLDERS = {
    "no class folders": ({".": 3}, "has no class folders: sort its images"),
    "no class folders in train": ({"train": 3, "test": 1}, "test has no class folders: sort"),
    "no train folder": ({"val/a": 3, "test/a": 3}, "has 'test', 'val' but no train folder"),
    "no class folders in val": ({"train/a": 2, "train/b": 2, "val": 2}, "val has no class folders"),
    "no images in val": ({"train/a": 2, "train/b": 2, "val/a": 0}, "val, found none"),
    "two validation folders": ({"train/a": 2, "val/a": 2, "dev/a": 2}, "found 'dev' and 'val'"),
    "an empty class": ({"a": 2, "b": 0}, "the class folder .*b, found none"),
    "splits of other names": (
        {"Test set/a": 2, "Test set/b": 2, "Training set/a": 2, "Training set/b": 2},
        "'Test set', 'Training set' in .* have the same folders 'a', 'b' and look like splits",
    ),
    "a single class": ({"a": 5}, "at least 2 classes with images in .*, found 1"),
}


@pytest.mark.parametrize("name", WRONG_FOLDERS)
def test_a_wrong_folder_is_told_in_one_line(tmp_path, name):
    counts, message = WRONG_FOLDERS[name]
    write_images(tmp_path, counts)
    with pytest.raises(UsageError, match=message) as caught:
        load_folder(tmp_path)
    assert str(caught.value).startswith("expected") and "\n" not in str(caught.value)


def test_a_missing_path_is_told_in_one_line(tmp_path):
    file = tmp_path / "file.png"
    file.touch()
    for path, message in (("", "data.path is empty"), (file, "is a file"), ("/no/such", "exist")):
        with pytest.raises(UsageError, match=message):
            load_folder(path)


@pytest.mark.parametrize("source", ["", "hf:", "folders", "tfds", "imagenet", "hf:no-slash"])
def test_an_unknown_source_is_refused_with_the_choices(source):
    with pytest.raises(UsageError, match="hf:ORG/NAME"):
        sources.load(source)


def test_a_set_without_splits_is_split_as_it_is_asked_for(monkeypatch):
    asked = []

    def load(name, **options):
        asked.append((name, options))
        return {"train": sets.make_split(60)}

    monkeypatch.setattr(hub, "load", load)
    columns = {"image_column": "photo", "label_column": "sort", "cache_dir": "here"}
    shares = {"valid_fraction": 0.1, "test_fraction": 0.3}
    one, other = (
        sources.load("hf:org/set:some@old", split_seed=seed, **shares, **columns) for seed in (0, 1)
    )
    assert asked == [("org/set:some@old", columns)] * 2
    for found in (one, other):
        assert [len(split.labels) for split in found.values()] == [36, 6, 18]
    assert {*one["test"].names} != {*other["test"].names}


def test_listing_opens_no_file(tmp_path, monkeypatch):
    write_images(tmp_path, {"a": 2, "b": 2})
    monkeypatch.setattr("builtins.open", lambda *args: pytest.fail(f"opened {args}"))
    assert len(load_folder(tmp_path, valid_fraction=0, test_fraction=0)["train"].labels) == 4


def test_digits_hold_out_a_fifth_of_every_class_for_test():
    found = sources.load("digits", valid_fraction=0.1)
    assert [len(split.labels) for split in found.values()] == [1259, 179, 359]
    assert found["train"].class_names == tuple("0123456789")
    names = [name for split in found.values() for name in split.names]
    assert len(set(names)) == 1797 and "digits/17" in names
    assert all(np.bincount(split.labels, minlength=10).min() > 10 for split in found.values())
    other = sources.load("digits", valid_fraction=0.1, split_seed=1)
    assert not {*other["test"].names} <= {*found["test"].names}


def test_digits_are_png_of_the_whole_range():
    train = sources.load("digits")["train"]
    decoded = [
        images.decode(train.read(i), resize_mode="squash", resize_size=8, max_pixels=64)
        for i in range(0, 50)
    ]
    assert formats.sniff(train.read(0)) == "png"
    assert np.min(decoded) == 0 and np.max(decoded) == 255


def test_arrays_become_splits_with_classes_in_alphabetical_order():
    pixels = np.arange(12, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    found = sources.from_arrays(
        pixels,
        np.arange(12) % 3,
        class_names=["c", "a", "unused", "b"][:3],
        valid_fraction=0.25,
        test_fraction=0.0,
    )
    assert found["train"].class_names == ("a", "c", "unused")
    for split in found.values():
        for i, name in enumerate(split.names):
            row = int(name.removeprefix("array/"))
            assert pixel(split, i) == row
            assert split.labels[i] == [1, 0, 2][row % 3]


def test_arrays_of_other_pixels_are_other_images():
    pixels, labels = np.zeros((12, 2, 2), np.uint8), np.arange(12) % 3
    before = sources.from_arrays(pixels, labels)["train"].fingerprint
    assert sources.from_arrays(pixels.copy(), labels)["train"].fingerprint == before
    assert sources.from_arrays(pixels + 1, labels)["train"].fingerprint != before


def test_integer_labels_without_names_keep_their_numeric_order():
    found = sources.from_arrays(np.zeros((22, 2, 2), np.uint8), np.arange(22) % 11)
    assert found["train"].class_names[:3] == ("00", "01", "02")


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (np.zeros((4, 2, 2)), np.zeros(4, int), "float64"),
        (np.zeros((4, 2, 2, 4), np.uint8), np.zeros(4, int), "uint8 .4, 2, 2, 4."),
        (np.zeros((4, 2, 2), np.uint8), np.zeros(3, int), "each of the 4 images"),
        (np.zeros((4, 2, 2), np.uint8), np.array([0, 0, 1, -1]), "label >= 0"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(pixels, labels, message):
    with pytest.raises(UsageError, match=message):
        sources.from_arrays(pixels, labels)


def test_rows_can_be_read_by_many_threads():
    train = sources.load("digits")["train"]
    expected = [train.read(i) for i in range(100)]
    different = []

    def compare():
        different.extend(i for i in range(100) if train.read(i) != expected[i])

    threads = [threading.Thread(target=compare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not different


def test_picked_names_are_a_sequence():
    names = splits.PickedNames(splits.NumberedNames("train", 5), np.array([4, 2]))
    assert list(names) == ["train/4", "train/2"] and names[-1] == "train/2" and len(names) == 2
    with pytest.raises(IndexError):
        names[2]


@pytest.mark.snacks
@pytest.mark.skipif(not SNACKS.is_dir(), reason=f"the Snacks images are not at {SNACKS}")
def test_snacks_load_with_the_classes_of_the_hub():
    found = load_folder(SNACKS)
    assert [len(split.labels) for split in found.values()] == [4838, 955, 952]
    names = found["train"].class_names
    assert len(names) == 20 and names[0] == "apple" and names[19] == "watermelon"
    image = images.load_for_eval(
        found["test"].read(951),
        resize_mode="short_side",
        resize_size=256,
        image_size=224,
        max_pixels=10**8,
    )
    assert image.shape == (224, 224, 3)
