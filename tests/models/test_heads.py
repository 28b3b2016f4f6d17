import functools

import jax
import numpy as np
import pytest

from simsearch.models import heads, layers

EPSILON = 1e-5


@pytest.mark.parametrize("train", [False, True])
def test_a_head_of_several_layers_is_its_formula(train):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(6, 7)).astype(np.float32)
    head = heads.Mlp(5, functools.partial(layers.BatchNorm, axis_name=None))
    shapes = jax.eval_shape(lambda: head.init(jax.random.key(0), features, train=False))
    variables = {
        "params": jax.tree.map(lambda leaf: rng.normal(size=leaf.shape) / 9, shapes["params"]),
        "batch_stats": jax.tree.map(lambda leaf: rng.uniform(1, 2, leaf.shape), shapes)[
            "batch_stats"
        ],
    }
    found, _ = head.apply(variables, features, train=train, mutable=["batch_stats"])
    params, x = variables["params"], features
    for name, size in (("1", 512), ("2", 256)):
        x = x @ params[f"dense{name}"]["kernel"]
        assert x.shape == (6, size) and [*params[f"dense{name}"]] == ["kernel"]
        norm, kept = params[f"norm{name}"], variables["batch_stats"][f"norm{name}"]
        mean, var = (x.mean(0), x.var(0)) if train else (kept["mean"], kept["var"])
        x = (x - mean) / np.sqrt(var + EPSILON) * norm["scale"] + norm["bias"]
        x = np.where(x > 0, x, 0.01 * x)
    expected = x @ params["projection"]["kernel"] + params["projection"]["bias"]
    assert 0 < np.mean(expected < 0) < 1
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
