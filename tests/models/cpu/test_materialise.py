import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsearch.models.cpu import materialise


def chain(x, kernels):
    """Residual blocks: each sum is read by the next block's product and the next sum."""
    for kernel in kernels:
        x = materialise.materialise(jax.nn.relu(x + x @ kernel))
    return x


def most_read(function, *args):
    """Returns the most arrays that one of a compiled function's loops reads."""
    entry = jax.jit(function).lower(*args).compile().as_text().split("ENTRY")[1]
    loops = re.findall(r" fusion\((.*?)\), kind=kLoop", entry)
    return max(operands.count("%") for operands in loops)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_it_is_the_identity_and_so_is_its_gradient(dtype):
    x = jnp.asarray([[-1.5, 0.0], [jnp.inf, 3.0]], dtype)
    kept, back = jax.jit(lambda x: jax.vjp(materialise.materialise, x))(x)
    np.testing.assert_array_equal(np.asarray(kept), np.asarray(x))
    assert kept.dtype == dtype
    np.testing.assert_array_equal(np.asarray(back(2 * x)[0]), np.asarray(2 * x))


def test_not_a_number_stays_where_it_is():
    x = jnp.asarray([jnp.nan, 1.0])
    np.testing.assert_array_equal(np.asarray(jax.jit(materialise.materialise)(x)), [np.nan, 1.0])


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="of the CPU's compiler")
def test_each_sum_of_a_chain_is_computed_once_forward_and_backward():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(64, 256)), jnp.float32)
    kernels = [jnp.asarray(0.05 * rng.normal(size=(256, 256)), jnp.float32) for _ in range(9)]
    assert most_read(chain, x, kernels) <= 4
    loss = jax.grad(lambda x, kernels: jnp.sum(chain(x, kernels) ** 2), argnums=(0, 1))
    assert most_read(loss, x, kernels) <= 6
