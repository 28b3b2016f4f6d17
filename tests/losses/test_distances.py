"""Distances against their definition, and their gradients where embeddings coincide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsearch.losses import distances

NAMES = sorted(distances.DISTANCES)


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 5)), rng.normal(size=(7, 5))


@pytest.mark.parametrize("name", NAMES)
def test_pairwise_and_paired_match_the_definition(oracles, vectors, name):
    x, y = vectors
    expected = oracles.all_distances(x, y[:4], name=name)
    pairwise = distances.DISTANCES[name].pairwise(jnp.float32(x), jnp.float32(y[:4]))
    assert pairwise.shape == (7, 4) and pairwise.dtype == jnp.float32
    np.testing.assert_allclose(pairwise, expected, rtol=1e-5, atol=1e-5)  # float32
    expected = [oracles.distance(a, b, name=name) for a, b in zip(x, y, strict=True)]
    paired = distances.DISTANCES[name].paired(jnp.float32(x), jnp.float32(y))
    np.testing.assert_allclose(paired, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_on_equal_and_on_zero_vectors(name):
    x = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    pairwise, paired = distances.DISTANCES[name]
    for function in (pairwise, paired):
        gradient = jax.grad(lambda x, y, function=function: function(x, y).sum())(x, x)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", NAMES)
def test_distances_are_never_negative(name):
    x = np.random.default_rng(1).normal(size=(40, 8)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert (distances.DISTANCES[name].pairwise(jnp.asarray(x), jnp.asarray(x)) >= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_embeddings_are_compared_in_float32(vectors, name):
    x, y = (jnp.asarray(v, jnp.bfloat16) for v in vectors)
    for function in distances.DISTANCES[name]:
        expected = function(x.astype(jnp.float32), y.astype(jnp.float32))
        np.testing.assert_array_equal(function(x, y), expected)


def test_cosine_distance_is_half_the_squared_distance_of_unit_vectors(vectors):
    x, y = (jnp.float32(v / np.linalg.norm(v, axis=1, keepdims=True)) for v in vectors)
    half = distances.squared_euclidean(x, y) / 2
    np.testing.assert_allclose(distances.cosine_distance(x, y), half, atol=1e-6)
