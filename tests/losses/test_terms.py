"""Every loss against its loops, on hard cases, and over two devices."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsearch.config import files as config_files
from simsearch.losses import classes, memory, mining, pairs, ratio
from simsearch.losses import terms as terms_lib

OPTIONS = {
    "triplet": {
        "miner": "batch_all",
        "margin": 0.3,
        "distance": "squared_euclidean",
        "soft_margin": False,
    },
    "supcon": {"temperature": 0.1},
    "multi_similarity": {"alpha": 2.0, "beta": 20.0, "base": 0.4, "epsilon": 0.1},
    "circle": {"margin": 0.3, "scale": 10.0},
    "proxy_anchor": {"margin": 0.1, "scale": 8.0},
    "arcface": {"margin": 0.5, "scale": 16.0, "label_smoothing": 0.1},
    "normalised_softmax": {"scale": 16.0, "label_smoothing": 0.1},
}
PAIR_NAMES = sorted(terms_lib.PAIR_LOSSES)
# Every loss, and the triplet loss with every miner.
CASES = {name: (name, options) for name, options in OPTIONS.items()} | {
    f"triplet {miner}": ("triplet", OPTIONS["triplet"] | {"miner": miner})
    for miner in (*mining.MINERS, "distance_weighted", "none")
}
NAMES = sorted(CASES)
# Explicit triplets are an order; a draw goes by the rows.
ORDERED = {"triplet none", "triplet distance_weighted"}
LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 1, 4, 4])
VALID = np.arange(12) != 6
MIXED_LABELS = np.roll(LABELS, 1)
WEIGHTS = np.where(np.arange(12) % 3 == 0, 0.7, 1.0)


def embeddings(num, seed=0, size=5):
    x = np.random.default_rng(seed).normal(size=(num, size))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


PROXIES = embeddings(5, seed=1) * 1.7
PAST_EMBEDDINGS, PAST_LABELS = embeddings(6, seed=2), np.array([0, 1, 2, 3, 4, 0])
PAST_VALID = np.arange(6) != 3
PAST = pairs.Gallery(jnp.float32(PAST_EMBEDDINGS), jnp.int32(PAST_LABELS), jnp.asarray(PAST_VALID))


def term(name):
    loss, options = CASES[name]
    return terms_lib.Term(loss, 1.0, options)


def view_of(x, labels, valid, mixed_labels, weights, *, axis_name=None, with_memory=False):
    """Returns what the losses see, on one device or on each of several."""
    images = everyone = classes.Images(x, labels, valid, mixed_labels, weights)
    rows, share = jnp.arange(len(x)), 1.0
    if axis_name:
        rows += jax.lax.axis_index(axis_name) * len(x)
        everyone = jax.lax.all_gather(images, axis_name, tiled=True)
        share = 1.0 / jax.lax.axis_size(axis_name)
    batch = pairs.Gallery(*everyone[:3])
    return terms_lib.View(
        anchors=pairs.Anchors(x, labels, rows),
        gallery=memory.extend(batch, PAST, is_used=True) if with_memory else batch,
        images=images,
        batch=everyone,
        share=share,
        key=jax.random.key(3),
    )


@functools.partial(jax.jit, static_argnums=0, static_argnames="with_memory")
def mean_of(name, x, proxies, *batch, with_memory=False):
    """Returns the loss and its gradients by the embeddings and by the class vectors."""

    def mean(x, proxies):
        view = view_of(x, *batch, with_memory=with_memory)
        return ratio.mean(terms_lib.evaluate(term(name), view, {name: proxies}))

    return jax.value_and_grad(mean, argnums=(0, 1))(x, proxies)


def batch(labels=LABELS, valid=VALID, mixed_labels=MIXED_LABELS, weights=WEIGHTS):
    return labels, valid, mixed_labels, np.float32(weights)


def test_every_loss_is_tested():
    every = (terms_lib.PAIR_LOSSES, terms_lib.IMAGE_LOSSES, terms_lib.BATCH_LOSSES)
    assert set(OPTIONS) == {name for losses in every for name in losses}
    assert set(OPTIONS) == set(dataclasses.asdict(config_files.load_config("train").loss.terms))


@pytest.mark.parametrize("name", ["supcon", "multi_similarity", "circle"])
def test_a_pair_loss_and_its_gradient_match_the_loops(oracles, name):
    x = embeddings(12)

    fixed = {"weights_of": x} if name == "circle" else {}

    def expected(x):
        return getattr(oracles, name)(x, LABELS, VALID, **OPTIONS[name], **fixed)

    value, (gradient, _) = mean_of(name, jnp.float32(x), jnp.float32(PROXIES), *batch())
    np.testing.assert_allclose(value, expected(x), rtol=1e-5)
    np.testing.assert_allclose(gradient, oracles.central_differences(expected, x), atol=1e-4)
    assert not gradient[6].any()  # the invalid row


@pytest.mark.parametrize("name", ["normalised_softmax", "arcface", "proxy_anchor"])
def test_a_class_loss_and_its_gradients_match_the_loops(oracles, name):
    x = embeddings(12)
    # Far beyond the angle of pi - m from its own class vector, where ArcFace goes on otherwise.
    x[4] = 0.1 * x[4] - PROXIES[LABELS[4]]

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


@pytest.mark.parametrize("name", sorted(set(OPTIONS) - {"triplet"}))
def test_what_is_active_is_what_the_loops_count(oracles, name):
    x = embeddings(12)
    # A negative exactly as near as the only positive.
    x[8] = x[11]
    x[10] += 3 * x[11]
    x[:5] += PROXIES[LABELS[:5]]
    view = view_of(jnp.float32(x), *map(jnp.asarray, batch()))
    result = terms_lib.evaluate(term(name), view, {name: jnp.float32(PROXIES)})
    activity = getattr(oracles, f"{name}_activity")
    with_vectors = () if name in PAIR_NAMES else (PROXIES, MIXED_LABELS, WEIGHTS)
    expected = activity(x, LABELS, VALID, *with_vectors, **OPTIONS[name])
    assert (result.num_active, result.num_candidates) == expected
    assert 0 < expected[0] < expected[1]


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


@pytest.mark.parametrize("name", sorted(set(NAMES) - ORDERED))
def test_the_order_of_the_batch_is_nothing(name):
    x, proxies = jnp.float32(embeddings(12)), jnp.float32(PROXIES)
    order = np.random.default_rng(1).permutation(12)
    value, (gradient, _) = mean_of(name, x, proxies, *batch())
    shuffled, (shuffled_gradient, _) = mean_of(
        name, x[order], proxies, *(part[order] for part in batch())
    )
    np.testing.assert_allclose(value, shuffled, rtol=1e-5)
    np.testing.assert_allclose(gradient[order], shuffled_gradient, atol=1e-5)


@pytest.mark.parametrize("with_memory", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_two_devices_have_the_gradient_of_one(name, with_memory):
    """The second device has the invalid images, and classes of its own."""
    valid = ~np.isin(np.arange(12), (6, 11))
    x, proxies = jnp.float32(embeddings(12)), jnp.float32(PROXIES)

    def on_device(x, *rest):
        def share(x, proxies):
            view = view_of(x, *rest, axis_name="devices", with_memory=with_memory)
            mine = terms_lib.evaluate(term(name), view, {name: proxies})
            summed = jax.lax.psum(jax.lax.stop_gradient(mine), "devices")
            return ratio.mean(mine._replace(count=summed.count)), ratio.mean(summed)

        gradients, value = jax.grad(share, argnums=(0, 1), has_aux=True)(x, proxies)
        return value, gradients[0], jax.lax.psum(gradients[1], "devices")

    split = [jnp.reshape(a, (2, -1, *a.shape[1:])) for a in (x, *batch(valid=valid))]
    values, by_images, by_proxies = jax.pmap(on_device, axis_name="devices")(*split)
    expected, gradients = mean_of(name, x, proxies, *batch(valid=valid), with_memory=with_memory)
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


@pytest.mark.parametrize("name", ["supcon", "multi_similarity", "circle", "triplet"])
def test_what_is_remembered_is_further_gallery_without_a_gradient(oracles, name):
    """As if the past images stood in the batch, and were no anchors themselves."""
    x = np.concatenate([embeddings(12), PAST_EMBEDDINGS])
    labels, valid = np.concatenate([LABELS, PAST_LABELS]), np.concatenate([VALID, PAST_VALID])
    value, (gradient, _) = mean_of(
        name, jnp.float32(x[:12]), jnp.float32(PROXIES), *batch(), with_memory=True
    )
    anchors = pairs.Anchors(jnp.float32(x[:12]), jnp.asarray(LABELS), jnp.arange(12))
    joined = pairs.Gallery(jnp.float32(x), jnp.asarray(labels), jnp.asarray(valid))
    loss, options = terms_lib.PAIR_LOSSES[name], OPTIONS[name]
    expected = ratio.mean(loss(anchors, joined, **options))
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    if name in ("multi_similarity", "circle"):
        oracle = getattr(oracles, name)(x, labels, valid, **options, num_anchors=12)
        np.testing.assert_allclose(value, oracle, rtol=1e-5)

    def by_batch(batch_embeddings):
        return ratio.mean(
            loss(
                anchors._replace(embeddings=batch_embeddings),
                joined._replace(embeddings=jnp.concatenate([batch_embeddings, joined[0][12:]])),
                **options,
            )
        )

    np.testing.assert_allclose(gradient, jax.grad(by_batch)(anchors.embeddings), atol=1e-5)


def test_a_memory_that_is_not_used_yet_changes_nothing():
    joined = pairs.Gallery(jnp.float32(embeddings(12)), jnp.asarray(LABELS), jnp.asarray(VALID))
    extended = memory.extend(joined, PAST, is_used=jnp.asarray(False))
    assert len(extended.labels) == 18 and not extended.valid[12:].any()


def test_a_memory_keeps_the_newest_images_in_order():
    kept = memory.empty(5, embedding_size=1)
    for first in (0, 2, 4, 6):
        images = jnp.arange(first, first + 2)
        batch = pairs.Gallery(images[:, None].astype(jnp.float32), images, images != 3)
        kept = memory.push(kept, batch)
    assert kept.labels.tolist() == [6, 7, 4, 5, 2]
    assert kept.embeddings[:, 0].tolist() == [6, 7, 4, 5, 2]
    assert kept.valid.all() and not memory.push(kept, batch._replace(valid=images < 0)).valid[0]
    big = pairs.Gallery(jnp.zeros((9, 1)), jnp.arange(9), jnp.ones(9, bool))
    assert memory.push(kept, big).labels.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["arcface", "normalised_softmax"])
def test_on_and_opposite_its_class_vector_an_image_has_a_finite_gradient(name):
    proxies = jnp.eye(5)
    for x in (jnp.eye(5), -jnp.eye(5)):
        own, every = np.arange(5), np.ones(5, bool)
        value, gradients = mean_of(name, x, proxies, own, every, own, np.ones(5, np.float32))
        assert np.isfinite(value) and all(np.isfinite(part).all() for part in gradients)
