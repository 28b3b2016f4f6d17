import flax.linen as nn
import jax
import numpy as np
import pytest

from simsearch.models.cpu import max_pool


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 7, 9, 2), (3, 1, 5, 1)])
@pytest.mark.parametrize("levels", [2, 1000], ids=["equal values", "hardly any"])
def test_values_and_gradient_are_those_of_the_plain_form(shape, levels):
    rng = np.random.default_rng(0)
    x = (rng.integers(0, levels, shape) / levels).astype(np.float32)

    def plain(x):
        return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))

    expected, expected_gradient = jax.vjp(plain, x)
    found, gradient = jax.vjp(max_pool.max_pool, x)
    np.testing.assert_array_equal(found, expected)
    dy = rng.normal(size=found.shape).astype(np.float32)
    np.testing.assert_allclose(gradient(dy)[0], expected_gradient(dy)[0], rtol=1e-6, atol=1e-6)


def test_padding_is_never_the_largest():
    x = np.full((1, 4, 4, 1), -np.inf, np.float32)
    (gradient,) = jax.vjp(max_pool.max_pool, x)[1](np.ones((1, 2, 2, 1), np.float32))
    assert gradient.shape == x.shape and np.all(np.isfinite(gradient))
