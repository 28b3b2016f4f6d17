import jax
import pytest

from simsearch import errors, models
from simsearch.models import parts


def shapes(backbone, **options):
    network = models.create_network(backbone=backbone, embedding_size=8, **options)
    return models.abstract_variables(network, image_size=32)


@pytest.mark.parametrize(
    ("freeze", "number"),
    [("none", 0), ("stem", 1), ("1", 2), ("1 stage", 2), ("2 stages", 3), ("4", 5), ("all", 5)],
)
def test_frozen_parts_are_counted_from_the_input(freeze, number):
    assert parts.num_frozen_parts(freeze) == number


@pytest.mark.parametrize("freeze", ["0", "5", "stages", "stage1", "True", "", "x stages"])
def test_what_is_no_part_is_refused_with_those_there_are(freeze):
    with pytest.raises(errors.UsageError, match="none, stem, a number of stages from 1 to 4"):
        parts.num_frozen_parts(freeze)


def test_every_parameter_is_counted_once_as_trained_or_frozen():
    variables = shapes("mobilenet_v2", pooling="gem", head="mlp")
    found = parts.count(variables, freeze="2")
    assert [part.name for part in found] == [
        *("stem", "stage1", "stage2", "stage3", "stage4", "pooling", "head")
    ]
    flags = models.trainable(variables["params"], freeze="2")
    sizes = jax.tree.map(lambda leaf, flag: (leaf.size, flag), variables["params"], flags)
    pairs = jax.tree.leaves(sizes, is_leaf=lambda node: isinstance(node, tuple))
    assert sum(part.num_trained for part in found) == sum(size for size, flag in pairs if flag)
    assert sum(part.num_frozen for part in found) == sum(size for size, flag in pairs if not flag)
    assert [part.num_frozen > 0 for part in found] == [True] * 3 + [False] * 4
    assert [part.has_batch_norm for part in found] == [True] * 5 + [False, True]


def test_the_last_layer_of_an_inverted_residual_net_belongs_to_its_last_stage():
    by_name = {part.name: part for part in parts.count(shapes("mobilenet_v2"), freeze="none")}
    params = shapes("mobilenet_v2")["params"]["backbone"]
    blocks = sum(
        leaf.size
        for name, module in params.items()
        if name.startswith("stage4_block")
        for leaf in jax.tree.leaves(module)
    )
    assert by_name["stage4"].num_trained == blocks + 320 * 1280 + 2 * 1280
