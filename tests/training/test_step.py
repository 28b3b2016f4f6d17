import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from simsearch import parallel
from simsearch.data import batch as batch_lib
from simsearch.losses import classes
from simsearch.losses import memory as memory_lib
from simsearch.losses import terms as terms_lib
from simsearch.models import layers
from simsearch.training import state as state_lib
from simsearch.training import step as step_lib

LOSS = {"margin": 0.3, "distance": "squared_euclidean", "soft_margin": False}


def triplet(miner, weight=1.0):
    return terms_lib.Term("triplet", weight, {"miner": miner, **LOSS})


SUPCON = terms_lib.Term("supcon", 2.0, {"temperature": 0.2})
PROXY_ANCHOR = terms_lib.Term("proxy_anchor", 0.3, {"margin": 0.1, "scale": 8.0})
SGD = optax.sgd(0.1)
SOFTMAX = terms_lib.Term("normalised_softmax", 1.5, {"scale": 4.0, "label_smoothing": 0.1})


class TinyNetwork(nn.Module):
    """A convolution, BatchNorm and a projection: all that a step can get wrong over devices."""

    axis_name: str | None = None

    @nn.compact
    def __call__(self, images, *, train):
        x = layers.Conv(4, 3)(images.astype(jnp.float32) / 255)
        x = layers.BatchNorm(axis_name=self.axis_name)(x, train=train)
        x = nn.Dense(8)(nn.relu(x).mean((1, 2)))
        return x / jnp.sqrt(jnp.sum(x**2, -1, keepdims=True) + 1e-12)


class Frozen:
    """The network without what a batch changes: its embeddings depend on the parameters alone."""

    def apply(self, variables, images, *, train, mutable):
        embeddings = TinyNetwork().apply(variables, images, train=False)
        return embeddings, {"batch_stats": variables["batch_stats"]}


def make_batch(seed=0, size=12, invalid=()):
    rng = np.random.default_rng(seed)
    labels = np.tile([0, 0, 1, 2, 2, 0], size // 6).astype(np.int32)
    images = rng.integers(0, 255, (size, 8, 8, 3), np.uint8)
    valid = ~np.isin(np.arange(size), invalid)
    return batch_lib.Batch(images, labels, valid)


def start(batches, terms, memory_size=0, optimizer=SGD, **options):
    variables = TinyNetwork().init(jax.random.key(0), batches[0].images[:1], train=False)
    proxies = {
        term.name: classes.init_proxies(jax.random.key(2), 3, embedding_size=8)
        for term in terms
        if terms_lib.has_proxies(term.name)
    }
    memory = memory_lib.empty(memory_size, embedding_size=8) if memory_size else None
    return state_lib.create(variables, optimizer, proxies=proxies, memory=memory, **options)


def run(batches, *, terms, devices=None, ema_decay=0.0, memory_size=0, memory_start_step=0):
    """Returns state and metrics after the batches: on devices through pmap, or by plain jit."""
    axis_name = parallel.AXIS if devices else None
    state = start(batches, terms, memory_size, is_averaged=ema_decay > 0)
    step = step_lib.create_train_step(
        TinyNetwork(axis_name),
        SGD,
        terms=terms,
        axis_name=axis_name,
        ema_decay=ema_decay,
        memory_start_step=memory_start_step,
    )
    if devices:
        step = parallel.replicate_step(step, devices)
        state = parallel.replicate(state, devices)
        batches = parallel.prefetch(batches, devices)
    else:
        step = jax.jit(step)
    for batch in batches:
        state, metrics = step(state, batch, jax.random.key(1))
    return state, metrics


MINERS = "batch_all", "batch_hard", "semi_hard", "distance_weighted", "none"
TERMS = {name: [triplet(name)] for name in MINERS} | {
    "combined": [triplet("batch_hard", 0.5), SUPCON, SOFTMAX, PROXY_ANCHOR]
}


@pytest.mark.parametrize(
    ("name", "memory_size"), [*((name, 0) for name in TERMS), ("combined", 20)]
)
def test_two_devices_take_the_same_steps_as_one(name, memory_size):
    batches = [make_batch(seed, invalid=(7, 8)) for seed in range(3)]
    options = {"terms": TERMS[name], "ema_decay": 0.9, "memory_size": memory_size}
    alone, alone_metrics = run(batches, **options)
    shared, shared_metrics = run(batches, **options, devices=parallel.local_devices(2))
    assert float(alone_metrics.gradient_norm) > 0
    # Sums in another order: float32 rounding, over three steps.
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    for one, two in ((alone, shared), (alone_metrics, shared_metrics)):
        jax.tree.map(close, one, two)
    for path, leaf in jax.tree_util.tree_leaves_with_path((shared, shared_metrics)):
        first, second = (np.asarray(shard.data) for shard in leaf.addressable_shards)
        np.testing.assert_array_equal(first, second, err_msg=jax.tree_util.keystr(path))


def test_the_loss_is_the_weighted_sum_and_each_loss_is_told():
    batch = make_batch()
    terms = [triplet("batch_hard", 0.5), SUPCON, SOFTMAX, PROXY_ANCHOR]
    _, metrics = run([batch], terms=terms)
    single = {term.name: run([batch], terms=[term])[1] for term in terms}
    for term in terms:
        alone = single[term.name].loss / term.weight
        np.testing.assert_allclose(metrics.terms[term.name].loss, alone, rtol=1e-6)
    np.testing.assert_allclose(
        metrics.loss, sum(float(alone.loss) for alone in single.values()), rtol=1e-6
    )
    shares = {name: float(figures.active_fraction) for name, figures in metrics.terms.items()}
    assert metrics.active_fraction == shares["supcon"] != shares["proxy_anchor"]
    assert all(0 <= share <= 1 for share in shares.values())
    assert single["supcon"].accuracy is None


def test_the_accuracy_is_that_of_the_readable_images_before_the_step():
    batch, terms = make_batch(invalid=(2, 7)), [SOFTMAX]
    # As far as this the vectors are moved by the step.
    state, optimizer = start([batch], terms), optax.sgd(1e3)
    state = state.replace(opt_state=optimizer.init(state.params))
    embeddings, _ = TinyNetwork().apply(
        state.variables, batch.images, train=True, mutable=["batch_stats"]
    )

    def accuracy(state):
        vectors = state.proxies[SOFTMAX.name]
        vectors /= jnp.linalg.norm(vectors, axis=1, keepdims=True)
        right = np.argmax(embeddings @ vectors.T, axis=1) == batch.labels
        return right[batch.valid].mean()

    step = step_lib.create_train_step(TinyNetwork(), optimizer, terms=terms, axis_name=None)
    after, metrics = jax.jit(step)(state, batch, jax.random.key(1))
    assert float(metrics.accuracy) == pytest.approx(accuracy(state))
    assert accuracy(state) not in (0.5, accuracy(after))


def test_a_mixed_image_counts_for_both_classes_in_classification():
    batch = make_batch()
    other = np.roll(batch.labels, 1)
    values = []
    for labels, weight in ((batch.labels, 1.0), (other, 1.0), (batch.labels, 0.6)):
        mixed = batch._replace(
            labels=labels, mixed_labels=other, mix_weights=np.full(12, weight, np.float32)
        )
        values.append(float(run([mixed], terms=[SOFTMAX])[1].loss))
    assert values[2] == pytest.approx(0.6 * values[0] + 0.4 * values[1], rel=1e-5)


def test_class_vectors_without_training_images_take_no_part():
    terms = [SOFTMAX, PROXY_ANCHOR]
    few, many = make_batch(), make_batch()
    rest = np.array([1, 4, 5])  # of six classes these have images
    many = many._replace(labels=rest[few.labels].astype(np.int32))
    small, large = start([few], terms), start([few], terms)
    spread = {
        name: jnp.full((6, 8), 9.0).at[rest].set(vectors) for name, vectors in small.proxies.items()
    }
    large = large.replace(params={**large.params, state_lib.PROXIES: spread})
    options = {"terms": terms, "axis_name": None}
    for_few = step_lib.create_train_step(TinyNetwork(), SGD, **options)
    for_many = step_lib.create_train_step(TinyNetwork(), SGD, **options, trained_classes=rest)
    small, expected = jax.jit(for_few)(small, few, jax.random.key(1))
    large, metrics = jax.jit(for_many)(large, many, jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, metrics, expected)
    for name, vectors in large.proxies.items():
        np.testing.assert_array_equal(vectors[rest], small.proxies[name])
        np.testing.assert_array_equal(np.delete(vectors, rest, axis=0), 9.0)


def test_the_average_follows_the_weights_and_is_what_is_evaluated():
    batches = [make_batch(seed) for seed in range(4)]
    state = start(batches, [SOFTMAX], is_averaged=True)
    step = jax.jit(
        step_lib.create_train_step(
            TinyNetwork(), SGD, terms=[SOFTMAX], axis_name=None, ema_decay=0.25
        )
    )
    expected = jax.tree.map(np.asarray, (state.params, state.batch_stats))
    for done, batch in enumerate(batches):
        state, _ = step(state, batch, jax.random.key(1))
        decay = min(0.25, (1 + done) / (10 + done))
        expected = jax.tree.map(
            lambda old, new, decay=decay: decay * old + (1 - decay) * np.asarray(new),
            expected,
            (state.params, state.batch_stats),
        )
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, state.average, expected)
    assert state.variables["batch_stats"] is state.average[1]
    assert "proxies" not in state.variables["params"] and set(state.proxies) == {SOFTMAX.name}
    assert state.proxies[SOFTMAX.name] is state.average[0]["proxies"][SOFTMAX.name]


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
    _, metrics = run([batch], terms=[triplet("none")])
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

            def apply(variables, x, *, train, mutable, network=network):
                return network.apply(variables, x, train=False), {"batch_stats": {}}

            stub = type("Stub", (), {"apply": staticmethod(apply)})()
            optimizer = optax.sgd(0.1)
            step = step_lib.create_train_step(
                stub, optimizer, terms=[triplet(miner)], axis_name=None
            )
            state = state_lib.create(variables, optimizer)
            _, metrics = jax.jit(step)(state, batch._replace(images=images), jax.random.key(0))
            losses.append(float(metrics.loss))
            assert float(metrics.num_skipped) == 2
        assert losses[0] == losses[1] > 0


def test_equal_images_give_no_nan_and_no_spread():
    batch = make_batch()
    batch = batch._replace(images=np.repeat(batch.images[:1], len(batch.images), axis=0))
    state, metrics = run([batch, batch], terms=[triplet("batch_hard")])
    assert float(metrics.spread) < 1e-5
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(state))
    assert float(metrics.loss) == pytest.approx(LOSS["margin"], abs=1e-5)


def test_past_batches_count_from_the_start_step_on():
    batches = [make_batch(seed) for seed in range(2)]
    without, _ = run(batches, terms=[SUPCON])
    later, _ = run(batches, terms=[SUPCON], memory_size=12, memory_start_step=2)
    np.testing.assert_array_equal(later.memory.labels, batches[1].labels)
    assert later.memory.valid.all()
    # The second step, number 1, is the first that has something to remember.
    at_once, _ = run(batches, terms=[SUPCON], memory_size=12, memory_start_step=1)

    def furthest(state):
        difference = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), state.params, without.params)
        return max(map(float, jax.tree.leaves(difference)))

    # What is masked adds zeros in another order: float32 rounding.
    assert furthest(later) < 1e-6 < 1e-4 < furthest(at_once)


def test_accumulated_steps_update_once_by_the_mean_gradient():
    batches = [make_batch(seed) for seed in range(4)]
    optimizer = optax.MultiSteps(SGD, 2).gradient_transformation()
    steps = {}
    for count, used in ((1, SGD), (2, optimizer)):
        steps[count] = jax.jit(
            step_lib.create_train_step(
                Frozen(),
                used,
                terms=[SUPCON],
                axis_name=None,
                ema_decay=0.5,
                accumulate_steps=count,
            )
        )
    state = begin = start(batches, [SUPCON], optimizer=optimizer, is_averaged=True)
    single = [
        steps[1](begin.replace(opt_state=SGD.init(begin.params)), batch, jax.random.key(1))[0]
        for batch in batches[:2]
    ]
    for done, batch in enumerate(batches[:2]):
        state, _ = steps[2](state, batch, jax.random.key(1))
        if done == 0:
            jax.tree.map(np.testing.assert_array_equal, state.params, begin.params)
            jax.tree.map(np.testing.assert_array_equal, state.average, begin.average)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    mean = jax.tree.map(lambda a, b: (a + b) / 2, single[0].params, single[1].params)
    jax.tree.map(close, state.params, mean)
    # The first update of the average: decay min(0.5, 1 / 10).
    expected = jax.tree.map(lambda old, new: 0.1 * old + 0.9 * new, begin.params, state.params)
    jax.tree.map(close, state.average[0], expected)
