import json
import pathlib

import flax.traverse_util
import jax
import numpy as np
import pytest

from simsearch import models
from simsearch.models import catalog, pretrained
from tests.models import random_weights

GOLDEN = json.loads(pathlib.Path(__file__).with_name("golden.json").read_text())


def torchvision_name(backbone):
    return catalog.find(backbone).torch_names[0]


def torch_shape(shape):
    """Returns [O, I, H, W] of a kernel, also of a dense one, which is a 1x1 convolution there."""
    if len(shape) == 1:
        return shape
    *side, inputs, features = shape
    return (features, inputs, *(side or (1, 1)))


def create(backbone):
    """Returns a network that ends with the pooled features, and its random variables."""
    network = models.create_network(backbone=backbone, embedding_size=8, head="none")
    shapes = jax.eval_shape(
        lambda: network.init(jax.random.key(0), random_weights.images()[:1], train=False)
    )
    flat = flax.traverse_util.flatten_dict(shapes)
    arrays = {}
    for path, leaf in flat.items():
        name = pretrained.parameter_name(torchvision_name(backbone), path[2:])
        array = random_weights.array(name, torch_shape(leaf.shape))
        arrays[path] = array.transpose(2, 3, 1, 0).reshape(leaf.shape) if array.ndim == 4 else array
    return network, flax.traverse_util.unflatten_dict(arrays)


def assert_features(unit, expected, *, rtol):
    """Compares L2-normalised features with those of another implementation."""
    norms = np.asarray(expected["norm"])[:, None]
    first = np.asarray(expected["first"]) / norms
    largest = np.asarray(expected["largest"]) / norms[:, 0]
    np.testing.assert_allclose(unit[:, :8], first, rtol=rtol, atol=rtol * largest.max())
    np.testing.assert_allclose(np.abs(unit).max(axis=1), largest, rtol=rtol)


@pytest.mark.parametrize("backbone", GOLDEN["backbones"])
def test_features_equal_torchvision(backbone):
    network, variables = create(backbone)
    expected = GOLDEN["backbones"][backbone]
    images = random_weights.images()
    unit = jax.jit(lambda v, x: network.apply(v, x, train=False))(variables, images)
    assert_features(np.asarray(unit), expected["eval"], rtol=1e-4)

    @jax.jit
    def train(variables, images):
        return network.apply(variables, images, train=True, mutable=["batch_stats"])

    unit, changed = train(variables, images)
    assert_features(np.asarray(unit), expected["train"], rtol=1e-3)
    found = {
        pretrained.parameter_name(torchvision_name(backbone), path[1:]): np.asarray(leaf)[:3]
        for path, leaf in flax.traverse_util.flatten_dict(changed["batch_stats"]).items()
    }
    for name, values in expected["statistics"].items():
        np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-5, err_msg=name)


def test_every_backbone_is_compared():
    assert set(GOLDEN["backbones"]) == set(models.BACKBONES)
