import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from simsearch.losses import memory as memory_lib
from simsearch.training import state as state_lib


@pytest.mark.parametrize("memory", [None, memory_lib.empty(3, embedding_size=2)])
@pytest.mark.parametrize("is_averaged", [False, True])
@pytest.mark.parametrize("proxies", [None, {"arcface": np.ones((3, 2), np.float32)}])
def test_what_is_saved_is_all_of_a_state(proxies, is_averaged, memory):
    variables = {"params": {"head": jnp.ones(4)}, "batch_stats": {"mean": jnp.zeros(2)}}
    state = state_lib.create(
        variables, optax.adam(0.1), proxies=proxies, is_averaged=is_averaged, memory=memory
    )
    state = jax.tree.map(lambda leaf: leaf + 2, state.replace(step=jnp.int32(5)))
    if is_averaged:
        state = state.replace(average=jax.tree.map(lambda leaf: leaf * 7, state.average))
    saved = state_lib.to_save(state)
    again = state_lib.from_saved(saved, step=7)
    assert jax.tree.structure(again) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, again, state)
    assert set(saved.variables["params"]) == {"head"} and set(saved.proxies) == set(proxies or ())
    scale = 7 if is_averaged else 1
    np.testing.assert_array_equal(saved.variables["params"]["head"], 3 * scale)


def test_an_average_of_what_does_not_change_is_the_same_bit_for_bit():
    frozen = {"a": jnp.asarray(np.random.default_rng(0).normal(size=50), jnp.float32)}
    average = frozen
    for step in range(20):
        average = state_lib.averaged(average, frozen, step=jnp.int32(step), decay=0.999)
    np.testing.assert_array_equal(average["a"], frozen["a"])
