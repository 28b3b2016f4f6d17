import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsearch.models import layers
from simsearch.models.cpu import convolution, depthwise, grouped, narrow, pointwise


def make(side, channels, features, kernel_size, groups=1):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, side, side + 1, channels)).astype(np.float32)
    kernel = rng.normal(size=(kernel_size, kernel_size, channels // groups, features))
    return jnp.asarray(x), jnp.asarray(kernel, jnp.float32)


def assert_same(one, other, x, kernel):
    """Compares two forms of a convolution: forward and both gradients."""
    np.testing.assert_allclose(one(x, kernel), other(x, kernel), rtol=1e-4, atol=1e-4)

    def gradients(form):
        loss = jax.jit(jax.grad(lambda x, w: jnp.sum(jnp.sin(form(x, w))), argnums=(0, 1)))
        return loss(x, kernel)

    for found, expected in zip(gradients(one), gradients(other), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def plain(x, *, kernel_size, stride, groups=1, same=False):
    """Returns the library's convolution, and the options that another form takes."""
    padding = tuple(
        layers.zeros(size, kernel_size, stride=stride, same=same) for size in x.shape[1:3]
    )
    options = {"stride": stride, "padding": padding}
    return functools.partial(convolution.convolve, groups=groups, **options), options


@pytest.mark.parametrize("stride", [1, 2])
def test_1x1_as_a_matrix_product_is_the_convolution(stride):
    x, kernel = make(7, 5, 6, 1)
    expected, _ = plain(x, kernel_size=1, stride=stride)
    assert_same(lambda x, w: pointwise.convolve(x, w[0, 0], stride=stride), expected, x, kernel)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="of the CPU's compiler")
def test_no_product_of_a_1x1_convolution_is_turned_round():
    x, kernel = make(7, 5, 6, 1)

    def loss(x, kernel):
        return jnp.sum(jnp.sin(pointwise.convolve(x, kernel[0, 0])))

    compiled = jax.jit(jax.grad(loss, argnums=1)).lower(x, kernel).compile().as_text()
    products = re.findall(r"dot\(.*?lhs_contracting_dims=\{(\d)\}", compiled)
    assert products and set(products) == {"1"}


@pytest.mark.parametrize(
    ("side", "kernel_size", "stride"), [(1, 3, 1), (1, 3, 2), (2, 3, 2), (4, 3, 2), (5, 5, 1)]
)
def test_patches_are_the_convolution(side, kernel_size, stride):
    x, kernel = make(side, 3, 4, kernel_size)
    expected, options = plain(x, kernel_size=kernel_size, stride=stride)
    assert_same(functools.partial(layers.convolve_patches, **options), expected, x, kernel)


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize(("side", "kernel_size", "stride"), [(6, 3, 1), (6, 3, 2), (5, 5, 2)])
def test_depthwise_is_the_convolution(side, kernel_size, stride, same):
    x, kernel = make(side, 3, 3, kernel_size, groups=3)
    expected, options = plain(x, kernel_size=kernel_size, stride=stride, groups=3, same=same)

    def form(x, kernel):
        return depthwise.convolve(x, kernel, options["stride"], 3, options["padding"])

    assert_same(form, expected, x, kernel)


@pytest.mark.parametrize(("side", "kernel_size", "stride"), [(6, 3, 1), (7, 3, 2), (5, 5, 2)])
def test_narrow_is_the_convolution(side, kernel_size, stride):
    x, kernel = make(side, 16, 24, kernel_size)
    expected, options = plain(x, kernel_size=kernel_size, stride=stride)

    def form(x, kernel):
        return narrow.convolve(x, kernel / 16, options["stride"], 1, options["padding"])

    assert_same(form, lambda x, kernel: expected(x, kernel / 16), x, kernel)


# Groups joined by two, by all, by as many as divide them, and groups that are wide enough alone.
@pytest.mark.parametrize(("channels", "groups"), [(128, 4), (24, 6), (96, 24), (130, 2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_grouped_is_the_convolution(channels, groups, stride):
    x, kernel = make(5, channels, 2 * channels, 3, groups)
    expected, options = plain(x, kernel_size=3, stride=stride, groups=groups)

    def form(x, kernel):
        return grouped.convolve(x, kernel / channels, stride, groups, options["padding"])

    def scaled(x, kernel):
        return expected(x, kernel / channels)

    assert_same(form, scaled, x, kernel)


@pytest.mark.parametrize(("size", "side", "stride"), [(7, 3, 2), (8, 3, 2), (8, 5, 2), (2, 5, 2)])
def test_padding_is_torch_s_or_tensorflow_s(size, side, stride):
    outputs = -(-size // stride)
    before, after = layers.zeros(size, side, stride=stride)
    assert before == side // 2 and size + before + after == (outputs - 1) * stride + side
    same = layers.zeros(size, side, stride=stride, same=True)
    assert [same] == jax.lax.padtype_to_pads((size,), (side,), (stride,), "SAME")


@pytest.mark.parametrize(("side", "groups"), [(2, 1), (9, 1), (2, 2), (9, 2), (9, 4)])
def test_the_chosen_form_is_the_convolution(side, groups):
    x, kernel = make(side, 4, 4, 3, groups)
    expected, options = plain(x, kernel_size=3, stride=2, groups=groups)
    form = functools.partial(layers.convolve_fast, groups=groups, **options)
    assert_same(jax.jit(form), expected, x, kernel)


def is_convolution(text):
    return "stablehlo.convolution" in text


def test_the_module_uses_a_matrix_product_for_1x1_and_tiny_maps_only():
    def lowered(kernel_size, side):
        conv = layers.Conv(8, kernel_size)
        x = jnp.zeros((1, side, side, 4))
        variables = conv.init(jax.random.key(0), x)
        return jax.jit(conv.apply).lower(variables, x).as_text()

    assert not is_convolution(lowered(1, 16))
    assert is_convolution(lowered(3, 16))
    assert not is_convolution(lowered(3, 2))


def test_batch_norm_statistics_and_output_equal_a_direct_computation():
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 3.0, (4, 5, 5, 3)).astype(np.float32)
    norm = layers.BatchNorm()
    variables = norm.init(jax.random.key(0), x, train=True)
    out, changed = norm.apply(variables, x, train=True, mutable=["batch_stats"])
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(out, (x - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-5)
    statistics = changed["batch_stats"]
    np.testing.assert_allclose(statistics["mean"], 0.1 * mean, rtol=1e-5)
    unbiased = x.reshape(-1, 3).var(0, ddof=1)
    np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * unbiased, rtol=1e-5)
    kept = norm.apply({"params": variables["params"], "batch_stats": statistics}, x, train=False)
    expected = (x - 0.1 * mean) / np.sqrt(0.9 + 0.1 * unbiased + 1e-5)
    np.testing.assert_allclose(kept, expected, rtol=1e-4, atol=1e-5)


def test_batch_norm_has_the_gradient_of_flax_batch_norm():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)

    def loss(norm, x):
        variables = norm.init(jax.random.key(0), x)
        out, _ = norm.apply(variables, x, mutable=["batch_stats"])
        return jnp.sum(jnp.sin(out * jnp.arange(3)))

    class Ours(nn.Module):
        @nn.compact
        def __call__(self, x):
            return layers.BatchNorm()(x, train=True)

    ours = jax.grad(lambda x: loss(Ours(), x))(x)
    flax = jax.grad(lambda x: loss(nn.BatchNorm(use_running_average=False), x))(x)
    np.testing.assert_allclose(ours, flax, rtol=1e-3, atol=1e-5)


def test_frozen_batch_norm_neither_reads_nor_changes_the_batch_statistics():
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    norm = layers.BatchNorm(frozen=True)
    variables = norm.init(jax.random.key(0), x, train=True)
    out, changed = norm.apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(out, x, rtol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, changed["batch_stats"], variables["batch_stats"])


def test_conv_norm_is_the_norm_of_the_convolution():
    x, kernel = make(6, 4, 5, 3)
    rng = np.random.default_rng(1)
    params = {"scale": rng.normal(1, 0.2, 5), "bias": rng.normal(size=5)}
    stats = {"mean": rng.normal(size=5), "var": rng.uniform(0.5, 2, 5)}

    class Unit(nn.Module):
        fused: bool

        @nn.compact
        def __call__(self, x):
            conv = layers.Conv(5, 3, stride=2, name="conv")
            norm = layers.BatchNorm(name="norm")
            if self.fused:
                return layers.conv_norm(conv, norm, x, train=False)
            return norm(conv(x), train=False)

    variables = {"params": {"norm": params}, "batch_stats": {"norm": stats}}

    def form(fused, x, kernel):
        params = variables["params"] | {"conv": {"kernel": kernel}}
        return Unit(fused).apply(variables | {"params": params}, x)

    assert_same(functools.partial(form, True), functools.partial(form, False), x, kernel)
