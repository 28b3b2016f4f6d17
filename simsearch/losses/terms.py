"""The losses by name, and one step's view of the batch that each of them takes its part of.

A new loss is a file and a line in one of the three mappings (`docs/losses.md`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from simsearch.losses import classes, normalised_softmax, pairs, parts, supcon, triplet

# Of anchors and the gallery that they are compared with.
PAIR_LOSSES = {"triplet": triplet.mined, "supcon": supcon.supcon}
# Of images and class vectors.
CLASS_LOSSES = {"normalised_softmax": normalised_softmax.normalised_softmax}


class Term(NamedTuple):
    """One loss of the weighted sum."""

    name: str
    weight: float  # > 0
    options: Mapping[str, Any]  # keyword arguments of the loss


class View(NamedTuple):
    """What the losses of one device see of a step."""

    anchors: pairs.Anchors  # this device's images
    gallery: pairs.Gallery  # the images of all devices
    images: classes.Images  # this device's images, with what was mixed into them


def has_proxies(name: str) -> bool:
    """Returns whether a loss trains class vectors of its own."""
    return name in CLASS_LOSSES


def classifier(terms: Sequence[Term]) -> str | None:
    """Returns the loss whose class vectors classify: the heaviest that has any, or None."""
    names = [term for term in terms if has_proxies(term.name)]
    return max(names, key=lambda term: term.weight).name if names else None


def evaluate(term: Term, view: View, proxies: Mapping[str, jax.Array]) -> parts.LossParts:
    """Returns this device's share of one loss.

    Args:
        term: Which loss; its weight is not applied.
        view: What the device sees of the step.
        proxies: Class vectors of each loss that has them, float [C, D].
    """
    if term.name in CLASS_LOSSES:
        return CLASS_LOSSES[term.name](view.images, proxies[term.name], **term.options)
    if term.options.get("miner") == "none":
        options = {name: value for name, value in term.options.items() if name != "miner"}
        return triplet.explicit(view.images.embeddings, view.images.valid, **options)
    return PAIR_LOSSES[term.name](view.anchors, view.gallery, **term.options)
