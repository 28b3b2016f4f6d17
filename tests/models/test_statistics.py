import flax.traverse_util
import jax
import numpy as np
import pytest

from simsearch import models

SIDE = 64


def create(backbone, *, freeze="none"):
    """Returns a network, its variables and images; its BatchNorms' scales and biases are random."""
    network = models.create_network(backbone=backbone, embedding_size=8, freeze=freeze)
    variables = models.initialise(network, seed=0, image_size=SIDE)
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        if leaf.ndim != 1 or path[0].key != "params":
            return np.asarray(leaf)
        return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)

    images = rng.integers(0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8)
    return network, jax.tree_util.tree_map_with_path(draw, variables), images


def embed(network, variables, images, *, train=False):
    apply = jax.jit(
        lambda variables: network.apply(variables, images, train=train, mutable=["batch_stats"])[0]
    )
    return np.asarray(apply(variables))


def flat(tree):
    return flax.traverse_util.flatten_dict(tree)


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v2", "mobilenet_v3_small"])
def test_unfolded_weights_compute_the_same_with_running_and_with_batch_statistics(backbone):
    network, variables, images = create(backbone)
    epsilon = models.find_backbone(backbone).norm_epsilon
    observed = models.observe(network, variables, [images], train=False)
    # Chunks of a batch on a CPU must not hide any.
    assert set(flat(observed)) == set(flat(variables["batch_stats"]))
    unfolded = models.unfold(variables, observed, epsilon=epsilon)
    expected = embed(network, variables, images)
    assert np.abs(embed(network, variables, images, train=True) - expected).max() > 0.05
    np.testing.assert_allclose(embed(network, unfolded, images), expected, atol=1e-4)
    np.testing.assert_allclose(embed(network, unfolded, images, train=True), expected, atol=1e-3)


def test_statistics_of_several_batches_are_those_of_all_their_images():
    network, variables, images = create("resnet18")
    parts = models.observe(network, variables, [images[:3], images[3:]], train=False)
    whole = models.observe(network, variables, [images], train=False)
    for path, value in flat(whole).items():
        np.testing.assert_allclose(flat(parts)[path], value, rtol=1e-3, atol=1e-4)
    pixels = flat(variables["params"])["backbone", "stem_conv", "kernel"]
    assert pixels.shape[-1] == len(flat(whole)["backbone", "stem_norm", "mean"])


def test_recalibrated_running_statistics_are_the_images_own():
    network, variables, images = create("mobilenet_v3_small")
    observed = models.observe(network, variables, [images], train=True)
    found = models.recalibrate(variables, observed)
    expected = embed(network, variables, images, train=True)
    assert np.abs(embed(network, variables, images) - expected).max() > 0.05
    np.testing.assert_allclose(embed(network, found, images), expected, atol=1e-3)


def test_frozen_statistics_are_not_recalibrated():
    network, variables, images = create("mobilenet_v3_small", freeze="2")
    observed = models.observe(network, variables, [images], train=True)
    kept = {path[1] for path in flat(variables["batch_stats"])} - {p[1] for p in flat(observed)}
    assert kept and all(name.startswith(("stem", "stage1", "stage2")) for name in kept)
    found = models.recalibrate(variables, observed)
    assert found["batch_stats"]["backbone"]["stem_norm"]["mean"].max() == 0
