"""Depthwise convolution: shifted multiply-adds on a CPU, the plain convolution elsewhere.

XLA:CPU has no fast kernel for one channel a group. Nine (or twenty-five) products of a shifted
image and one tap of the kernel are 30-100 times faster there, forward and backward.
"""

import functools

import jax
import jax.numpy as jnp

from simsearch.models.cpu import convolution


def _shifted(
    x: jax.Array, kernel: jax.Array, *, stride: int, groups: int, padding: convolution.Padding
) -> jax.Array:
    """Returns the sum over the taps of the kernel, each times the image shifted to it."""
    side = kernel.shape[0]
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = ((size - side) // stride * stride + 1 for size in padded.shape[1:3])
    terms = (
        padded[:, i : i + rows : stride, j : j + columns : stride] * kernel[i, j, 0]
        for i in range(side)
        for j in range(side)
    )
    return functools.reduce(jnp.add, terms)


def _to_input(
    gradient: jax.Array, kernel: jax.Array, shape: tuple[int, ...], padding: convolution.Padding
) -> jax.Array:
    """Returns the gradient of the input at stride 1: the convolution with the kernel turned."""
    reach = kernel.shape[0] - 1
    turned = tuple((reach - before, reach - after) for before, after in padding)
    turned_kernel = kernel[::-1, ::-1]
    return _shifted(gradient, turned_kernel, stride=1, groups=shape[-1], padding=turned)


def _to_input_by_parity(
    gradient: jax.Array, kernel: jax.Array, shape: tuple[int, ...], padding: convolution.Padding
) -> jax.Array:
    """Returns the gradient of the input at stride 2.

    An even and an odd row of the input meet different taps of the kernel: each of the four
    parities is its own short sum, and none multiplies by the zeros of a dilated gradient.
    """
    side, (batch, height, width, channels) = kernel.shape[0], shape
    rows, columns = (height + 1) // 2, (width + 1) // 2
    padded = jnp.pad(gradient, ((0, 0), (side, side), (side, side), (0, 0)))

    def offsets(parity: int, before: int) -> list[tuple[int, int]]:
        """Returns (tap, shift) of the taps that reach the pixels of a parity."""
        reach = parity + before
        return [(i, (reach - i) // 2 + side) for i in range(side) if (reach - i) % 2 == 0]

    def part(row_parity: int, column_parity: int) -> jax.Array:
        terms = (
            padded[:, y : y + rows, x : x + columns] * kernel[i, j, 0]
            for i, y in offsets(row_parity, padding[0][0])
            for j, x in offsets(column_parity, padding[1][0])
        )
        return functools.reduce(jnp.add, terms)

    parts = [jnp.stack([part(row, 0), part(row, 1)], axis=3) for row in (0, 1)]
    whole = jnp.stack(parts, axis=2).reshape(batch, 2 * rows, 2 * columns, channels)
    return whole[:, :height, :width]


def _to_kernel(
    x: jax.Array, gradient: jax.Array, kernel: jax.Array, stride: int, padding: convolution.Padding
) -> jax.Array:
    """Returns the gradient of the kernel, summed row by row so that a row stays in the cache."""
    side = kernel.shape[0]
    batch, height, width, channels = gradient.shape
    (above, below), (left, right) = padding
    # Columns by parity: what a tap meets is then one contiguous piece at stride 2 as well.
    right += -(x.shape[2] + left + right) % stride
    padded = jnp.pad(x, ((0, 0), (above, below), (left, right), (0, 0))).astype(jnp.float32)
    pieces = padded.reshape(batch, padded.shape[1], -1, stride, channels).swapaxes(2, 3)

    def add_row(sums: tuple, row: jax.Array) -> tuple:
        image, y = row // height, row % height
        start = (image, y * stride, 0, 0, 0)
        rows = jax.lax.dynamic_slice(pieces, start, (1, side, *pieces.shape[2:]))[0]
        above = jax.lax.dynamic_slice(gradient, (image, y, 0, 0), (1, 1, width, channels))[0]
        return tuple(
            total + rows[:, j % stride, j // stride : j // stride + width] * above
            for j, total in enumerate(sums)
        ), None

    zeros = (jnp.zeros((side, width, channels), jnp.float32),) * side
    sums, _ = jax.lax.scan(add_row, zeros, jnp.arange(batch * height))
    found = jnp.stack([jnp.sum(total, axis=1) for total in sums], axis=1)
    return found[:, :, None].astype(kernel.dtype)


def _gradients(
    x: jax.Array,
    kernel: jax.Array,
    gradient: jax.Array,
    *,
    stride: int,
    groups: int,
    padding: convolution.Padding,
) -> tuple[jax.Array, jax.Array]:
    to_input = _to_input if stride == 1 else _to_input_by_parity
    return (
        to_input(gradient, kernel, x.shape, padding),
        _to_kernel(x, gradient, kernel, stride, padding),
    )


# Of a kernel [k, k, 1, C] for C groups, at stride 1 or 2, with no zeros that are unused.
convolve = convolution.with_cpu_forms(forward=_shifted, backward=_gradients)
