import dataclasses
import json
import os
import re
import shutil

import jax
import numpy as np
import pytest

import simsearch
from simsearch import checkpoints, errors, runs, wiring
from simsearch.commands import average
from tests.commands import tiny

TINY = tiny.FIELDS | {"model.freeze_batch_norm": True}


@pytest.fixture(scope="module")
def workdir(shapes, tmp_path_factory):
    """Two versions that saw the images in another order, and a third from other weights."""
    root = tmp_path_factory.mktemp("averaged")
    common = TINY | {"data.path": str(shapes), "data.cache_dir": str(root / "cache")}
    for more in ({"sampling.seed": 1}, {"sampling.seed": 2}, {"train.seed": 1}):
        simsearch.train(simsearch.load_config("train", common | more), workdir=root / "runs")
    return root / "runs"


def variables(version):
    store = checkpoints.open_to_read(version.checkpoint_dir, monitor=version.config.train.monitor)
    return store.restore_variables(store.best_step())


def test_the_weights_are_the_mean_and_the_version_is_whole(workdir, caplog):
    with caplog.at_level("INFO", "simsearch"):
        made = simsearch.average([0, 1], workdir=workdir)
    one, two = (variables(runs.find(workdir, number)) for number in (0, 1))
    assert any(
        np.abs(a - b).max() > 1e-5 for a, b in zip(*map(jax.tree.leaves, (one, two)), strict=True)
    ), "the order of the images must matter"
    jax.tree.map(
        lambda a, b, mean: np.testing.assert_allclose(mean, (a + b) / 2, rtol=1e-6, atol=1e-7),
        one,
        two,
        variables(made),
    )
    assert made.number == 3
    assert made.calibration_file.exists() and made.discriminant_file.exists()
    told = dict(re.findall(r"(version \d|their mean): validation map_at_r ([\d.]+)", caplog.text))
    assert sorted(told) == ["their mean", "version 0", "version 1"]
    best = max(told, key=lambda name: float(told[name]))
    assert ("by itself is better" in caplog.text) == (best != "their mean")
    assert "those before the discriminant" in caplog.text
    with caplog.at_level("INFO", "simsearch"):
        figures = simsearch.evaluate(made.number, workdir=workdir, seed=0).figures.metrics
    assert 0 < figures["map_at_r"].value <= 1 and "classifier_accuracy" in figures
    assert "the mean of versions 0, 1," in caplog.text


def test_a_mean_whose_making_was_stopped_is_completed(workdir, caplog):
    made = simsearch.average([0, 1], workdir=workdir)
    expected = made.calibration_file.read_bytes()
    made.calibration_file.unlink()
    made.discriminant_file.unlink()
    with caplog.at_level("INFO", "simsearch"):
        simsearch.resume(made.number, workdir=workdir)
    assert "the mean of versions 0, 1, is whole" in caplog.text
    assert made.discriminant_file.exists() and made.calibration_file.read_bytes() == expected
    empty = runs.create(workdir, made.config, facts={"average_of": [0, 1]})
    with pytest.raises(errors.UsageError, match="has no weights; make another with .*=0,1"):
        simsearch.resume(empty.number, workdir=workdir)
    empty.checkpoint_dir.mkdir()  # As one leaves it that was killed while it saved.
    with pytest.raises(errors.UsageError, match="has no weights; make another with"):
        simsearch.resume(empty.number, workdir=workdir)
    shutil.rmtree(empty.path)


def test_versions_from_other_first_weights_are_refused(workdir):
    with pytest.raises(errors.UsageError, match="train.seed: 0 -> 1.*vary sampling.seed"):
        simsearch.average([0, 2], workdir=workdir)


def test_first_weights_of_another_generator_are_other_first_weights(workdir, tmp_path):
    version = runs.find(workdir, 0)
    own = {"random_generator": version.read_facts()["random_generator"]}
    for facts in ({}, own, own):  # Of the first the simsearch before did not say.
        runs.create(tmp_path, version.config, facts=facts)
    with pytest.raises(errors.UsageError, match="differ: the generator of the random weights"):
        simsearch.average([0, 1], workdir=tmp_path)
    with pytest.raises(errors.UsageError, match="checkpoint"):
        simsearch.average([1, 2], workdir=tmp_path)


def test_without_a_head_other_seeds_are_other_first_weights_where_none_were_loaded(
    workdir, tmp_path
):
    config = runs.find(workdir, 0).config
    headless = dataclasses.replace(config, model=dataclasses.replace(config.model, head="none"))
    seeded = dataclasses.replace(headless, train=dataclasses.replace(config.train, seed=1))
    for each in (headless, seeded):
        runs.create(tmp_path, each, facts={})
    with pytest.raises(errors.UsageError, match="different random weights"):
        simsearch.average([0, 1], workdir=tmp_path)


def test_other_first_class_vectors_are_other_first_weights(workdir, tmp_path, monkeypatch):
    monkeypatch.setattr(wiring.network, "embedding_size", None)  # The names alone are compared.
    config = runs.find(workdir, 0).config
    model = dataclasses.replace(config.model, head="none", weights="weights.npz")
    loaded = dataclasses.replace(config, model=model)
    assert loaded.loss.terms.normalised_softmax
    seeded = dataclasses.replace(loaded, train=dataclasses.replace(config.train, seed=1))
    for each in (loaded, seeded):
        runs.create(tmp_path, each, facts={})
    with pytest.raises(errors.UsageError, match="different random weights"):
        simsearch.average([0, 1], workdir=tmp_path)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_statistics_that_one_of_them_trained_are_taken_anew(workdir, tmp_path, order):
    for number in (0, 1):
        shutil.copytree(runs.find(workdir, number).path, tmp_path / f"version_{number}")
    means = [variables(simsearch.average(order, workdir=tmp_path))]
    stored = tmp_path / "version_1" / "config.json"
    values = json.loads(stored.read_text())
    values["model"]["freeze_batch_norm"] = False
    stored.write_text(json.dumps(values))
    means.append(variables(simsearch.average(order, workdir=tmp_path)))
    kept, anew = (mean["batch_stats"]["backbone"]["stem_norm"]["mean"] for mean in means)
    assert abs(kept).max() == 0 and abs(anew).max() > 0.1
    jax.tree.map(np.testing.assert_array_equal, *(mean["params"] for mean in means))


@pytest.mark.parametrize("numbers", [[], [0], [0, 0]])
def test_one_version_is_no_average(numbers, workdir):
    with pytest.raises(errors.UsageError, match="two or more different versions"):
        simsearch.average(numbers, workdir=workdir)


def test_the_images_may_lie_elsewhere_and_the_devices_be_others(workdir, shapes, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(shapes, moved)
    overrides = {"data.path": os.path.relpath(moved), "train.num_devices": "1"}
    made = simsearch.average([0, 1], workdir=workdir, overrides=overrides)
    assert made.config.data.path == str(moved) and made.config.train.num_devices == 1
    shutil.rmtree(made.path)


@pytest.mark.parametrize(
    "overrides, has_one", [({}, False), ({"model.discriminant": "True"}, True)]
)
def test_what_is_averaged_may_save_the_time_for_a_discriminant(
    workdir, tmp_path, overrides, has_one
):
    for number in (0, 1):
        copy = shutil.copytree(workdir / f"version_{number}", tmp_path / f"version_{number}")
        values = json.loads((copy / "config.json").read_text())
        values["model"]["discriminant"] = False
        (copy / "config.json").write_text(json.dumps(values))
        (copy / "discriminant.npz").unlink()
    made = simsearch.average([0, 1], workdir=tmp_path, overrides=overrides)
    assert made.discriminant_file.exists() == has_one


def test_what_is_averaged_may_save_the_time_for_a_second_view(workdir, shapes, tmp_path):
    made = simsearch.average([0, 1], workdir=workdir, overrides={"data.resize_mode": "both"})
    assert made.config.data.resize_mode == "both"
    assert runs.find(workdir, 0).config.data.resize_mode == "squash"
    url = f"lance:{tmp_path}/index"
    with simsearch.Index.open(url, version=made.number, workdir=workdir, create=True) as index:
        assert index.embedder.input_shape == (24, 24, 6)
        assert index.sync(shapes / "test").added == 15
        path = next((shapes / "test").rglob("*.png"))
        best = index.search(path, top_k=1).hits[0]
        assert best.path == str(path.relative_to(shapes / "test"))
        assert best.score == pytest.approx(1, abs=1e-5)


def test_a_view_that_is_left_open_is_the_first_versions(workdir):
    made = simsearch.average([0, 1], workdir=workdir, overrides={"data.resize_mode": "auto"})
    assert made.config.data.resize_mode == "squash"


def test_images_of_other_classes_are_refused(workdir, shapes, tmp_path):
    grown = tmp_path / "grown"
    shutil.copytree(shapes, grown)
    shutil.copytree(grown / "train/circle", grown / "train/disc")
    overrides = {"data.path": str(grown)}
    with pytest.raises(errors.UsageError, match="version 0 began with other classes; bring them"):
        simsearch.average([0, 1], workdir=workdir, overrides=overrides)
    made = simsearch.average([0, 1], workdir=workdir)
    with pytest.raises(errors.UsageError, match="began with other classes"):
        simsearch.resume(made.number, workdir=workdir, overrides=overrides)
    shutil.rmtree(made.path)


def test_validation_images_that_are_too_few_now_are_told(workdir, shapes, tmp_path):
    few = shutil.copytree(shapes, tmp_path / "few")
    for path in (few / "val").glob("*/[1-9].png"):
        path.unlink()
    with pytest.raises(errors.UsageError, match="can be retrieved; add images to it$"):
        simsearch.average([0, 1], workdir=workdir, overrides={"data.path": str(few)})


@pytest.mark.parametrize("given", [None, [], ["3"], ["3", "03"], ["0", "1", "²"]])
def test_two_or_more_numbers_are_needed(given, tmp_path):
    with pytest.raises(errors.UsageError, match="needs --versions=A,B,…, the numbers of two"):
        average.main(versions=given, workdir=tmp_path, overrides={})


def test_the_network_cannot_be_configured(workdir):
    with pytest.raises(errors.UsageError, match="model.mirror cannot be changed here"):
        average.main(versions=["0", "1"], workdir=workdir, overrides={"model.mirror": "True"})
