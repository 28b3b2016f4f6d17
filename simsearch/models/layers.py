"""Convolution and BatchNorm as the backbones use them: torch's arithmetic, in the fastest form."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from simsearch.models.cpu import convolution, depthwise, grouped, narrow, platform, pointwise

# Up to so many output pixels XLA:CPU is slower with a convolution than with a matrix product over
# patches: 25-50 times at 2x2 and 1x1, where it has no fast kernel, and about equal from 5x5 on.
_PATCHES_MAX_PIXELS = 16

# The collection that BatchNorms write the statistics of their inputs into where it is mutable.
OBSERVED = "observed"

# As torchvision initialises: He et al., Delving Deep into Rectifiers, 2015, by outgoing units.
kaiming_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Conv(nn.Module):
    """A convolution without bias, padded by half its kernel on each side, as torch does.

    A 1x1 convolution runs as a matrix product: on XLA:CPU 1.3-3 times faster forward and 2.5-6
    times in the weight gradient than `lax.conv`, and the same on a GPU.

    Attributes:
        features: Channels of the output.
        kernel_size: Side of the kernel, odd, in pixels.
        stride: Step of the kernel, in pixels.
        groups: Groups of channels that do not see each other.
        dtype: What it computes in; the kernel is kept in float32.
        same_padding: Whether it pads as TensorFlow does: at stride 2 less before than after.
    """

    features: int
    kernel_size: int
    stride: int = 1
    groups: int = 1
    dtype: Any = jnp.float32
    same_padding: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, factor: jax.Array | float = 1.0) -> jax.Array:
        """Returns the convolution of images [B, H, W, C], as [B, H', W', features].

        Args:
            x: Images.
            factor: Of the kernel, one for all features or [features].
        """
        side = self.kernel_size
        shape = (side, side, x.shape[-1] // self.groups, self.features)
        kernel = (self.param("kernel", kaiming_fan_out, shape) * factor).astype(self.dtype)
        x = x.astype(self.dtype)
        if side == 1 and self.groups == 1:
            return pointwise.convolve(x, kernel[0, 0], stride=self.stride)
        padding = tuple(
            zeros(size, side, stride=self.stride, same=self.same_padding) for size in x.shape[1:3]
        )
        return convolve_fast(x, kernel, stride=self.stride, groups=self.groups, padding=padding)


def zeros(size: int, kernel_size: int, *, stride: int, same: bool = False) -> convolution.Zeros:
    """Returns how many zeros go before and after a row or a column of pixels, none unused.

    Args:
        size: Pixels of it.
        kernel_size: Side of the kernel.
        stride: Step of the kernel; the output has size / stride pixels, rounded up.
        same: Whether before is half of all, as in TensorFlow; else half the kernel, as in torch.
    """
    total = max((-(-size // stride) - 1) * stride + kernel_size - size, 0)
    before = total // 2 if same else kernel_size // 2
    return before, max(total - before, 0)


def convolve_fast(
    x: jax.Array, kernel: jax.Array, *, stride: int, groups: int, padding: convolution.Padding
) -> jax.Array:
    """Returns `convolution.convolve` in the form that is fastest for the shape and platform."""
    if groups == x.shape[-1] == kernel.shape[-1] and stride <= 2:
        return depthwise.convolve(x, kernel, stride, groups, padding)
    if groups > 1:
        return grouped.convolve(x, kernel, stride, groups, padding)
    plain = functools.partial(convolution.convolve, stride=stride, groups=1, padding=padding)
    output_pixels = -(-x.shape[1] // stride) * -(-x.shape[2] // stride)
    if output_pixels <= _PATCHES_MAX_PIXELS:
        patches = functools.partial(convolve_patches, stride=stride, padding=padding)
        return platform.choose(x, kernel, cpu=patches, default=plain)
    if narrow.MIN_CHANNELS <= x.shape[-1] <= narrow.MAX_CHANNELS:
        return narrow.convolve(x, kernel, stride, groups, padding)
    return plain(x, kernel)


def convolve_patches(
    x: jax.Array, kernel: jax.Array, *, stride: int, padding: convolution.Padding
) -> jax.Array:
    """Returns `convolution.convolve` as one matrix product over the patches under the kernel."""
    side, _, channels, features = kernel.shape
    height, width = (-(-size // stride) for size in x.shape[1:3])
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    patches = [
        padded[
            :, i : i + stride * (height - 1) + 1 : stride, j : j + stride * (width - 1) + 1 : stride
        ]
        for i in range(side)
        for j in range(side)
    ]
    columns = jnp.concatenate(patches, axis=-1)
    return columns @ kernel.reshape(side * side * channels, features)


def is_observed(module: nn.Module) -> bool:
    """Returns whether BatchNorms in a module write down the statistics of what they get."""
    return module.is_mutable_collection(OBSERVED) and not module.is_initializing()


class BatchNorm(nn.Module):
    """Batch normalisation over all devices, with torch's running statistics.

    Statistics are float32 whatever the input is. The running variance takes in the unbiased
    variance of the batch, as in torch, where flax takes the biased one.

    Attributes:
        axis_name: The device axis that a batch is spread over; None where it is on one device.
        frozen: Whether training keeps and uses the running statistics.
        momentum: Share of the old running statistics that a step keeps.
        epsilon: Added to the variance.
        dtype: Of the output.

    References:
        Ioffe and Szegedy, Batch Normalization, 2015.
    """

    axis_name: str | None = None
    frozen: bool = False
    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: Any = jnp.float32

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Returns x [..., C] normalised over all axes but the last."""
        batch = x if self.looks_at_batch(train=train) else None
        factor, shift = self.affine(batch, x.shape[-1], train=train)
        return (x * factor + shift).astype(self.dtype)

    def looks_at_batch(self, *, train: bool) -> bool:
        """Returns whether the batch's statistics are needed: to normalise by, or as `OBSERVED`."""
        return not self.frozen if train else is_observed(self)

    @nn.compact
    def affine(
        self, batch: jax.Array | None, size: int, *, train: bool
    ) -> tuple[jax.Array | float, jax.Array]:
        """Returns factor and shift, for all or [C] each: it normalises x as x * factor + shift.

        Args:
            batch: What it takes the statistics of, [..., C]; None: it takes the running ones.
            size: C.
            train: Whether it normalises by those of `batch`.
        """
        bias = self.param("bias", nn.initializers.zeros, (size,))
        if not (self.is_initializing() or self.has_variable("params", "scale")):
            return 1.0, bias  # It was folded into the convolution before it.
        scale = self.param("scale", nn.initializers.ones, (size,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (size,))
        running_var = self.variable("batch_stats", "var", jnp.ones, (size,))
        mean, var = running_mean.value, running_var.value
        if batch is not None:
            batch_mean, batch_var, count = self._batch_statistics(batch)
            if train:
                mean, var = batch_mean, batch_var
            if is_observed(self):
                self.put_variable(OBSERVED, "mean", batch_mean)
                self.put_variable(OBSERVED, "var", batch_var)
            elif not self.is_initializing():
                keep, take = self.momentum, 1 - self.momentum
                unbiased = var * (count / jnp.maximum(count - 1, 1))
                running_mean.value = keep * running_mean.value + take * mean
                running_var.value = keep * running_var.value + take * unbiased
        factor = scale * jax.lax.rsqrt(var + self.epsilon)
        return factor, bias - mean * factor

    def _batch_statistics(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        x = x.astype(jnp.float32)
        axes = tuple(range(x.ndim - 1))
        mean, square = jnp.mean(x, axes), jnp.mean(x**2, axes)
        count = jnp.asarray(x.size // x.shape[-1], jnp.float32)
        if self.axis_name is not None:
            mean, square = jax.lax.pmean((mean, square), self.axis_name)
            count = jax.lax.psum(count, self.axis_name)
        return mean, jnp.maximum(square - mean**2, 0.0), count


def conv_norm(conv: Conv, norm: BatchNorm, x: jax.Array, *, train: bool) -> jax.Array:
    """Returns norm(conv(x)); with running statistics as one convolution, its kernel scaled."""
    if norm.looks_at_batch(train=train):
        return norm(conv(x), train=train)
    factor, shift = norm.affine(None, conv.features, train=train)
    return (conv(x, factor=factor) + shift).astype(norm.dtype)
