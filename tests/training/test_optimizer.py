import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from simsearch.training import optimizer as optimizer_lib

PARAMS = {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2), "frozen": jnp.ones((2, 2))}
TRAINABLE = {"kernel": True, "bias": True, "frozen": False}


CONSTANT = optax.constant_schedule(0.1)


def create(schedule=CONSTANT, **changes):
    options = {"weight_decay": 0.3, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, "clip_norm": 0.0}
    options["trainable"] = TRAINABLE
    return optimizer_lib.create_optimizer(schedule, **options | changes)


def test_the_state_tells_the_learning_rate_and_weight_decay_that_are_used():
    schedule = optimizer_lib.create_schedule(
        peak_learning_rate=0.5, num_steps=10, num_warmup_steps=2, final_fraction=0.1
    )
    optimizer = create(schedule, weight_decay=0.07)
    state = optimizer.init(PARAMS)
    for _ in range(3):
        _, state = optimizer.update(PARAMS, state, PARAMS)
    found = optax.tree_utils.tree_get(state, "hyperparams")
    assert float(found["weight_decay"]) == pytest.approx(0.07)
    assert float(found["learning_rate"]) == pytest.approx(float(schedule(2))) == pytest.approx(0.5)


def test_a_step_is_adamw_on_kernels_adam_on_biases_and_nothing_on_frozen():
    optimizer = create()
    gradients = jax.tree.map(lambda array: jnp.full_like(array, 2.0), PARAMS)
    updates, state = optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)
    # The first Adam step has length 1 in every coordinate; decay adds 0.3 of the weight 1.
    np.testing.assert_allclose(updates["kernel"], -0.1 * (1 + 0.3), rtol=1e-5)
    np.testing.assert_allclose(updates["bias"], -0.1, rtol=1e-5)
    np.testing.assert_array_equal(updates["frozen"], 0.0)
    # The second one, of a gradient of 1, by the formula.
    updates, _ = optimizer.update(PARAMS, state, PARAMS)
    mean = (0.9 * 0.1 * 2 + 0.1) / (1 - 0.9**2)
    square = (0.99 * 0.01 * 2**2 + 0.01) / (1 - 0.99**2)
    np.testing.assert_allclose(updates["bias"], -0.1 * mean / square**0.5, rtol=1e-5)
    # A gradient of 2 over itself and the epsilon.
    optimizer = create(epsilon=1.0)
    updates, _ = optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["bias"], -0.1 * 2 / 3, rtol=1e-5)


def test_the_backbone_moves_by_its_multiplier_and_its_decay_with_it():
    params = {"backbone": {"a": jnp.ones((2, 2)), "b": jnp.ones(2)}, "head": jnp.ones((3, 2))}
    flags = {"backbone": {"a": True, "b": False}, "head": True}
    gradients = jax.tree.map(lambda array: jnp.full_like(array, 2.0), params)
    for multiplier in (1.0, 0.1):
        optimizer = create(trainable=flags, backbone_multiplier=multiplier)
        updates, state = optimizer.update(gradients, optimizer.init(params), params)
        expected = -0.1 * (1 + 0.3)
        np.testing.assert_allclose(updates["backbone"]["a"], multiplier * expected, rtol=1e-5)
        np.testing.assert_array_equal(updates["backbone"]["b"], 0.0)
        np.testing.assert_allclose(updates["head"], expected, rtol=1e-5)
        found = optax.tree_utils.tree_get(state, "hyperparams")
        assert float(found["learning_rate"]) == pytest.approx(0.1)


def test_clipping_bounds_the_norm_of_the_trained_gradient():
    # Adam's first step does not see the scale; the second moment of the state does.
    optimizer = create(clip_norm=1.0)
    gradients = jax.tree.map(lambda array: jnp.full_like(array, 100.0), PARAMS)
    _, state = optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)
    means = [leaf for leaf in jax.tree.leaves(state) if leaf.shape in ((3, 2), (2,))]
    first_moments = means[: len(means) // 2]
    norm = np.sqrt(sum(float(jnp.sum(leaf**2)) for leaf in first_moments)) / (1 - 0.9)
    assert norm == pytest.approx(1.0, rel=1e-4)


def test_the_schedule_warms_up_to_the_peak_and_ends_at_the_fraction():
    schedule = optimizer_lib.create_schedule(
        peak_learning_rate=1.0, num_steps=100, num_warmup_steps=10, final_fraction=0.1
    )
    rates = np.array([float(schedule(step)) for step in range(101)])
    assert rates[0] == 0.0
    np.testing.assert_allclose(rates[:11], np.arange(11) / 10, rtol=1e-6)
    middle = 10 + 45
    assert rates[middle] == pytest.approx(0.55, abs=1e-6)
    assert rates[100] == pytest.approx(0.1)
    assert np.all(np.diff(rates[10:]) < 0)


@pytest.mark.parametrize(
    ("num_steps", "num_warmup_steps", "expected"),
    [
        (0, 0, [1]),
        (1, 5, [1, 0.01]),
        (2, 5, [0, 1, 0.01]),
        (5, 5, [0, 0.25, 0.5, 0.75, 1, 0.01]),
        (3, 0, [1, 0.7525, 0.2575, 0.01]),
    ],
)
def test_a_schedule_shorter_than_its_warm_up_is_positive_after_its_start_and_reaches_the_peak(
    num_steps, num_warmup_steps, expected
):
    schedule = optimizer_lib.create_schedule(
        peak_learning_rate=0.2,
        num_steps=num_steps,
        num_warmup_steps=num_warmup_steps,
        final_fraction=0.01,
    )
    rates = [float(schedule(step)) for step in range(num_steps + 1)]
    np.testing.assert_allclose(rates, 0.2 * np.array(expected), rtol=1e-6)


def test_the_schedule_counts_updates_where_gradients_are_accumulated():
    optimizer = create(lambda update: 0.1 * (update + 1), accumulate_steps=3, weight_decay=0.0)
    state, steps = optimizer.init(PARAMS), []
    for _ in range(6):
        updates, state = optimizer.update(PARAMS, state, PARAMS)
        steps.append(float(updates["bias"][0]))
    np.testing.assert_allclose(steps, [0, 0, -0.1, 0, 0, -0.2], rtol=1e-5)


def test_class_vectors_move_by_their_own_multiplier():
    params = {"head": jnp.ones((3, 2)), "proxies": {"arcface": jnp.ones((3, 2))}}
    optimizer = create(
        trainable=lambda tree: jax.tree.map(lambda _: True, tree), proxy_multiplier=5
    )
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    np.testing.assert_allclose(updates["proxies"]["arcface"], 5 * updates["head"], rtol=1e-6)
