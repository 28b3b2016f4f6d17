"""A set that changes after a training: what was trained on is not measured in silence."""

import shutil

import numpy as np
import pytest

import simsearch
from simsearch import errors, runs, wiring
from simsearch.commands import trained_images
from simsearch.config import files as config_files
from tests.commands import tiny

TINY = tiny.FIELDS | {"data.valid_fraction": 0.3, "data.test_fraction": 0.3}


@pytest.fixture(scope="module")
def trained(shapes, tmp_path_factory):
    """A version, its workdir and its images, in class folders that are split at random."""
    root = tmp_path_factory.mktemp("grown")
    shutil.copytree(shapes / "train", root / "images")
    config = simsearch.load_config(
        "train",
        TINY | {"data.path": str(root / "images"), "data.cache_dir": str(root / "cache")},
    )
    return simsearch.train(config, workdir=root / "runs"), root / "runs", root / "images"


def test_an_evaluation_counts_the_images_that_were_trained_on(trained, tmp_path, caplog):
    version, workdir, images = trained
    with caplog.at_level("WARNING", "simsearch"):
        simsearch.evaluate(version.number, workdir=workdir, seed=0)
    assert "trained on" not in caplog.text
    # Without what was held out for test, others are, down to some that were trained on.
    before = wiring.images.load_splits(version.config)
    shutil.copytree(images, tmp_path / "images")
    for name in before["test"].names:
        (tmp_path / "images" / name).unlink()
    overrides = {"data.path": str(tmp_path / "images")}
    config = simsearch.load_config("train", TINY | overrides)
    now = wiring.images.load_splits(config)["validation"].names
    num_seen = len(set(now) & set(before["train"].names))
    assert num_seen
    with caplog.at_level("WARNING", "simsearch"):
        simsearch.evaluate(
            version.number, workdir=workdir, split="validation", seed=0, overrides=overrides
        )
    words = f"version 0 was trained on {num_seen} of the {len(now)} validation images"
    assert words in caplog.text


def test_other_classes_have_no_class_vectors(trained, tmp_path, caplog):
    version, workdir, images = trained
    shutil.copytree(images, tmp_path / "images")
    first = min((tmp_path / "images").iterdir())
    first.rename(first.with_name("zebra"))
    with caplog.at_level("WARNING", "simsearch"):
        found = simsearch.evaluate(
            version.number,
            workdir=workdir,
            seed=0,
            overrides={"data.path": str(tmp_path / "images")},
        )
    assert "of other classes than version 0 was trained on" in caplog.text
    assert "classifier_accuracy" not in found.figures.metrics
    assert "knn_accuracy" in found.figures.metrics


def test_what_is_made_of_others_knows_the_images_of_all(tmp_path):
    config = config_files.load_config("demo")
    known = ([5, 1], [9, 1], None)
    versions = [runs.create(tmp_path, config) for _ in (*known, "made")]
    for version, images in zip(versions, known, strict=False):
        if images:
            runs.write_arrays(version.trained_images_file, images=np.array(images, np.uint64))
    trained_images.remember_all(versions[-1], versions[:-1])
    assert trained_images._load(versions[-1])["images"].tolist() == [1, 5, 9]


def test_a_run_does_not_go_on_with_other_images(trained, tmp_path):
    version, workdir, images = trained
    simsearch.resume(version.number, workdir=workdir)
    some = min(path for path in (images).rglob("*.png"))
    moved = tmp_path / some.name
    before = trained_images._load(version)["images"]
    shutil.move(some, moved)
    try:
        with pytest.raises(errors.UsageError, match="began with other train images: .* gone"):
            simsearch.resume(version.number, workdir=workdir)
    finally:
        shutil.move(moved, some)
    assert (trained_images._load(version)["images"] == before).all()
    simsearch.resume(version.number, workdir=workdir)


def test_a_run_does_not_go_on_with_other_validation_images(trained):
    version, workdir, images = trained
    held_out = images / wiring.images.load_splits(version.config)["validation"].names[0]
    content = held_out.read_bytes()
    held_out.write_bytes(content + b" ")
    try:
        with pytest.raises(errors.UsageError, match="began with other validation images: 1 are"):
            simsearch.resume(version.number, workdir=workdir)
    finally:
        held_out.write_bytes(content)
    images_alone = trained_images._load(version)["images"]
    runs.write_arrays(version.trained_images_file, images=images_alone)
    simsearch.resume(version.number, workdir=workdir)  # As an earlier program left it.


def test_images_that_are_a_link_today_are_the_same(trained, tmp_path):
    version, workdir, images = trained
    moved = tmp_path / "moved"
    images.rename(moved)
    images.symlink_to(moved)
    simsearch.resume(version.number, workdir=workdir)
    simsearch.resume(version.number, workdir=workdir, overrides={"data.path": str(images)})
    assert version.config.data.path == str(images)
    images.unlink()
    moved.rename(images)


def test_a_run_goes_on_where_the_same_images_lie_elsewhere(trained, tmp_path):
    version, workdir, images = trained
    moved = images.rename(tmp_path / "moved")
    with pytest.raises(errors.UsageError, match="does not exist: check data.path"):
        simsearch.resume(version.number, workdir=workdir)
    overrides = {"data.path": str(moved), "data.num_threads": 1}
    with pytest.raises(errors.UsageError, match="these differ: train.seed: 0 -> 1; leave them"):
        simsearch.resume(version.number, workdir=workdir, overrides=overrides | {"train.seed": 1})
    here = config_files.override(version.config, overrides)
    some = moved / wiring.images.load_splits(here)["train"].names[0]
    content = some.read_bytes()
    some.write_bytes(content + b" ")
    with pytest.raises(errors.UsageError, match="began with other .* images"):
        simsearch.resume(version.number, workdir=workdir, overrides=overrides)
    assert version.config.data.path == str(images), "nothing of it was kept"
    some.write_bytes(content)
    simsearch.resume(version.number, workdir=workdir, overrides=overrides)
    assert version.config.data.path == str(moved) and version.config.data.num_threads == 1
    simsearch.resume(version.number, workdir=workdir)
    moved.rename(images)
    simsearch.resume(version.number, workdir=workdir, overrides={"data.path": str(images)})


def test_a_version_without_its_last_step_says_so(trained, caplog):
    version, workdir, _ = trained
    kept = version.discriminant_file.read_bytes()
    version.discriminant_file.unlink()
    with caplog.at_level("WARNING", "simsearch"):
        simsearch.evaluate(version.number, workdir=workdir, seed=0)
    assert "version 0 was not trained to its end" in caplog.text
    version.discriminant_file.write_bytes(kept)
    caplog.clear()
    with caplog.at_level("WARNING", "simsearch"):
        simsearch.evaluate(version.number, workdir=workdir, seed=0)
    assert "to its end" not in caplog.text
