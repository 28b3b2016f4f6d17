"""Every loss against its loops, on hard cases, and over two devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsearch.losses import classes, pairs, parts
from simsearch.losses import terms as terms_lib

OPTIONS = {
    "triplet": {
        "miner": "batch_all",
        "margin": 0.3,
        "distance": "squared_euclidean",
        "soft_margin": False,
    },
    "supcon": {"temperature": 0.1},
    "normalised_softmax": {"scale": 16.0, "label_smoothing": 0.1},
}
NAMES = sorted(OPTIONS)
LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 1, 4, 4])
VALID = np.arange(12) != 6
MIXED_LABELS = np.roll(LABELS, 1)
WEIGHTS = np.where(np.arange(12) % 3 == 0, 0.7, 1.0)


def embeddings(num, seed=0, size=5):
    x = np.random.default_rng(seed).normal(size=(num, size))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


PROXIES = embeddings(5, seed=1) * 1.7


def term(name):
    return terms_lib.Term(name, 1.0, OPTIONS[name])


def view_of(x, labels, valid, mixed_labels, weights, *, axis_name=None):
    """Returns what the losses see, on one device or on each of several."""
    rows, everyone = jnp.arange(len(x)), (x, labels, valid)
    if axis_name:
        rows += jax.lax.axis_index(axis_name) * len(x)
        everyone = jax.lax.all_gather(everyone, axis_name, tiled=True)
    return terms_lib.View(
        anchors=pairs.Anchors(x, labels, rows),
        gallery=pairs.Gallery(*everyone),
        images=classes.Images(x, labels, valid, mixed_labels, weights),
    )


@functools.partial(jax.jit, static_argnums=0)
def mean_of(name, x, proxies, *batch):
    """Returns the loss and its gradients by the embeddings and by the class vectors."""

    def mean(x, proxies):
        batch_view = view_of(x, *batch)
        return parts.mean(terms_lib.evaluate(term(name), batch_view, {name: proxies}))

    return jax.value_and_grad(mean, argnums=(0, 1))(x, proxies)


def batch(labels=LABELS, valid=VALID, mixed_labels=MIXED_LABELS, weights=WEIGHTS):
    return labels, valid, mixed_labels, np.float32(weights)


def test_every_loss_is_tested():
    assert set(NAMES) == {*terms_lib.PAIR_LOSSES, *terms_lib.CLASS_LOSSES}


@pytest.mark.parametrize("name", ["supcon"])
def test_a_pair_loss_and_its_gradient_match_the_loops(oracles, name):
    x = embeddings(12)

    def expected(x):
        return getattr(oracles, name)(x, LABELS, VALID, **OPTIONS[name])

    value, (gradient, _) = mean_of(name, jnp.float32(x), jnp.float32(PROXIES), *batch())
    np.testing.assert_allclose(value, expected(x), rtol=1e-5)
    np.testing.assert_allclose(gradient, oracles.central_differences(expected, x), atol=1e-4)
    assert not gradient[6].any()  # the invalid row


@pytest.mark.parametrize("name", ["normalised_softmax"])
def test_a_class_loss_and_its_gradients_match_the_loops(oracles, name):
    x = embeddings(12)

    def expected(x, proxies=PROXIES):
        oracle = getattr(oracles, name)
        return oracle(x, LABELS, VALID, proxies, MIXED_LABELS, WEIGHTS, **OPTIONS[name])

    value, gradients = mean_of(name, jnp.float32(x), jnp.float32(PROXIES), *batch())
    np.testing.assert_allclose(value, expected(x), rtol=1e-5)
    by_images = oracles.central_differences(expected, x)
    by_proxies = oracles.central_differences(lambda proxies: expected(x, proxies), PROXIES)
    np.testing.assert_allclose(gradients[0], by_images, atol=1e-4)
    np.testing.assert_allclose(gradients[1], by_proxies, atol=1e-4)
    assert not gradients[0][6].any()


@pytest.mark.parametrize("name", NAMES)
def test_duplicate_and_identical_images_have_finite_gradients(name):
    duplicates = embeddings(12)
    duplicates[1] = duplicates[0]  # a positive
    duplicates[5] = duplicates[2]  # a negative
    on_proxies = np.concatenate([PROXIES, -PROXIES, PROXIES[:2]]) / np.linalg.norm(PROXIES[0])
    for x in (duplicates, np.tile(embeddings(1), (12, 1)), on_proxies, np.zeros((12, 5))):
        value, gradients = mean_of(name, jnp.float32(x), jnp.float32(PROXIES), *batch())
        assert np.isfinite(value)
        assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_valid_is_no_loss(name):
    x = jnp.float32(embeddings(12))
    value, gradients = mean_of(name, x, jnp.float32(PROXIES), *batch(valid=np.zeros(12, bool)))
    assert value == 0 and not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_one_class_alone_gives_finite_figures(name):
    x = jnp.float32(embeddings(12))
    same = np.zeros(12, int)
    value, gradients = mean_of(
        name, x, jnp.float32(PROXIES), *batch(labels=same, mixed_labels=same)
    )
    assert np.isfinite(value) and all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_batch_is_nothing(name):
    x, proxies = jnp.float32(embeddings(12)), jnp.float32(PROXIES)
    order = np.random.default_rng(1).permutation(12)
    value, (gradient, _) = mean_of(name, x, proxies, *batch())
    shuffled, (shuffled_gradient, _) = mean_of(
        name, x[order], proxies, *(part[order] for part in batch())
    )
    np.testing.assert_allclose(value, shuffled, rtol=1e-5)
    np.testing.assert_allclose(gradient[order], shuffled_gradient, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_two_devices_have_the_gradient_of_one(name):
    """The second device has the invalid images, and classes of its own."""
    valid = ~np.isin(np.arange(12), (6, 11))
    x, proxies = jnp.float32(embeddings(12)), jnp.float32(PROXIES)

    def on_device(x, *rest):
        def share(x, proxies):
            view = view_of(x, *rest, axis_name="devices")
            mine = terms_lib.evaluate(term(name), view, {name: proxies})
            summed = jax.lax.psum(jax.lax.stop_gradient(mine), "devices")
            return parts.mean(mine._replace(count=summed.count)), parts.mean(summed)

        gradients, value = jax.grad(share, argnums=(0, 1), has_aux=True)(x, proxies)
        return value, gradients[0], jax.lax.psum(gradients[1], "devices")

    split = [jnp.reshape(a, (2, -1, *a.shape[1:])) for a in (x, *batch(valid=valid))]
    values, by_images, by_proxies = jax.pmap(on_device, axis_name="devices")(*split)
    expected, gradients = mean_of(name, x, proxies, *batch(valid=valid))
    np.testing.assert_allclose(values, [expected] * 2, rtol=1e-5)
    np.testing.assert_allclose(by_images.reshape(x.shape), gradients[0], atol=1e-6)
    np.testing.assert_allclose(by_proxies[0], gradients[1], atol=1e-6)


def test_the_heaviest_loss_with_class_vectors_is_the_classifier():
    terms = [term("triplet")._replace(weight=5.0), term("normalised_softmax")]
    assert terms_lib.classifier(terms) == "normalised_softmax"
    assert terms_lib.classifier(terms[:1]) is None


def test_accuracy_counts_the_valid_images_nearest_to_their_own_class_vector():
    proxies = jnp.eye(3, 4) * 3
    x = jnp.eye(3, 4)[jnp.array([0, 1, 2, 2, 1])]
    labels, valid = jnp.array([0, 1, 1, 2, 1]), jnp.array([1, 1, 1, 1, 0], bool)
    images = classes.Images(x, labels, valid, labels, jnp.ones(5))
    assert float(classes.num_right(images, proxies)) == 3


def test_supcon_of_two_views_is_nt_xent():
    """SimCLR's loss as its authors wrote it, for images 2i and 2i + 1 of a pair."""
    x, labels = embeddings(8), np.arange(8) // 2
    losses = []
    for i in range(8):
        scores = np.exp(x @ x[i] / 0.1)
        losses.append(-np.log(scores[i ^ 1] / (scores.sum() - scores[i])))
    every = np.ones(8, bool)
    value, _ = mean_of("supcon", jnp.float32(x), jnp.float32(PROXIES), labels, every, labels, every)
    np.testing.assert_allclose(value, np.mean(losses), rtol=1e-5)
