import shutil

import numpy as np
import pytest
from PIL import Image

from simsearch import errors, preprocessing, wiring
from simsearch.commands import preview
from simsearch.config import files as config_files
from simsearch.data import batch as batch_lib
from simsearch.data import corrupt as corrupt_lib
from simsearch.models import backbone, pretrained
from simsearch.plots import preview as plot

SMALL = {"data.image_size": 24, "data.resize_mode": "squash", "model.weights": "none"}


def config(shapes, cache, **overrides):
    folder = {"data.source": "folder", "data.path": str(shapes), "data.cache_dir": str(cache)}
    values = {name.replace("__", "."): value for name, value in overrides.items()}
    return config_files.load_config("train", SMALL | folder | {"train.batch_size": 12} | values)


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Keeps what the plot was given."""
    seen = {}

    def draw(path, rows, **texts):
        seen.update(texts, path=path, rows=rows)
        return path

    monkeypatch.setattr(plot, "draw", draw)
    return seen


def first_batch(settings):
    """Returns the train split, and the first batch of a training on it."""
    train = wiring.images.load_splits(settings)["train"]
    batches = wiring.images.train_batches(
        settings,
        train,
        rows_of_step=wiring.images.sample_rows(settings, train.labels),
        start_step=0,
        end_step=1,
        image_size=24,
        load=wiring.images.image_loader(settings, train),
        corrupt=corrupt_lib.CorruptLog(),
    )
    return train, next(iter(batches))


def test_of_two_views_that_of_training_is_drawn_as_small_as_its_first_steps_see_it(
    shapes, tmp_path, drawn
):
    seeds = {"train__seed": 5, "sampling__seed": 6}
    settings = config(
        shapes, tmp_path, data__resize_mode="both", data__early_image_size=16, **seeds
    )
    preview.preview(settings, output="x.png")
    assert all(row.plain.image.shape == (24, 24, 3) for row in drawn["rows"])
    assert all(row.anchor.image.shape == (16, 16, 3) for row in drawn["rows"])
    assert drawn["subtitle"][1] == (
        "batches of 3 classes x 4 images (classes_by_samples), 16 x 16 pixels from 27 (squash), "
        "seed 6"
    )


@pytest.mark.parametrize("mode", ["triplets", "class_balanced"])
def test_the_tiles_are_the_first_batch_of_a_training(shapes, tmp_path, drawn, mode):
    settings = config(shapes, tmp_path, sampling__mode=mode, augment__preset="trivial")
    preview.preview(settings, output="x.png")
    train, batch = first_batch(settings)
    place = {image.tobytes(): i for i, image in enumerate(batch.images)}
    assert 1 < len(drawn["rows"]) <= 6
    # A class that is drawn once has no positive, and comes last.
    pairs = [row for row in drawn["rows"] if row.positive]
    assert pairs == drawn["rows"][: len(pairs)] and pairs
    for row in pairs:
        anchor, positive, negative = (
            place[tile.image.tobytes()] for tile in (row.anchor, row.positive, row.negative)
        )
        labels = batch.labels
        assert anchor != positive and labels[anchor] == labels[positive] != labels[negative]
        assert row.anchor.caption == row.positive.caption == train.class_names[labels[anchor]]
        assert len({tile.image.tobytes() for tile in row.again}) > 1
    assert "preset trivial" in drawn["subtitle"][2] and "30 train images" in drawn["subtitle"][0]


def spoil(folder, settings, places):
    """Makes the images at places of the first batch's triplets unreadable, returns what it was."""
    train, batch = first_batch(settings)
    rows = wiring.images.sample_rows(settings, train.labels)(0)
    spoilt = rows[[3 * number + part for number, part in places]]
    for row in spoilt:
        (folder / train.names[row]).write_text(f"no image {row}")
    return train, batch, np.isin(rows, spoilt)


def test_of_the_samplers_triplets_what_can_be_read_is_drawn(shapes, tmp_path, drawn):
    folder = shutil.copytree(shapes, tmp_path / "images")
    settings = config(folder, tmp_path, sampling__mode="triplets", augment__preset="none")
    anchor, positive, negative = (0, 0), (1, 1), (2, 2)
    train, batch, is_spoilt = spoil(folder, settings, [anchor, positive, negative])
    preview.preview(settings, output="x.png")
    triplets = np.arange(12).reshape(4, 3)[~is_spoilt[::3]]
    num_missing = is_spoilt[triplets].sum(1)
    assert {0, 1} <= set(num_missing) and len(triplets) < 4
    expected = triplets[np.argsort(num_missing, kind="stable")]
    assert len(drawn["rows"]) == len(expected)
    for row, places in zip(drawn["rows"], expected, strict=True):
        for tile, i in zip((row.anchor, row.positive, row.negative), places, strict=True):
            if is_spoilt[i]:
                assert tile is None
            else:
                np.testing.assert_array_equal(tile.image, batch.images[i])
                assert tile.caption == train.class_names[batch.labels[i]]
        for tile in (row.plain, *row.again):
            np.testing.assert_array_equal(tile.image, batch.images[places[0]])


def test_triplets_without_a_readable_anchor_are_told(shapes, tmp_path):
    folder = shutil.copytree(shapes, tmp_path / "images")
    settings = config(folder, tmp_path, sampling__mode="triplets")
    _, _, is_spoilt = spoil(folder, settings, [(number, 0) for number in range(4)])
    assert not is_spoilt.all()
    with pytest.raises(errors.RunError, match="no anchor of the batch can be read: skipped"):
        preview.preview(settings, output=tmp_path / "x.png")


def test_without_augmentation_the_image_again_is_the_image(shapes, tmp_path, drawn):
    preview.preview(config(shapes, tmp_path, augment__preset="none"), output="x.png")
    for row in drawn["rows"]:
        for tile in (row.anchor, *row.again):
            np.testing.assert_array_equal(tile.image, row.plain.image)
    assert "nothing is changed" in drawn["subtitle"][2]


def test_a_strength_of_the_policy_that_is_off_is_shown(shapes, tmp_path, drawn):
    off = config(shapes, tmp_path, augment__preset="trivial", augment__policy_degrees=0)
    preview.preview(off, output="x.png")
    assert "policy_degrees 0," in drawn["subtitle"][2]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "nothing is changed"),
        ({"augment.hue": 0.1, "augment.crop_scale_min": 0.5}, "crop_scale_min 0.5, hue 0.1"),
        (
            {"augment.erase_probability": 0.5},
            "erase_probability 0.5, erase_area_min 0.02, erase_area_max 0.33, erase_ratio_max 3.3",
        ),
    ],
)
def test_only_what_changes_an_image_is_told(fields, told):
    settings = config_files.load_config("train", {"augment.preset": "none"} | fields)
    assert preview._augmentation(settings) == f"preset none: {told}"


@pytest.mark.parametrize("mode", ["classes_by_samples", "hard_classes"])
@pytest.mark.parametrize(("num_classes", "again"), [(2, ", classes come again"), (3, ""), (4, "")])
def test_classes_that_come_again_in_a_batch_are_told(mode, num_classes, again):
    fields = {"sampling.mode": mode, "train.batch_size": 12}
    told = preview._sampling(config_files.load_config("train", fields), num_classes)
    assert told == f"batches of 3 classes x 4 images ({mode}{again})"


def test_weights_that_cannot_be_read_now_are_no_reason_to_draw_nothing(monkeypatch, caplog):
    weights = pretrained.Weights({}, "a", "1f", backbone.Preprocessing(image_size=96))
    monkeypatch.setattr(wiring.network, "read_weights", lambda config: weights)
    settings = config_files.load_config("train")
    assert preview._with_preprocessing(settings).data.image_size == 96

    def unreachable(config):
        raise errors.RunError("the hub does not answer")

    monkeypatch.setattr(wiring.network, "read_weights", unreachable)
    assert preview._with_preprocessing(settings) == preprocessing.resolve(settings)
    assert "usual preprocessing, since the hub does not answer" in caplog.text


def test_a_small_evaluation_batch_makes_no_smaller_page(shapes, tmp_path, drawn):
    preview.preview(config(shapes, tmp_path, eval__batch_size=1), output="x.png")
    assert len(drawn["rows"]) > 1


def test_the_page_is_a_picture_and_tells_what_was_mixed_in(shapes, tmp_path, monkeypatch):
    captions = []
    real = plot.draw
    monkeypatch.setattr(
        plot,
        "draw",
        lambda path, rows, **texts: (
            captions.extend(tile.mixed for row in rows for tile in row.again)
            or real(path, rows, **texts)
        ),
    )
    output = tmp_path / "pages" / "page.png"
    settings = config(shapes, tmp_path, augment__mixup_alpha=1.0, augment__erase_probability=0.5)
    assert preview.preview(settings, output=output) == output
    with Image.open(output) as image:
        assert image.width > 1000 and image.height > 400
    assert any(
        caption.startswith("+ ") and caption.split()[-1] in "circle square triangle"
        for caption in captions
    )


def test_a_share_that_rounds_to_nothing_is_still_told():
    labels = np.array([0, 1], np.int32)
    batch = batch_lib.Batch(
        np.zeros((2, 4, 4, 3), np.uint8),
        labels,
        np.ones(2, bool),
        mixed_labels=labels[::-1],
        mix_weights=np.array([0.997, 0.8], np.float32),
    )
    told = [preview._mixed_in(batch, place, ("ice cream", "apple")) for place in (0, 1)]
    assert told == ["+ <1% apple", "+ 20% ice cream"]


def test_a_source_without_a_path_is_named_alone(drawn):
    preview.preview(config_files.load_config("demo"), output="x.png")
    assert drawn["subtitle"][0].startswith("digits: ")


def test_a_batch_without_a_readable_image_is_told(tmp_path):
    for name in ("train/a", "train/b", "val/a", "val/b", "test/a", "test/b"):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for i in range(3):
            (folder / f"{i}.png").write_text(f"no image but text {name} {i}")
    with pytest.raises(errors.RunError, match="no anchor of the batch can be read: skipped"):
        preview.preview(config(tmp_path / "images", tmp_path), output=tmp_path / "x.png")


def test_the_page_lies_in_the_folder_of_the_versions(monkeypatch, tmp_path):
    monkeypatch.setattr(preview, "preview", lambda config, *, output: (config, output))
    demo = {"config": "demo", "workdir": tmp_path, "overrides": {"train.seed": 5}}
    drawn, output = preview.main(**demo, output=None)
    assert output == str(tmp_path / "preview.png") and drawn.train.seed == 5
    assert preview.main(**demo, output="x.png") == (drawn, "x.png")
    drawn, _ = preview.main(config=None, workdir=tmp_path, output=None, overrides={})
    assert drawn == config_files.load_config("train")
