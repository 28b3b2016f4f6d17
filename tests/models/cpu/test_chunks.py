import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core

from simsearch.models import inverted, layers, mobilenet_v2
from simsearch.models.cpu import chunks


@pytest.mark.parametrize(
    ("batch", "widest", "size"), [(80, 2**18, 1), (80, 2**15, 8), (7, 2**16, 1), (4, 1, 4)]
)
def test_a_chunk_fits_the_cache_and_divides_the_batch(batch, widest, size):
    assert chunks.chunk_size(batch, widest) == size


def test_chunks_change_neither_the_output_nor_the_gradients(monkeypatch):
    rows = mobilenet_v2.BACKBONES["mobilenet_v2"].make.args[0]
    trunk = inverted.InvertedResidualNet(rows[:3], 32, 64, jax.nn.relu6, freeze_batch_norm=True)
    images = jnp.asarray(np.random.default_rng(0).normal(size=(4, 24, 24, 3)), jnp.float32)
    variables = trunk.init(jax.random.key(0), images, train=False)

    def compute(cache_floats):
        monkeypatch.setattr(chunks, "_CACHE_FLOATS", cache_floats)

        @jax.jit
        @jax.value_and_grad
        def loss(params):
            out, _ = trunk.apply(
                {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
            )
            return jnp.sum(jnp.sin(out))

        has_loop = "stablehlo.while" in loss.lower(variables["params"]).as_text()
        return has_loop, loss(variables["params"])

    (has_loop, by_chunks), (_, whole) = compute(2**13), compute(2**30)
    assert has_loop
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), *(by_chunks, whole)
    )


def loops(jaxpr):
    """Returns for each scan in a program the names of what its body computes, in order."""
    found = []
    for equation in jaxpr.eqns:
        for inner in core.jaxprs_in_params(equation.params):
            if equation.primitive.name == "scan":
                found.append(names(inner))
            else:
                found += loops(inner)
    return found


def names(jaxpr):
    """Returns the names of all that a program computes, in order."""
    found = []
    for equation in jaxpr.eqns:
        found.append(equation.primitive.name)
        for inner in core.jaxprs_in_params(equation.params):
            found += names(inner)
    return found


def test_a_chunk_neither_folds_batch_norm_nor_expands_again_what_is_kept(monkeypatch):
    monkeypatch.setattr(chunks, "_CACHE_FLOATS", 1)
    rows = mobilenet_v2.BACKBONES["mobilenet_v2"].make.args[0]
    block = next(row for row in rows if row.stride == 1 and row.expanded != row.inputs)
    trunk = inverted.InvertedResidualNet(
        (block,), block.inputs, 64, jax.nn.relu6, freeze_batch_norm=True
    )
    images = jnp.ones((2, 8, 8, 3))
    variables = trunk.init(jax.random.key(0), images, train=False)

    def loss(params):
        return jnp.sum(trunk.apply({**variables, "params": params}, images, train=True))

    forward, backward = loops(jax.make_jaxpr(jax.grad(loss))(variables["params"]).jaxpr)
    assert "rsqrt" not in forward + backward
    assert forward.count("dot_general") == 2
    # Two for each convolution, and none to expand once more.
    assert backward.count("dot_general") == 4


def test_a_module_that_sees_the_batch_is_not_cut(monkeypatch):
    monkeypatch.setattr(chunks, "_CACHE_FLOATS", 1)
    x = jnp.arange(8.0).reshape(4, 2)
    norm = layers.BatchNorm()
    variables = norm.init(jax.random.key(0), x, train=True)

    class Whole(nn.Module):
        @nn.compact
        def __call__(self, x):
            return chunks.apply(
                layers.BatchNorm(name="norm"), x, widest=2, train=True, independent=False
            )

    nested = {name: {"norm": value} for name, value in variables.items()}
    found, changed = Whole().apply(nested, x, mutable=["batch_stats"])
    expected, same = norm.apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_array_equal(found, expected)
    jax.tree.map(np.testing.assert_array_equal, changed["batch_stats"]["norm"], same["batch_stats"])
