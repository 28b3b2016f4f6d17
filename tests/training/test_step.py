import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from simsearch import parallel
from simsearch.data import batch as batch_lib
from simsearch.models import layers
from simsearch.training import state as state_lib
from simsearch.training import step as step_lib

LOSS = {"margin": 0.3, "distance": "squared_euclidean", "soft_margin": False}


class TinyNetwork(nn.Module):
    """A convolution, BatchNorm and a projection: all that a step can get wrong over devices."""

    axis_name: str | None = None

    @nn.compact
    def __call__(self, images, *, train):
        x = layers.Conv(4, 3)(images.astype(jnp.float32) / 255)
        x = layers.BatchNorm(axis_name=self.axis_name)(x, train=train)
        x = nn.Dense(8)(nn.relu(x).mean((1, 2)))
        return x / jnp.sqrt(jnp.sum(x**2, -1, keepdims=True) + 1e-12)


def make_batch(seed=0, size=12, invalid=()):
    rng = np.random.default_rng(seed)
    labels = np.tile([0, 0, 1, 2, 2, 0], size // 6).astype(np.int32)
    images = rng.integers(0, 255, (size, 8, 8, 3), np.uint8)
    valid = ~np.isin(np.arange(size), invalid)
    return batch_lib.Batch(images, labels, valid)


def run(batches, *, miner, devices=None):
    """Returns state and metrics after the batches: on devices through pmap, or by plain jit."""
    axis_name = parallel.AXIS if devices else None
    network = TinyNetwork(axis_name)
    variables = TinyNetwork().init(jax.random.key(0), batches[0].images[:1], train=False)
    optimizer = optax.sgd(0.1)
    state = state_lib.create(variables, optimizer.init(variables["params"]))
    step = step_lib.create_train_step(network, optimizer, miner=miner, axis_name=axis_name, **LOSS)
    if devices:
        step = parallel.replicate_step(step, devices)
        state = parallel.replicate(state, devices)
        batches = parallel.prefetch(batches, devices)
    else:
        step = jax.jit(step)
    for batch in batches:
        state, metrics = step(state, batch, jax.random.key(1))
    return state, metrics


@pytest.mark.parametrize("miner", ["batch_all", "batch_hard", "semi_hard", "none"])
def test_two_devices_take_the_same_steps_as_one(miner):
    batches = [make_batch(seed) for seed in range(3)]
    alone, alone_metrics = run(batches, miner=miner)
    shared, shared_metrics = run(batches, miner=miner, devices=parallel.local_devices(2))
    assert float(alone_metrics.gradient_norm) > 0
    # Sums in another order: float32 rounding, over three steps.
    for one, two in ((alone.variables, shared.variables), (alone_metrics, shared_metrics)):
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), one, two)
    for path, leaf in jax.tree_util.tree_leaves_with_path((shared, shared_metrics)):
        first, second = (np.asarray(shard.data) for shard in leaf.addressable_shards)
        np.testing.assert_array_equal(first, second, err_msg=jax.tree_util.keystr(path))


def test_the_explicit_loss_is_optax_triplet_loss_at_the_configured_margin():
    batch = make_batch()
    variables = TinyNetwork().init(jax.random.key(0), batch.images[:1], train=False)
    embeddings, _ = TinyNetwork().apply(
        variables, batch.images, train=True, mutable=["batch_stats"]
    )
    anchor, positive, negative = (embeddings[i::3] for i in range(3))

    def squared(x, y):
        return jnp.sum((x - y) ** 2, -1)

    expected = jnp.mean(
        jnp.maximum(squared(anchor, positive) - squared(anchor, negative) + LOSS["margin"], 0)
    )
    _, metrics = run([batch], miner="none")
    np.testing.assert_allclose(metrics.loss, expected, rtol=1e-5)


def test_unreadable_images_do_not_move_the_loss():
    noise = make_batch(seed=5)
    batch = make_batch(invalid=(2, 7))
    # A network without BatchNorm's coupling between the images of a batch.
    for miner in ("batch_all", "none"):
        pixels = batch.images.copy()
        pixels[[2, 7]] = noise.images[[2, 7]]
        losses = []
        for images in (batch.images, pixels):
            network = TinyNetwork()
            variables = network.init(jax.random.key(0), images[:1], train=False)

            def apply(variables, x, *, train, mutable, rngs, network=network):
                return network.apply(variables, x, train=False), {"batch_stats": {}}

            stub = type("Stub", (), {"apply": staticmethod(apply)})()
            optimizer = optax.sgd(0.1)
            step = step_lib.create_train_step(stub, optimizer, miner=miner, axis_name=None, **LOSS)
            state = state_lib.create(variables, optimizer.init(variables["params"]))
            _, metrics = jax.jit(step)(state, batch._replace(images=images), jax.random.key(0))
            losses.append(float(metrics.loss))
            assert float(metrics.num_skipped) == 2
        assert losses[0] == losses[1] > 0


def test_equal_images_give_no_nan_and_no_spread():
    batch = make_batch()
    batch = batch._replace(images=np.repeat(batch.images[:1], len(batch.images), axis=0))
    state, metrics = run([batch, batch], miner="batch_hard")
    assert float(metrics.spread) < 1e-5
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(state))
    assert float(metrics.loss) == pytest.approx(LOSS["margin"], abs=1e-5)
