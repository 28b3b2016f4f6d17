import dataclasses
import functools
import json

import flax.traverse_util
import numpy as np
import pytest
import safetensors.numpy

from simsearch import errors, models, preprocessing, runs, wiring
from simsearch.commands import training
from simsearch.config import files as config_files
from simsearch.models import backbone, catalog, pretrained, resnet
from simsearch.retrieval import embed
from tests.models import random_weights

CHECKPOINT = backbone.Preprocessing(
    image_mean=(0.5, 0.4, 0.3),
    image_std=(0.2, 0.3, 0.4),
    image_size=96,
    crop_ratio=0.75,
    resize_mode="squash",
    interpolation="bicubic",
    same_padding=True,
)


def load(**overrides):
    named = {name.replace("__", "."): value for name, value in overrides.items()}
    return config_files.load_config("train", named)


def test_what_is_open_is_the_checkpoints():
    resolved = preprocessing.resolve(load(), CHECKPOINT)
    data = resolved.data
    assert (data.image_size, data.resize_size) == (96, 128)
    assert (data.resize_mode, data.interpolation) == ("squash", "bicubic")
    assert (data.image_mean, data.image_std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert resolved.model.padding == "tensorflow"
    assert preprocessing.describe(resolved) == (
        "96 x 96 pixels, squashed to 128 (bicubic), mean 0.5, 0.4, 0.3, std 0.2, 0.3, 0.4, "
        "padded as in TensorFlow"
    )


def test_a_key_is_for_good_and_tells_ways_apart():
    config = preprocessing.resolve(load(), CHECKPOINT)
    keyed = "96 x 96 pixels, {} to 128 (bicubic), mean 0.5, 0.4, 0.3, std 0.2, 0.3, 0.4{}"
    # On the disks of all who have indexed: never to be worded anew.
    assert preprocessing.key(config) == keyed.format("squashed", ", padded as in TensorFlow")
    data = dataclasses.replace(config.data, resize_mode="both")
    network = dataclasses.replace(config.model, padding="torch", mirror=True)
    assert preprocessing.key(dataclasses.replace(config, data=data, model=network)) == keyed.format(
        "squashed and shorter side resized", ", together with their mirror images"
    )


def test_what_is_said_stays_and_the_crop_ratio_follows_the_size():
    said = {
        "data.image_size": "48",
        "data.resize_mode": "short_side",
        "data.interpolation": "bilinear",
        "data.image_mean": "(0.1, 0.2, 0.3)",
        "data.image_std": "[1, 1, 1]",
        "model.padding": "torch",
    }
    config = config_files.load_config("train", said)
    resolved = preprocessing.resolve(config, CHECKPOINT)
    assert resolved.data.resize_size == 64
    unchanged = dataclasses.replace(resolved.data, resize_size=0)
    assert dataclasses.replace(resolved, data=unchanged) == config
    assert preprocessing.resolve(resolved, backbone.Preprocessing()) == resolved


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"data.image_size": "7"}, "data.image_size=7 must be at least 8, or 0"),
        ({"data.image_mean": "0.5"}, "numbers between brackets"),
        ({"data.image_mean": "(0.5, 0.5)"}, "must be three numbers"),
        ({"data.image_std": "(0.5, 0, 0.5)"}, "data.image_std=0 must be <= 1 and > 0"),
        ({"data.image_mean": "('a', 1, 1)"}, "numbers between brackets"),
        ({"data.interpolation": "lanczos"}, "must be one of auto, bilinear, bicubic"),
    ],
)
def test_a_wrong_value_is_refused(overrides, words):
    with pytest.raises(errors.UsageError) as caught:
        config_files.load_config("train", overrides)
    assert words in str(caught.value)


def test_a_resize_that_is_smaller_than_the_weights_images_is_refused():
    with pytest.raises(errors.UsageError, match="data.resize_size=90 must be at least .*=96"):
        preprocessing.resolve(load(data__resize_size=90), CHECKPOINT)


def test_padding_that_a_backbone_does_not_have_is_refused():
    with pytest.raises(errors.UsageError, match="model.padding=tensorflow is not for resnet50"):
        wiring.network.check(load(model__padding="tensorflow"))


def test_a_version_from_before_these_fields_means_what_was_done_then():
    stored = json.loads(json.dumps(dataclasses.asdict(preprocessing.resolve(load()))))
    for name in ("interpolation", "image_mean", "image_std"):
        del stored["data"][name]
    del stored["model"]["padding"]
    config = config_files.load_stored(json.dumps(stored))
    assert config == preprocessing.resolve(config, CHECKPOINT)
    assert config.data.image_mean == models.IMAGE_MEAN
    assert config.data.image_std == models.IMAGE_STD
    assert (config.data.interpolation, config.model.padding) == ("bilinear", "torch")


@pytest.fixture
def tiny_weights(monkeypatch, tmp_path):
    """A file of weights of a tiny backbone, with timm's description beside it."""
    trunk = functools.partial(resnet.ResNet, (1, 1, 1, 1), bottleneck=False)
    monkeypatch.setitem(
        catalog._BY_NAME, "tiny", backbone.Backbone(trunk, (resnet.torch_name,), "")
    )
    network = models.create_network(backbone="tiny", embedding_size=4, head="none")
    shapes = models.abstract_variables(network, image_size=32)
    arrays = {}
    for path, leaf in flax.traverse_util.flatten_dict(shapes).items():
        name = pretrained.parameter_name(resnet.torch_name, path[2:])
        shape = leaf.shape[3:1:-1] + leaf.shape[:2] if leaf.ndim == 4 else leaf.shape
        arrays[name] = random_weights.array(name, shape)
    safetensors.numpy.save_file(arrays, tmp_path / "model.safetensors")
    facts = {"input_size": [3, 28, 28], "crop_pct": 0.7, "mean": [0.1] * 3, "std": [0.5] * 3}
    facts |= {"crop_mode": "squash", "interpolation": "bicubic"}
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": facts}))
    return tmp_path / "model.safetensors"


def test_a_version_makes_images_ready_as_its_weights_say(tiny_weights, shapes, tmp_path, caplog):
    caplog.set_level("INFO", "simsearch")
    overrides = {
        "data.source": "folder",
        "data.path": str(shapes),
        "data.cache_dir": str(tmp_path / "cache"),
        "model.backbone": "tiny",
        "model.weights": str(tiny_weights),
        "model.head": "none",
        "train.num_epochs": 0,
        "train.batch_size": 12,
        "eval.batch_size": 16,
    }
    workdir = tmp_path / "runs"
    training.train(config_files.load_config("train", overrides), workdir=workdir)
    assert "images 28 x 28 pixels, squashed to 40 (bicubic), mean 0.1, 0.1, 0.1" in caplog.text
    stored = runs.find(workdir).config
    assert (stored.data.image_size, stored.data.resize_size) == (28, 40)
    assert stored.data.image_std == (0.5, 0.5, 0.5)
    # What is said again, open or not, agrees with what was stored.
    training.resume(0, workdir=workdir, config_name="train", overrides=overrides)
    assert f"tiny, not trained, from weights {tiny_weights}, SHA-256 " in caplog.text

    embedder = embed.Embedder.from_version(0, workdir=workdir)
    image = embedder.preprocess((shapes / "test" / "circle" / "0.png").read_bytes())
    assert image.shape == (28, 28, 3)
    network = wiring.network.create(stored)
    assert network.image_mean == (0.1, 0.1, 0.1) and network.image_std == (0.5, 0.5, 0.5)
    np.testing.assert_allclose(np.linalg.norm(embedder.embed(image[None])), 1.0, rtol=1e-5)
