"""Logarithms of masked sums of exponentials, finite in value and gradient whatever is masked."""

import jax
import jax.numpy as jnp


def log_sum_exp(exponents: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns log(sum over n of exp(x_an)), float32 [A]; 0 where a row has nothing to add up.

    Args:
        exponents: x, float [A, N].
        mask: What to add up, bool [A, N].
    """
    largest = _largest(exponents, mask)
    total = jnp.sum(_exponentials(exponents, mask, largest), axis=1)
    return largest[:, 0] + jnp.log(jnp.where(total > 0.0, total, 1.0))


def log_one_plus_sum_exp(exponents: jax.Array, weights: jax.Array) -> jax.Array:
    """Returns log(1 + sum over n of w_an exp(x_an)), float32 [A].

    Args:
        exponents: x, float [A, N].
        weights: w >= 0, bool or float [A, N]; 0 leaves a place out, whatever stands in it.
    """
    largest = jnp.maximum(_largest(exponents, weights > 0), 0.0)
    exponentials = _exponentials(exponents, weights > 0, largest)
    total = jnp.exp(-largest[:, 0]) + jnp.sum(weights * exponentials, axis=1)
    return largest[:, 0] + jnp.log(total)


def _largest(exponents: jax.Array, mask: jax.Array) -> jax.Array:
    # Subtracted before exp, which would overflow; as a constant it has no part in the gradient.
    largest = jnp.max(jnp.where(mask, exponents, -jnp.inf), axis=1, keepdims=True)
    return jax.lax.stop_gradient(jnp.where(jnp.isfinite(largest), largest, 0.0))


def _exponentials(exponents: jax.Array, mask: jax.Array, largest: jax.Array) -> jax.Array:
    # Cleared before exp: what is masked may exceed the largest by far, and inf * 0 is NaN.
    return jnp.where(mask, jnp.exp(jnp.where(mask, exponents - largest, 0.0)), 0.0)
