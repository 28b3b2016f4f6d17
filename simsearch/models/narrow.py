"""A convolution of few input channels: on a CPU, its gradient by the kernel tap by tap.

XLA:CPU has the gradient by the kernel as a convolution with a kernel as large as the image; of 24
channels it takes seven times as long as the convolution itself, of 64 as long. One matrix product
for each tap of the kernel takes half of that at 24 channels, and twice as long at 64.
"""

import functools

import jax
import jax.numpy as jnp

from simsearch.models import convolution

# Up to so many channels of the input the products are faster; from three on, of a picture, not.
MIN_CHANNELS, MAX_CHANNELS = 16, 48


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(
    x: jax.Array, kernel: jax.Array, stride: int, padding: convolution.Padding
) -> jax.Array:
    """Returns the convolution [B, H', W', O] of x [B, H, W, C].

    Args:
        x: Images.
        kernel: [k, k, C, O].
        stride: Step of the kernel, in pixels.
        padding: Zeros before and after the rows and the columns, none of them unused.
    """
    return convolution.convolve(x, kernel, stride=stride, groups=1, padding=padding)


def _forward(
    x: jax.Array, kernel: jax.Array, stride: int, padding: convolution.Padding
) -> tuple[jax.Array, tuple]:
    return convolve(x, kernel, stride, padding), (x, kernel)


def _backward(
    stride: int, padding: convolution.Padding, residuals: tuple, gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    plain = functools.partial(convolution.convolve, stride=stride, groups=1, padding=padding)

    def by_convolution(x: jax.Array, gradient: jax.Array) -> jax.Array:
        return jax.vjp(lambda kernel: plain(x, kernel), kernel)[1](gradient)[0]

    by_taps = functools.partial(_by_taps, side=len(kernel), stride=stride, padding=padding)
    to_kernel = jax.lax.platform_dependent(x, gradient, cpu=by_taps, default=by_convolution)
    return jax.vjp(lambda x: plain(x, kernel), x)[1](gradient)[0], to_kernel


convolve.defvjp(_forward, _backward)


def _by_taps(
    x: jax.Array, gradient: jax.Array, *, side: int, stride: int, padding: convolution.Padding
) -> jax.Array:
    """Returns the gradient by the kernel: of each tap, the pixels it meets times the gradient."""
    rows, columns = (stride * (size - 1) + 1 for size in gradient.shape[1:3])
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    outputs = gradient.reshape(-1, gradient.shape[-1])
    taps = [
        padded[:, i : i + rows : stride, j : j + columns : stride].reshape(-1, x.shape[-1]).T
        @ outputs
        for i in range(side)
        for j in range(side)
    ]
    return jnp.stack(taps).reshape(side, side, x.shape[-1], -1)
