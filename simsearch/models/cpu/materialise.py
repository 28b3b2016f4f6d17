"""A feature map that is computed once and kept: a barrier that XLA:CPU heeds as well."""

import jax

from simsearch.models.cpu import platform


@jax.custom_vjp
def materialise(x: jax.Array) -> jax.Array:
    """Returns x as it is; what comes after reads it from memory, forward and backward.

    XLA:CPU computes a cheap sum again for each that reads it. In a chain of residual blocks every
    sum has two readers, the next of which is a sum again: the n-th block then adds up n feature
    maps, and ResNet-101 takes a fifth longer. `jax.lax.optimization_barrier` is no barrier there.

    Args:
        x: Not empty.
    """
    return platform.choose(x, cpu=_on_cpu, default=lambda x: x)


def _on_cpu(x: jax.Array) -> jax.Array:
    # Always true, which XLA does not see: what goes into a branch must be there as a whole.
    bits = jax.lax.bitcast_convert_type(x.reshape(-1)[0], f"uint{8 * x.dtype.itemsize}")
    return jax.lax.cond(bits | 1 != 0, lambda x: x, lambda x: -x, x)


def _forward(x: jax.Array) -> tuple[jax.Array, None]:
    return materialise(x), None


def _backward(_: None, gradient: jax.Array) -> tuple[jax.Array]:
    return (materialise(gradient),)


materialise.defvjp(_forward, _backward)
