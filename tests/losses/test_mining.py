"""Miners against triple loops: value, counts and gradient by distance."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsearch.losses import mining, ratio

MINERS = sorted(mining.MINERS)


@functools.partial(jax.jit, static_argnames=("miner", "soft_margin"))
def mine(d, positive, negative, *, miner, margin, soft_margin):
    def total(d):
        result = mining.MINERS[miner](d, positive, negative, margin=margin, soft_margin=soft_margin)
        return result.total, result

    (_, result), gradient = jax.value_and_grad(total, has_aux=True)(d)
    return result, gradient


@pytest.fixture
def example(oracles):
    """Returns rectangular distances and masks: some rows invalid, some classes of one image."""
    return functools.partial(make_example, oracles)


def make_example(oracles, seed=0, num_images=14, num_anchors=9, num_classes=4):
    rng = np.random.default_rng(seed)
    labels = rng.integers(num_classes, size=num_images)
    rows = np.arange(num_anchors) + 3
    valid = rng.random(num_images) > 0.2
    d = rng.uniform(0, 2, size=(num_anchors, num_images))
    return d.astype(np.float32), *oracles.masks(labels, rows, valid)


@pytest.mark.parametrize("soft_margin", [False, True])
@pytest.mark.parametrize("margin", [0.0, 0.3])
@pytest.mark.parametrize("miner", MINERS)
def test_miner_matches_nested_loops(example, oracles, miner, margin, soft_margin):
    options = {"miner": miner, "margin": margin, "soft_margin": soft_margin}
    for seed in range(5):
        d, positive, negative = example(seed)
        result, gradient = mine(d, positive, negative, **options)
        expected, expected_gradient = oracles.mine(
            d.astype(np.float64), positive, negative, **options
        )
        np.testing.assert_allclose(result, expected, rtol=1e-5)  # a float32 sum
        np.testing.assert_allclose(gradient, expected_gradient, atol=1e-4)


@pytest.mark.parametrize("miner", MINERS)
@pytest.mark.parametrize("without", ["positives", "negatives", "both"])
def test_no_triplet_is_no_loss_and_no_gradient(example, miner, without):
    d, positive, negative = example()
    positive &= without == "negatives"
    negative &= without == "positives"
    for soft_margin in (False, True):
        result, gradient = mine(
            d, positive, negative, miner=miner, margin=0.5, soft_margin=soft_margin
        )
        assert [float(x) for x in result] == [0.0, 0.0, 0.0, 0.0]
        assert float(ratio.mean(result)) == 0.0
        np.testing.assert_array_equal(gradient, 0.0)


@pytest.mark.parametrize("miner", MINERS)
def test_margin_0_and_equal_distances_leave_nothing_active(example, miner):
    _, positive, negative = example()
    d = np.full(positive.shape, 0.7, np.float32)
    result, gradient = mine(d, positive, negative, miner=miner, margin=0.0, soft_margin=False)
    assert result.total == 0 and result.num_active == 0 and result.num_candidates > 0
    np.testing.assert_array_equal(gradient, 0.0)


@pytest.mark.parametrize("miner", MINERS)
def test_equal_distances_give_a_loss_of_the_margin(example, miner):
    _, positive, negative = example()
    d = np.full(positive.shape, 0.7, np.float32)
    result, _ = mine(d, positive, negative, miner=miner, margin=0.4, soft_margin=False)
    np.testing.assert_allclose(ratio.mean(result), 0.4, rtol=1e-5)
    assert result.num_active == result.num_candidates


@pytest.mark.parametrize("miner", MINERS)
def test_the_order_of_the_gallery_is_nothing(example, miner):
    d, positive, negative = example()
    order = np.random.default_rng(3).permutation(d.shape[1])
    options = {"miner": miner, "margin": 0.3, "soft_margin": False}
    result, gradient = mine(d, positive, negative, **options)
    shuffled, shuffled_gradient = mine(
        d[:, order], positive[:, order], negative[:, order], **options
    )
    np.testing.assert_allclose(result, shuffled, rtol=1e-6)  # another order of summation
    np.testing.assert_allclose(gradient[:, order], shuffled_gradient, atol=1e-6)


def test_batch_all_is_the_same_whatever_it_takes_at_a_time(example, monkeypatch):
    d, positive, negative = example()
    options = {"margin": 0.3}
    whole = mining.batch_all(d, positive, negative, **options)
    # 4 anchors of 14 x 14 triplets: two full rounds and a rest of one anchor.
    monkeypatch.setattr(mining, "_TRIPLETS_AT_A_TIME", 4 * 14**2)
    np.testing.assert_allclose(mining.batch_all(d, positive, negative, **options), whole, rtol=1e-6)


def test_batch_all_does_not_hold_all_triplets_at_once():
    num_images = 384
    shapes = [jax.ShapeDtypeStruct((num_images, num_images), t) for t in (jnp.float32, bool, bool)]
    lowered = mine.lower(*shapes, miner="batch_all", margin=0.3, soft_margin=False)
    compiled = lowered.compile()
    all_triplets_bytes = 4 * num_images**3
    assert compiled.memory_analysis().temp_size_in_bytes < all_triplets_bytes / 4


def test_semi_hard_prefers_the_nearest_further_negative_to_a_nearer_one():
    #             anchor, positive, too near, semi-hard, further
    d = jnp.array([[0.0, 0.5, 0.4, 0.6, 0.65]])
    positive = jnp.array([[False, True, False, False, False]])
    negative = jnp.array([[False, False, True, True, True]])
    assert np.isclose(mining.semi_hard(d, positive, negative, margin=0.3).total, 0.2)


def test_semi_hard_falls_back_to_the_farthest_negative_when_none_is_further():
    d = jnp.array([[0.0, 0.5, 0.1, 0.4]])
    positive = jnp.array([[False, True, False, False]])
    negative = jnp.array([[False, False, True, True]])
    assert np.isclose(mining.semi_hard(d, positive, negative, margin=0.3).total, 0.4)


def test_semi_hard_counts_a_satisfied_pair_at_0():
    d = jnp.array([[0.0, 0.5, 0.1, 0.9]])  # the negative at 0.1 is hard, not semi-hard
    positive = jnp.array([[False, True, False, False]])
    negative = jnp.array([[False, False, True, True]])
    result = mining.semi_hard(d, positive, negative, margin=0.3)
    assert [float(x) for x in result] == [0.0, 1.0, 0.0, 1.0]


def test_soft_margin_does_not_overflow():
    result = mining.penalty(jnp.array([1e4, -1e4]), soft_margin=True)
    np.testing.assert_array_equal(result, [1e4, 0.0])


def around_the_first(seed=0):
    """Returns points [12, 5] on the sphere at known distances of the first, and their classes."""
    rng = np.random.default_rng(seed)
    first, *others = rng.normal(size=(12, 5))
    first /= np.linalg.norm(first)
    x = [first]
    at = (0.2, 0.3, 0.6, 0.9, 1.1, 1.2, 1.3, 1.45, 1.6, 1.9, 2.0)
    for distance, other in zip(at, others, strict=True):
        other -= first * (other @ first)
        angle = 2 * np.arcsin(distance / 2)
        x.append(np.cos(angle) * first + np.sin(angle) * other / np.linalg.norm(other))
    return np.array(x), np.array([0, 1, 1, 2, 0, 1, 1, 2, 2, 0, 1, 2])


def test_distance_weighted_negatives_are_drawn_as_often_as_the_loops_say(oracles):
    x, labels = around_the_first()
    _, negative = oracles.masks(labels, np.arange(12), np.ones(12, bool))
    euclidean = oracles.all_distances(x, x, name="euclidean")
    num_draws = 4000

    def drawn(uniform):
        """Returns the number of the negative that each anchor draws, [12]."""
        numbers, is_first = jnp.arange(12.0), jnp.arange(12) == 0
        one = functools.partial(
            mining.distance_weighted,
            margin=100.0,
            uniforms=jnp.full((1, 12), uniform),
            num_dimensions=5,
        )
        return jax.vmap(
            lambda far, is_negative: (
                100.0
                - one(numbers[None], is_first[None], is_negative[None], euclidean=far[None]).total
            )
        )(jnp.float32(euclidean), jnp.asarray(negative))

    evenly = (np.arange(num_draws, dtype=np.float32) + 0.5) / num_draws
    numbers = np.round(jax.jit(jax.vmap(drawn))(evenly)).astype(int)
    for anchor in range(12):
        expected = oracles.distance_weights(x, anchor, np.flatnonzero(negative[anchor]))
        shares = np.bincount(numbers[:, anchor], minlength=12) / num_draws
        for n in range(12):
            assert abs(shares[n] - expected.get(n, 0.0)) < 1.5 / num_draws, (anchor, n)


@pytest.mark.parametrize("soft_margin", [False, True])
def test_distance_weighted_is_the_loss_of_what_was_drawn(oracles, soft_margin):
    x, labels = around_the_first(1)
    positive, negative = oracles.masks(labels, np.arange(12), np.arange(12) != 6)
    euclidean = oracles.all_distances(x, x, name="euclidean")
    d = euclidean**2
    uniforms = np.random.default_rng(2).random((12, 12))
    expected, gradient = oracles.distance_weighted(
        x, d, positive, negative, uniforms=uniforms, margin=0.4, soft_margin=soft_margin
    )

    def total(d):
        result = mining.distance_weighted(
            d,
            jnp.asarray(positive),
            jnp.asarray(negative),
            margin=0.4,
            soft_margin=soft_margin,
            euclidean=jnp.float32(euclidean),
            uniforms=jnp.float32(uniforms),
            num_dimensions=5,
        )
        return result.total, result

    by_d, result = jax.grad(total, has_aux=True)(jnp.float32(d))
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    np.testing.assert_allclose(by_d, gradient, atol=1e-5)
    assert 0 < expected[2] < expected[3]


def test_distance_weighted_takes_any_negative_where_all_are_far():
    far = jnp.full((1, 4), 1.9)
    positive, negative = jnp.array([[1, 0, 0, 0]], bool), jnp.array([[0, 0, 1, 1]], bool)
    numbers = jnp.array([[1.0, 9.0, 2.0, 3.0]])
    losses = {
        float(
            mining.distance_weighted(
                numbers,
                positive,
                negative,
                margin=10.0,
                euclidean=far,
                uniforms=jnp.full((1, 4), uniform),
                num_dimensions=8,
            ).total
        )
        for uniform in (0.0, 0.3, 0.7, 0.9999999)
    }
    assert losses == {9.0, 8.0}
