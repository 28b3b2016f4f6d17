import pytest

from simsearch.data.sources import layout


def test_labels_are_class_folders_also_below_split_folders():
    def label(path):
        return layout.class_folders([path])[0]

    assert label("cat/1.jpg") == "cat" == label("cat/deep/1.jpg") == label("test/cat/1.jpg")
    assert label("1.jpg") == "" and label("val/dog/more/1.jpg") == "dog"


@pytest.mark.parametrize("name", ["train", "Training", "val", "valid", "validation", "dev", "test"])
def test_an_image_in_a_split_and_no_class_folder_has_no_label(name):
    below = [f"{name}/1.jpg", f"{name}/cat/2.jpg", "train/cat/3.jpg", "4.jpg"]
    assert layout.class_folders(below) == ["", "cat", "cat", ""]
    assert layout.class_folders([f"{name}/1.jpg"]) == [""]
    assert layout.class_folders([f"{name}/1.jpg", "test/2.jpg", "3.jpg"]) == ["", "", ""]


def test_a_thing_that_is_called_as_a_split_is_a_class():
    assert layout.class_folders(["bus/1.jpg", "train/2.jpg", "3.jpg"]) == ["bus", "train", ""]
    deep = ["bus/1.jpg", "val/front/2.jpg", "test/3.jpg"]
    assert layout.class_folders(deep) == ["bus", "val", "test"]


@pytest.mark.parametrize("beside", ["bus", "val"])
def test_a_folder_to_train_on_makes_splits_of_those_named_so(beside):
    below = ["train/steam/1.jpg", f"{beside}/2.jpg", "test/steam/3.jpg"]
    expected = ["steam", "" if beside == "val" else "bus", "steam"]
    assert layout.class_folders(below) == expected


def test_labels_of_many_images_take_no_time_of_their_square():
    paths = [f"train/cat/{i}.jpg" for i in range(200_000)]
    assert set(layout.class_folders(paths)) == {"cat"}
