import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsearch import models
from simsearch.models.cpu import platform


@pytest.mark.parametrize(("backend", "expected"), [("cpu", "cpu"), ("gpu", "default")])
def test_only_the_form_of_the_platform_is_traced(monkeypatch, backend, expected):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    traced = []

    def form(name):
        return lambda x: traced.append(name) or x + 1

    y = jax.jit(lambda x: platform.choose(x, cpu=form("cpu"), default=form("default")))(jnp.ones(2))
    assert traced == [expected]
    assert np.all(y == 2)


def test_a_network_of_the_other_forms_gives_the_same_features(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    network = models.create_network(
        backbone="mobilenet_v2",
        embedding_size=16,
        head="linear",
        pooling="average",
        dtype=jnp.float32,
        image_mean=(0.5,) * 3,
        image_std=(0.25,) * 3,
        same_padding=False,
        axis_name=None,
        freeze_batch_norm=False,
        freeze="none",
    )
    variables = models.initialise(network, seed=0, image_size=64)
    here = network.apply(variables, images, train=False)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    elsewhere = network.apply(variables, images, train=False)
    np.testing.assert_allclose(elsewhere, here, atol=1e-5)
