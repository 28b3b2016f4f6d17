"""Distances between embeddings, between all pairs and between rows that belong together.

All are float32 whatever comes in, and their gradients are finite where two embeddings coincide.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

# Below this a squared distance or norm counts as 0; far under float32 rounding on unit vectors.
_MIN_SQUARED = 1e-12


class Distance(NamedTuple):
    """One distance in its two shapes.

    Attributes:
        pairwise: (x [N, D], y [M, D]) -> [N, M].
        paired: (x [B, D], y [B, D]) -> [B].
    """

    pairwise: Callable[[jax.Array, jax.Array], jax.Array]
    paired: Callable[[jax.Array, jax.Array], jax.Array]


def squared_euclidean(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns all pairwise squared Euclidean distances.

    Args:
        x: Embeddings, float [N, D].
        y: Embeddings, float [M, D].

    Returns:
        Float32 [N, M], clipped at 0 because the expanded form can round below it.
    """
    x, y = x.astype(jnp.float32), y.astype(jnp.float32)
    squares = jnp.sum(x**2, axis=-1)[:, None] + jnp.sum(y**2, axis=-1)[None, :]
    return jnp.maximum(squares - 2.0 * _matmul_transposed(x, y), 0.0)


def euclidean(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns all pairwise Euclidean distances, float32 [N, M].

    Args:
        x: Embeddings, float [N, D].
        y: Embeddings, float [M, D].
    """
    return _guarded_sqrt(squared_euclidean(x, y))


def cosine_distance(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns 1 - cosine of all pairs, float32 [N, M] in [0, 2]; a zero vector's cosine is 0.

    Args:
        x: Embeddings of any length, float [N, D].
        y: Embeddings of any length, float [M, D].
    """
    return jnp.maximum(1.0 - cosine_similarity(x, y), 0.0)


def cosine_similarity(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns the cosine of all pairs, float32 [N, M]; a zero vector's is 0.

    Args:
        x: Embeddings of any length, float [N, D].
        y: Embeddings of any length, float [M, D].
    """
    return _matmul_transposed(_unit(x), _unit(y))


def paired_squared_euclidean(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns the squared Euclidean distance of each row of x to the same row of y.

    Args:
        x: Embeddings, float [B, D].
        y: Embeddings, float [B, D].

    Returns:
        Float32 [B], exactly 0 for equal rows (differences first, unlike the pairwise form).
    """
    return jnp.sum((x.astype(jnp.float32) - y.astype(jnp.float32)) ** 2, axis=-1)


def paired_euclidean(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns the Euclidean distance of each row of x to the same row of y, float32 [B].

    Args:
        x: Embeddings, float [B, D].
        y: Embeddings, float [B, D].
    """
    return _guarded_sqrt(paired_squared_euclidean(x, y))


def paired_cosine_distance(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns 1 - cosine of each row of x and the same row of y, float32 [B] in [0, 2].

    Args:
        x: Embeddings of any length, float [B, D].
        y: Embeddings of any length, float [B, D].
    """
    return jnp.maximum(1.0 - jnp.sum(_unit(x) * _unit(y), axis=-1), 0.0)


def _matmul_transposed(x: jax.Array, y: jax.Array) -> jax.Array:
    # A GPU's default would be TF32, whose 10 bits are too few to tell near neighbours apart.
    return jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)


def _guarded_sqrt(squared: jax.Array) -> jax.Array:
    """Returns the square root, with value and gradient 0 where `squared` is (nearly) 0."""
    positive = squared > _MIN_SQUARED
    # The inner `where` keeps the infinite slope at 0 out of the gradient, which 0 * inf would not.
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


def _unit(x: jax.Array) -> jax.Array:
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x**2, axis=-1, keepdims=True), _MIN_SQUARED))


DISTANCES = {
    "squared_euclidean": Distance(squared_euclidean, paired_squared_euclidean),
    "euclidean": Distance(euclidean, paired_euclidean),
    "cosine": Distance(cosine_distance, paired_cosine_distance),
}
