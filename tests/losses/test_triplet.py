"""The triplet loss from embeddings: oracles, optax, hard cases and two devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from simsearch.losses import distances, mining, pairs, ratio, triplet

DISTANCES = sorted(distances.DISTANCES)
MINERS = sorted(mining.MINERS)


def embeddings(num, seed=0, size=5):
    x = np.random.default_rng(seed).normal(size=(num, size))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def mined(x, labels, valid, rows, **options):
    """Returns the loss of the anchors `rows` in the whole batch."""
    rows = jnp.asarray(rows)
    labels = jnp.asarray(labels)
    anchors = pairs.Anchors(x[rows], labels[rows], rows)
    return triplet.mined(anchors, pairs.Gallery(x, labels, jnp.asarray(valid)), **options)


@functools.partial(jax.jit, static_argnames=("miner", "distance", "soft_margin"))
def mined_mean(x, labels, valid, **options):
    def mean(x):
        return ratio.mean(mined(x, labels, valid, np.arange(x.shape[0]), **options))

    return jax.value_and_grad(mean)(x)


@functools.partial(jax.jit, static_argnames=("distance", "soft_margin"))
def explicit_mean(x, valid, **options):
    return jax.value_and_grad(lambda x: ratio.mean(triplet.explicit(x, valid, **options)))(x)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("miner", MINERS)
def test_mined_loss_and_gradient_match_the_loops(oracles, miner, distance):
    x = embeddings(12)
    labels, valid = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 1, 4, 4]), np.arange(12) != 6
    positive, negative = oracles.masks(labels, np.arange(12), valid)

    def expected_mean(x):
        (total, count, *_), _ = oracles.mine(
            oracles.all_distances(x, x, name=distance),
            positive,
            negative,
            miner=miner,
            margin=0.31,
            soft_margin=False,
        )
        return total / count

    value, gradient = mined_mean(
        jnp.float32(x), labels, valid, miner=miner, distance=distance, margin=0.31
    )
    np.testing.assert_allclose(value, expected_mean(x), rtol=1e-5)
    np.testing.assert_allclose(gradient, oracles.central_differences(expected_mean, x), atol=2e-5)
    assert not gradient[6].any()  # the invalid row


@pytest.mark.parametrize("soft_margin", [False, True])
@pytest.mark.parametrize("distance", DISTANCES)
def test_explicit_loss_and_gradient_match_the_loops(oracles, distance, soft_margin):
    x, valid = embeddings(12), np.arange(12) != 4

    def expected_mean(x):
        losses = []
        for first in range(0, 12, 3):
            if valid[first : first + 3].all():
                a, p, n = x[first : first + 3]
                violation = (
                    oracles.distance(a, p, name=distance)
                    - oracles.distance(a, n, name=distance)
                    + 0.31
                )
                losses.append(oracles.penalty(violation, soft_margin=soft_margin))
        return np.mean(losses)

    value, gradient = explicit_mean(
        jnp.float32(x), valid, margin=0.31, distance=distance, soft_margin=soft_margin
    )
    np.testing.assert_allclose(value, expected_mean(x), rtol=1e-5)
    np.testing.assert_allclose(gradient, oracles.central_differences(expected_mean, x), atol=2e-5)
    assert not gradient[3:6].any()  # the triplet with the invalid row


@pytest.mark.parametrize("margin", [0.0, 0.2, 1.0])
def test_explicit_loss_equals_optax(margin):
    x = jnp.float32(embeddings(12))

    def expected_mean(x):
        losses = optax.losses.triplet_margin_loss(x[0::3], x[1::3], x[2::3], margin=margin, eps=0.0)
        return losses.mean()

    expected, expected_gradient = jax.value_and_grad(expected_mean)(x)
    value, gradient = explicit_mean(x, np.ones(12, bool), margin=margin, distance="euclidean")
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)


def test_explicit_counts_valid_and_active_triplets():
    x = jnp.array([[1.0, 0], [1, 0], [0, 1], [1, 0], [0, 1], [1, 0], [1, 0], [1, 0], [0, 1]])
    valid = np.arange(9) != 8
    result = triplet.explicit(x, valid, margin=1.0, distance="squared_euclidean")
    assert [float(v) for v in result] == [3.0, 2.0, 1.0, 2.0]


def test_explicit_refuses_a_batch_of_broken_triplets():
    with pytest.raises(ValueError, match="multiple of 3"):
        triplet.explicit(jnp.zeros((4, 2)), jnp.ones(4, bool), margin=1.0, distance="cosine")


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("miner", MINERS)
def test_duplicate_and_identical_images_have_finite_gradients(miner, distance):
    labels, valid = np.arange(12) // 3, np.ones(12, bool)
    duplicates = embeddings(12)
    duplicates[1] = duplicates[0]  # a positive
    duplicates[5] = duplicates[2]  # a negative
    identical = np.tile(embeddings(1), (12, 1))
    for x in (duplicates, identical):
        value, gradient = mined_mean(
            jnp.float32(x), labels, valid, miner=miner, distance=distance, margin=0.2
        )
        assert np.isfinite(value) and np.isfinite(gradient).all()
    np.testing.assert_allclose(value, 0.2, atol=2e-3)  # sqrt of rounding, for "euclidean"


@pytest.mark.parametrize("distance", DISTANCES)
def test_explicit_loss_has_finite_gradients_on_identical_images(distance):
    x = jnp.float32(np.tile(embeddings(1), (12, 1)))
    value, gradient = explicit_mean(x, np.ones(12, bool), margin=0.2, distance=distance)
    np.testing.assert_allclose(value, 0.2, rtol=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("miner", MINERS)
def test_one_class_only_or_nothing_valid_is_no_loss(miner):
    x = jnp.float32(embeddings(12))
    for labels, valid in (
        (np.zeros(12, int), np.ones(12, bool)),
        (np.arange(12) // 2, np.zeros(12, bool)),
    ):
        value, gradient = mined_mean(
            x, labels, valid, miner=miner, distance="euclidean", margin=1.0
        )
        assert value == 0
        np.testing.assert_array_equal(gradient, 0.0)


@pytest.mark.parametrize("miner", MINERS)
def test_the_order_of_the_batch_is_nothing(miner):
    x, labels, valid = jnp.float32(embeddings(12)), np.arange(12) // 3, np.arange(12) != 2
    order = np.random.default_rng(1).permutation(12)
    options = {"miner": miner, "distance": "squared_euclidean", "margin": 0.2}
    value, gradient = mined_mean(x, labels, valid, **options)
    shuffled, shuffled_gradient = mined_mean(x[order], labels[order], valid[order], **options)
    np.testing.assert_allclose(value, shuffled, rtol=1e-6)
    np.testing.assert_allclose(gradient[order], shuffled_gradient, atol=1e-6)


def test_a_miner_may_be_a_function():
    x, labels, valid = jnp.float32(embeddings(12)), np.arange(12) // 3, np.ones(12, bool)
    options = {"distance": "squared_euclidean", "margin": 0.2}
    by_name, by_function = (
        mined_mean(x, labels, valid, miner=miner, **options)[0]
        for miner in ("batch_hard", mining.batch_hard)
    )
    assert by_name == by_function


def test_masks_match_the_loops(oracles):
    labels, rows, valid = np.array([0, 1, 0, 1, 2, 0]), np.array([3, 4, 5]), np.arange(6) != 2
    expected = oracles.masks(labels, rows, valid)
    labels, rows = jnp.asarray(labels), jnp.asarray(rows)
    anchors = pairs.Anchors(jnp.zeros((3, 1)), labels[rows], rows)
    masks = pairs.masks(anchors, pairs.Gallery(jnp.zeros((6, 1)), labels, jnp.asarray(valid)))
    np.testing.assert_array_equal(masks.positive, expected[0])
    np.testing.assert_array_equal(masks.negative, expected[1])


def on_two_devices(local_parts, x, *rest):
    """Returns value and gradient of a loss whose ratio is summed over two devices."""

    def step(x, *rest):
        def share(x):
            mine = local_parts(x, *rest)
            others = jax.lax.psum(jax.lax.stop_gradient(mine), "devices")
            # The value of the whole loss is `others.total / count`; this has its gradient.
            return mine.total / jnp.maximum(others.count, 1.0), ratio.mean(others)

        gradient, value = jax.grad(share, has_aux=True)(x)
        return value, gradient

    split = [jnp.reshape(a, (2, -1, *a.shape[1:])) for a in (x, *rest)]
    values, gradients = jax.pmap(step, axis_name="devices")(*split)
    assert values[0] == values[1]
    return values[0], gradients.reshape(x.shape)


@pytest.mark.parametrize("miner", MINERS)
def test_two_devices_have_the_gradient_of_one(miner):
    # Uneven shares: the second device has an invalid image and a class of its own.
    labels, valid = np.array([0, 0, 1, 1, 0, 1, 2, 3, 1, 2, 3, 2]), np.arange(12) != 8
    x = jnp.float32(embeddings(12))
    options = {"miner": miner, "distance": "squared_euclidean", "margin": 0.5}

    def local_parts(x, labels, valid):
        everyone = [jax.lax.all_gather(a, "devices", tiled=True) for a in (x, labels, valid)]
        rows = jax.lax.axis_index("devices") * x.shape[0] + jnp.arange(x.shape[0])
        anchors = pairs.Anchors(x, labels, rows)
        return triplet.mined(anchors, pairs.Gallery(*everyone), **options)

    value, gradient = on_two_devices(local_parts, x, labels, valid)
    expected, expected_gradient = mined_mean(x, labels, valid, **options)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)


def test_two_devices_have_the_gradient_of_one_on_explicit_triplets():
    x, valid = jnp.float32(embeddings(12)), np.arange(12) != 7
    options = {"distance": "squared_euclidean", "margin": 0.5}
    value, gradient = on_two_devices(functools.partial(triplet.explicit, **options), x, valid)
    expected, expected_gradient = explicit_mean(x, valid, **options)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)
