"""The library's convolution, in the layout of all others here, and other forms of it on a CPU."""

import functools
from collections.abc import Callable

import jax

from simsearch.models.cpu import platform

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


def with_cpu_forms(
    *, backward: Callable[..., tuple], forward: Callable[..., jax.Array] = convolve
) -> Callable[..., jax.Array]:
    """Returns `convolve`, all five arguments by position, that a CPU computes in other forms.

    Args:
        backward: From x, kernel, the gradient by the output and the options of `convolve` to the
            gradients by x and by the kernel.
        forward: As `convolve`.
    """

    @functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
    def form(
        x: jax.Array, kernel: jax.Array, stride: int, groups: int, padding: Padding
    ) -> jax.Array:
        options = {"stride": stride, "groups": groups, "padding": padding}
        return platform.choose(
            x,
            kernel,
            cpu=functools.partial(forward, **options),
            default=functools.partial(convolve, **options),
        )

    def save(x: jax.Array, kernel: jax.Array, *options: int | Padding) -> tuple:
        return form(x, kernel, *options), (x, kernel)

    def pull(
        stride: int, groups: int, padding: Padding, saved: tuple, gradient: jax.Array
    ) -> tuple:
        options = {"stride": stride, "groups": groups, "padding": padding}
        return platform.choose(
            *saved,
            gradient,
            cpu=functools.partial(backward, **options),
            default=functools.partial(gradients_of, convolve, **options),
        )

    form.defvjp(save, pull)
    return form


def gradients_of(
    form: Callable[..., jax.Array], x: jax.Array, kernel: jax.Array, gradient: jax.Array, **options
) -> tuple[jax.Array, jax.Array]:
    """Returns the gradients by x and by the kernel of a form of `convolve` with these options."""
    return jax.vjp(functools.partial(form, **options), x, kernel)[1](gradient)
