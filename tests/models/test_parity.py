"""Every backbone against independent ones: golden values always, live where torch is installed."""

import copy
import json
import pathlib
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import numpy as np
import pytest
import safetensors.numpy

from simsearch import models
from simsearch.models import catalog, pretrained
from tests.models import random_weights, torch_peer

GOLDEN = json.loads(pathlib.Path(__file__).with_name("golden.json").read_text())
ALWAYS_LIVE = ("resnet18",)
# So deep that in training mode float32 alone is too much off in single numbers.
DEEP = ("resnet101", "resnet152")
TIMM = json.loads(pathlib.Path(__file__).with_name("golden_timm.json").read_text())


class Programs(NamedTuple):
    """A backbone that ends with its pooled features, compiled once for all tests of it."""

    backbone: str
    shapes: Any
    evaluate: Any
    train: Any


def compiled(backbone, *, same_padding=False):
    network = models.create_network(
        backbone=backbone, embedding_size=8, head="none", same_padding=same_padding
    )

    @jax.jit
    def train(variables, images):
        return network.apply(variables, images, train=True, mutable=["batch_stats"])

    return Programs(
        backbone,
        models.abstract_variables(network, image_size=32),
        jax.jit(lambda variables, images: network.apply(variables, images, train=False)),
        train,
    )


@pytest.fixture(scope="module", params=GOLDEN["backbones"])
def programs(request):
    return compiled(request.param)


def names(programs, layout=0):
    """Returns the name in a checkpoint of every array, by its path."""
    torch_name = catalog.find(programs.backbone).torch_names[layout]
    paths = flax.traverse_util.flatten_dict(programs.shapes)
    return {path: pretrained.parameter_name(torch_name, path[2:]) for path in paths}


def random_variables(programs):
    arrays = {}
    shapes = flax.traverse_util.flatten_dict(programs.shapes)
    for path, name in names(programs).items():
        shape = shapes[path].shape
        array = random_weights.array(name, torch_peer.torch_shape(shape))
        arrays[path] = array.transpose(2, 3, 1, 0).reshape(shape) if array.ndim == 4 else array
    return flax.traverse_util.unflatten_dict(arrays)


def assert_summary(unit, expected, *, rtol):
    """Compares L2-normalised features with a summary of another implementation's."""
    norms = np.asarray(expected["norm"])[:, None]
    first = np.asarray(expected["first"]) / norms
    largest = np.asarray(expected["largest"]) / norms[:, 0]
    np.testing.assert_allclose(unit[:, :8], first, rtol=rtol, atol=rtol * largest.max())
    np.testing.assert_allclose(np.abs(unit).max(axis=1), largest, rtol=rtol)


def assert_features(unit, expected, *, rtol):
    """Compares L2-normalised features, all of them."""
    np.testing.assert_allclose(unit, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


def assert_as_exact(unit, exact, single):
    """Compares L2-normalised features with double precision's, as torch's single precision is.

    In training mode rounding grows with the depth: at 152 layers torch's own is 1.6e-3 of the
    largest feature.
    """

    def distances(found):
        off = found - exact
        return np.linalg.norm(off, axis=1).max(), np.abs(off).max() / np.abs(exact).max()

    bound = np.maximum(1.5 * np.array(distances(single)), 1e-4)
    np.testing.assert_array_less(distances(unit), bound)


def statistics(programs, changed):
    """Returns the running statistics after a training step, by torchvision's names."""
    flat = flax.traverse_util.flatten_dict({"batch_stats": changed["batch_stats"]})
    by_path = names(programs)
    return {by_path[path]: np.asarray(leaf) for path, leaf in flat.items()}


def test_features_equal_torchvisions(programs):
    variables, images = random_variables(programs), random_weights.images()
    expected = GOLDEN["backbones"][programs.backbone]
    unit = programs.evaluate(variables, images)
    assert_summary(np.asarray(unit), expected["eval"], rtol=1e-4)
    unit, changed = programs.train(variables, images)
    assert_summary(np.asarray(unit), expected["train"], rtol=1e-3)
    found = statistics(programs, changed)
    for name, values in expected["statistics"].items():
        np.testing.assert_allclose(found[name][:3], values, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.fixture
def live(request, programs):
    """Skips what is compared live on demand alone: torch takes minutes for all backbones."""
    if "torch" not in request.config.option.markexpr and programs.backbone not in ALWAYS_LIVE:
        pytest.skip("compared live by `pytest -m torch`")


@pytest.mark.torch
@pytest.mark.usefixtures("live")
def test_a_file_that_torch_wrote_gives_torchvisions_features(programs, tmp_path):
    torch, torchvision = torch_peer.load("torch"), torch_peer.load("torchvision")
    # What is left out at random cannot be compared.
    options = {"stochastic_depth_prob": 0.0} if "efficientnet" in programs.backbone else {}
    model = getattr(torchvision.models, programs.backbone)(**options)
    torch_peer.fill(model, seed=1)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    weights = pretrained.read_weights(str(tmp_path / "model.pth"), programs.backbone)
    variables = pretrained.lay_over(zeros(programs), weights, programs.backbone)

    images = random_weights.images(seed=1)
    setattr(model, "fc" if hasattr(model, "fc") else "classifier", torch.nn.Identity())
    expected = torch_peer.features(model, images, train=False)
    assert_features(programs.evaluate(variables, images), expected, rtol=1e-4)
    single = torch_peer.features(copy.deepcopy(model), images, train=True, is_double=False)
    expected = torch_peer.features(model, images, train=True)
    unit, changed = programs.train(variables, images)
    assert_as_exact(np.asarray(unit), expected, single)
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    for name, values in statistics(programs, changed).items():
        atol = 1e-5
        if programs.backbone in DEEP and name.endswith("running_mean"):
            # A mean near 0 has no size of its own: its unit is the spread of the channels.
            atol = 1e-3 * np.sqrt(state[name.replace("mean", "var")]).mean()
        np.testing.assert_allclose(values, state[name], rtol=1e-3, atol=atol, err_msg=name)


@pytest.mark.torch
@pytest.mark.usefixtures("live")
def test_a_file_of_timm_gives_timms_features(programs, tmp_path):
    torch_peer.load("torch")
    timm = torch_peer.load("timm")
    known = catalog.find(programs.backbone)
    model = timm.create_model(TIMM["backbones"][programs.backbone]["model"])
    torch_peer.fill(model, seed=2)
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    safetensors.numpy.save_file(state, tmp_path / "model.safetensors")
    weights = pretrained.read_weights(str(tmp_path / "model.safetensors"), programs.backbone)
    weights = weights._replace(preprocessing=known.preprocessing)
    variables = pretrained.lay_over(zeros(programs), weights, programs.backbone)
    if known.preprocessing.same_padding:
        programs = compiled(programs.backbone, same_padding=True)

    def pooled(pixels):
        return model.forward_features(pixels).mean((2, 3))

    images = random_weights.images(seed=2)
    expected = torch_peer.features(model, images, train=False, forward=pooled)
    assert_features(programs.evaluate(variables, images), expected, rtol=1e-4)


def zeros(programs):
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), programs.shapes)


@pytest.mark.parametrize("backbone", TIMM["backbones"])
def test_names_and_shapes_are_timms(backbone):
    network = models.create_network(backbone=backbone, embedding_size=8, head="none")
    shapes = models.abstract_variables(network, image_size=32)
    flat = flax.traverse_util.flatten_dict(shapes)
    torch_name = catalog.find(backbone).torch_names[-1]
    found = {
        pretrained.parameter_name(torch_name, path[2:]): torch_peer.torch_shape(leaf.shape)
        for path, leaf in flat.items()
    }
    assert torch_peer.digest(found) == TIMM["backbones"][backbone]["digest"]


@pytest.mark.parametrize("backbone", TIMM["backbones"])
def test_the_imagenet_checkpoint_is_made_ready_as_timm_says(backbone, tmp_path):
    golden = TIMM["backbones"][backbone]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(golden["config"]))
    known = catalog.find(backbone)
    assert pretrained.read_preprocessing(path) == known.preprocessing
    assert known.imagenet == f"timm/{golden['config']['architecture']}.{golden['tag']}"


def test_every_backbone_is_compared():
    assert set(GOLDEN["backbones"]) == set(TIMM["backbones"]) == set(models.BACKBONES)
