import jax
import numpy as np
import pytest

from simsearch import models
from simsearch.models import folding, layers


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v3_small"])
def test_folded_variables_embed_as_the_others_do(backbone):
    network = models.create_network(backbone=backbone, embedding_size=8, head="mlp")
    shapes = models.abstract_variables(network, image_size=32)
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        # Positive, as variances are; a kernel's numbers keep the size of what goes through.
        if leaf.ndim == 1:
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        fan_in = np.prod(leaf.shape[:-1])
        return (rng.normal(size=leaf.shape) * (2 / fan_in) ** 0.5).astype(np.float32)

    variables = jax.tree_util.tree_map_with_path(draw, shapes)
    folded = folding.fold_batch_norm(variables, epsilon=models.find_backbone(backbone).norm_epsilon)
    assert "head" in folded["batch_stats"] and "backbone" not in folded["batch_stats"]
    images = rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    embed = jax.jit(lambda variables: network.apply(variables, images, train=False))
    np.testing.assert_allclose(embed(folded), embed(variables), atol=1e-5)


@pytest.mark.parametrize("backbone", models.BACKBONES)
def test_the_epsilon_is_the_trunk_s(backbone):
    known = models.find_backbone(backbone)
    trunk = known.make()
    assert known.norm_epsilon == getattr(trunk, "epsilon", layers.BatchNorm().epsilon)
