import dataclasses
import functools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsearch import checkpoints, errors, parallel, preprocessing, runs, wiring
from simsearch.commands import training, validation
from simsearch.config import files as config_files
from simsearch.data import confusion as confusion_lib
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import splits as splits_lib
from simsearch.retrieval import embed
from simsearch.training import run
from tests.commands import tiny
from tests.data import sets


@pytest.mark.parametrize("split", ["image", "class"])
def test_the_class_vectors_are_monitored_where_validation_has_their_classes(split, tmp_path):
    config = config_files.load_config(
        "demo",
        {
            "data.split": split,
            "data.cache_dir": str(tmp_path),
            "train.monitor": "classifier_accuracy",
            "train.num_devices": 1,
            "train.batch_size": 48,
        },
    )
    if split == "image":
        assert set(training.prepare(config)) == {"train", "validation", "test"}
        return
    with pytest.raises(errors.UsageError, match="validation images of the classes"):
        training.prepare(config)


@pytest.fixture(scope="module")
def small(shapes, tmp_path_factory):
    """A configuration of a folder of small images, its splits and first variables."""
    cache = str(tmp_path_factory.mktemp("cache"))
    fields = tiny.FIELDS | {"data.path": str(shapes), "data.cache_dir": cache}
    config = config_files.load_config("train", fields | {"train.num_devices": 1})
    config = preprocessing.resolve(config)
    variables = wiring.network.initial_variables(config).variables
    return config, wiring.images.load_splits(config), variables


def validated(config, splits, variables, corrupt):
    validate = validation.create(config, splits, corrupt, confusion=confusion_lib.Confusion())
    return validate(parallel.replicate(variables, parallel.local_devices(1)), {})


def test_a_training_that_runs_out_of_memory_says_what_to_lower(small, tmp_path, monkeypatch):
    def exhausted(*_, **__):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    monkeypatch.setattr(wiring.network, "initial_variables", exhausted)
    with pytest.raises(errors.OutOfMemoryError, match="9 bytes; lower eval.batch_size, with"):
        training.train(small[0], workdir=tmp_path)
    runs.create(tmp_path, small[0])
    monkeypatch.setattr(run, "fit_version", exhausted)
    with pytest.raises(errors.OutOfMemoryError, match="or data.image_size"):
        training.resume(0, workdir=tmp_path)


def test_weights_that_are_no_numbers_any_more_end_the_training_as_divergence(small):
    config, splits, variables = small
    assert validated(config, splits, variables, corrupt_lib.CorruptLog())["map_at_r"] > 0
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, variables)
    with pytest.raises(errors.NotFiniteError, match="validation images are not finite; lower"):
        validated(config, splits, broken, corrupt_lib.CorruptLog())


def test_validation_images_of_which_too_few_can_be_read_are_told(small, shapes, tmp_path):
    config, _, variables = small
    shutil.copytree(shapes, tmp_path / "images")
    for path in (tmp_path / "images" / "val").glob("*/[1-9].png"):
        path.write_bytes(b"no image")
    data = dataclasses.replace(config.data, path=str(tmp_path / "images"))
    config = dataclasses.replace(config, data=data)
    with pytest.raises(errors.RunError, match="the validation split has 3 images.*: skipped 9"):
        validated(config, wiring.images.load_splits(config), variables, corrupt_lib.CorruptLog())


@pytest.mark.parametrize("frozen", [False, True])
def test_weights_without_statistics_take_those_of_the_first_batches(
    small, tmp_path, monkeypatch, frozen
):
    config, splits, variables = small
    rate = {"optimizer.learning_rate": 1e-9, "train.num_steps": 1, "train.ema_decay": 0.0}
    config = config_files.override(
        config, rate | {"model.freeze_batch_norm": frozen, "model.discriminant": False}
    )
    initial = wiring.network.Initial(variables, {"source": "a.npz", "sha256": ""}, is_folded=True)
    monkeypatch.setattr(wiring.network, "initial_variables", lambda *_: initial)
    version = training.train(config, workdir=tmp_path)
    with checkpoints.best_of(version) as (store, step):
        trained = store.restore_variables(step)
    corrupt = corrupt_lib.CorruptLog()
    images = next(wiring.images.first_images(config, splits["train"], corrupt=corrupt))
    embed = functools.partial(wiring.network.create(config).apply, train=False)
    after, before = embed(trained, images), embed(variables, images)
    # Of the one step, which no longer changes the weights, the running statistics know a tenth.
    np.testing.assert_allclose(after, before, atol=0.02)
    means = (tree["batch_stats"]["backbone"]["stem_norm"]["mean"] for tree in (variables, trained))
    assert (abs(np.subtract(*means)).max() < 1e-6) == frozen


def test_validation_images_that_could_not_be_read_are_not_measured(monkeypatch):
    config = config_files.load_config("demo", {"train.num_devices": 1})
    split = sets.make_split(12)
    valid = ~np.isin(np.arange(12), (0, 5))
    vectors = np.random.default_rng(0).normal(size=(12, 4)) + 2 * np.eye(4)[split.labels]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    monkeypatch.setattr(validation.embed, "create_embed_function", lambda config: None)

    def figures(split, vectors, valid):
        embedded = embed.Embedded(vectors, valid)
        monkeypatch.setattr(validation.embed, "embed_batches", lambda *_, **__: embedded)
        return validated(config, dict.fromkeys(("train", "validation"), split), {}, None)

    found = figures(split, vectors, valid)
    read = splits_lib.pick(split, np.flatnonzero(valid))
    assert found == figures(read, vectors[valid], valid[valid])
    assert 0 < found["map_at_r"] < 1
