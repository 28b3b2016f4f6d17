"""1x1 convolution: a matrix product, and gradients that a CPU computes as fast as it."""

import jax

from simsearch.models.cpu import materialise


def convolve(x: jax.Array, kernel: jax.Array, *, stride: int = 1) -> jax.Array:
    """Returns `convolution.convolve` with a kernel [1, 1, C, O], given as [C, O].

    Args:
        x: Images [B, H, W, C].
        kernel: One weight for each channel in and out.
        stride: Step of the kernel.
    """
    x = x[:, ::stride, ::stride]
    # As matrices: of a contraction over three axes, which is what the gradient by the kernel would
    # be otherwise, XLA:CPU first makes a transposed copy.
    return _product(x.reshape(-1, x.shape[-1]), kernel).reshape(*x.shape[:-1], -1)


@jax.custom_vjp
def _product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return x @ kernel


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return x @ kernel, (x, kernel)


def _backward(
    saved: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    # XLA:CPU has a fast product for rows times columns alone. A product that it would turn round
    # is up to three times slower than one of a turned copy.
    return gradient @ kernel.T, materialise.materialise(x.T) @ gradient


_product.defvjp(_forward, _backward)
