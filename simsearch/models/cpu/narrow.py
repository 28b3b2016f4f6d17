"""A convolution of few input channels: on a CPU, its gradient by the kernel tap by tap.

XLA:CPU has the gradient by the kernel as a convolution with a kernel as large as the image; of 24
channels it takes seven times as long as the convolution itself, of 64 as long. One matrix product
for each tap of the kernel takes half of that at 24 channels, and twice as long at 64.
"""

import functools

import jax
import jax.numpy as jnp

from simsearch.models.cpu import convolution

# Of the input; the products are faster up to the larger, and were not measured under the smaller.
MIN_CHANNELS, MAX_CHANNELS = 16, 48


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


def _gradients(
    x: jax.Array,
    kernel: jax.Array,
    gradient: jax.Array,
    *,
    stride: int,
    groups: int,
    padding: convolution.Padding,
) -> tuple[jax.Array, jax.Array]:
    options = {"stride": stride, "groups": groups, "padding": padding}
    plain = functools.partial(convolution.convolve, kernel=kernel, **options)
    to_kernel = _by_taps(x, gradient, side=len(kernel), stride=stride, padding=padding)
    return jax.vjp(plain, x)[1](gradient)[0], to_kernel


convolve = convolution.with_cpu_forms(backward=_gradients)
