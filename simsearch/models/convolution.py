"""The library's convolution, in the layout of all others here."""

import jax

Zeros = tuple[int, int]  # before and after
Padding = tuple[Zeros, Zeros]  # of the rows and of the columns


def convolve(
    x: jax.Array, kernel: jax.Array, *, stride: int, groups: int, padding: Padding
) -> jax.Array:
    """Returns the convolution [B, H', W', O] of x [B, H, W, C] with a kernel [k, k, C / groups, O].

    Args:
        x: Images.
        kernel: Kernel of odd side k.
        stride: Step of the kernel.
        groups: Groups of channels that do not see each other.
        padding: Zeros before and after the rows and the columns.
    """
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
