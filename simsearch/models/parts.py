"""The parts of a network, from the input on: which are trained, and how large they are."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from simsearch import errors
from simsearch.models import backbone as backbone_lib

# What a network of several backbones has of each.
REPEATED = ("backbone", "pooling")


class Part(NamedTuple):
    """One part of a network and its numbers of parameters."""

    name: str  # "stem", "stage1", …, "pooling", "head"
    is_backbone: bool
    num_trained: int
    num_frozen: int
    has_batch_norm: bool


def names_of(module: str, number: int) -> list[str]:
    """Returns the names among a network's variables of a module that it has several times."""
    return [module, *(f"{module}_{i}" for i in range(1, number))]


def num_frozen_parts(freeze: str) -> int:
    """Returns how many parts are frozen, the stem counted first, then each stage.

    Args:
        freeze: "none", "stem", a number of stages such as "2" or "2 stages", or "all".

    Raises:
        UsageError: Where it is none of these.
    """
    stages = backbone_lib.NUM_STAGES
    named = {"none": 0, "stem": 1, "all": stages + 1}
    named |= {str(number): 1 + number for number in range(1, stages + 1)}
    word = re.sub(r"(?<=\d) stages?$", "", freeze)
    if word not in named:
        raise errors.UsageError(
            f"model.freeze={freeze!r} must be none, stem, a number of stages from 1 to {stages}, "
            "or all"
        )
    return named[word]


def trainable(params: Any, *, freeze: str) -> Any:
    """Returns a tree of the parameters' shape: False for what `freeze` leaves as it is.

    Args:
        params: A network's parameters.
        freeze: As of `num_frozen_parts`.
    """
    num_frozen = num_frozen_parts(freeze)

    def is_trained(path: Any, _: Any) -> bool:
        names = [key.key for key in path]
        return names[0] != "backbone" or _number(names[1]) >= num_frozen

    return jax.tree_util.tree_map_with_path(is_trained, params)


def count(variables: Mapping[str, Any], *, freeze: str) -> list[Part]:
    """Returns the parts of a network, from the input on.

    Args:
        variables: A network's `params` and `batch_stats`, or their shapes.
        freeze: As of `num_frozen_parts`.
    """
    num_frozen = num_frozen_parts(freeze)
    params, statistics = variables["params"], variables.get("batch_stats", {})
    found = []
    for number in range(backbone_lib.NUM_STAGES + 1):
        size, normalised = (
            sum(_size(module) for name, module in tree.items() if _number(name) == number)
            for tree in (params["backbone"], statistics.get("backbone", {}))
        )
        sizes = (0, size) if number < num_frozen else (size, 0)
        found.append(Part(f"stage{number}" if number else "stem", True, *sizes, normalised > 0))
    # The pooling, which comes before the head, is after it in the alphabet.
    for name in sorted(set(params) - {"backbone"}, reverse=True):
        found.append(Part(name, False, _size(params[name]), 0, name in statistics))
    return found


def _number(module: str) -> int:
    """Returns the stage of a backbone's module, 0 for one of the stem."""
    stage = re.match(r"stage(\d+)", module)
    return int(stage[1]) if stage else 0


def _size(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
