"""Grouped convolution: the plain form forward; on a CPU, gradients of a few wider convolutions.

XLA:CPU has no fast gradient by the kernel of a group of few channels: a step of ResNeXt-50 takes
minutes. Neighbouring groups joined to one convolution with zeros between them compute up to 16
times as much, at the full speed of the core.
"""

import functools

import jax
import jax.numpy as jnp

from simsearch.models.cpu import convolution

# Channels of joined groups: from here on a convolution's gradients run at full speed.
_JOINED_CHANNELS = 64


def _joined(
    x: jax.Array, kernel: jax.Array, *, stride: int, groups: int, padding: convolution.Padding
) -> jax.Array:
    """Returns the grouped convolution as one of several groups each, with zeros between them."""
    side, _, width, features = kernel.shape
    most = max(_JOINED_CHANNELS // width, 1)
    joined = max(n for n in range(1, min(most, groups) + 1) if groups % n == 0)
    parts = groups // joined
    # [row, column, channel, part, group, feature], and the same group of inputs before the channel
    split = kernel.reshape(side, side, width, parts, joined, features // groups)
    # Not times the identity: the gradient of that is a sum that XLA of jaxlib 0.10.2 compiles to
    # wrong numbers, or to a crash, for processors with AVX2 and without AVX-512.
    own = [
        jnp.pad(split[..., n : n + 1, :], [(0, 0)] * 4 + [(n, joined - 1 - n), (0, 0)])
        for n in range(joined)
    ]
    kernels = jnp.stack(own, axis=2).reshape(side, side, joined * width, parts, features // parts)
    outputs = [
        convolution.convolve(part, kernels[:, :, :, i], stride=stride, groups=1, padding=padding)
        for i, part in enumerate(jnp.split(x, parts, axis=-1))
    ]
    return jnp.concatenate(outputs, axis=-1)


convolve = convolution.with_cpu_forms(backward=functools.partial(convolution.gradients_of, _joined))
