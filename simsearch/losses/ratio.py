"""What every loss returns: a numerator and a denominator that devices can add up."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Ratio(NamedTuple):
    """One device's share of a loss that is a ratio over the whole batch.

    A mean over *active* triplets is no mean of per-device means, so numerator and denominator are
    summed over the devices one by one and divided last, by `mean`.

    Attributes:
        total: Numerator, float32 []; the only field that carries a gradient.
        count: Denominator, float32 []; each loss says in its docstring what it counts.
        num_active: Triplets, pairs, anchors or images that still pull, float32 []; each loss says
            in its docstring which.
        num_candidates: Those of them that could have been active, float32 [].
    """

    total: jax.Array
    count: jax.Array
    num_active: jax.Array
    num_candidates: jax.Array


def mean(ratio: Ratio) -> jax.Array:
    """Returns total / count as float32 [], and 0 where nothing was counted.

    Args:
        ratio: Its fields already summed over the devices.
    """
    # Counts are whole numbers, so a maximum with 1 only ever replaces 0.
    return ratio.total / jnp.maximum(ratio.count, 1.0)
