"""The losses by name, and one step's view of the batch that each of them takes its part of.

A new loss is a file and a line in one of the three mappings (`docs/losses.md`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from simsearch.losses import (
    arcface,
    circle,
    classes,
    multi_similarity,
    normalised_softmax,
    pairs,
    proxy_anchor,
    ratio,
    supcon,
    triplet,
)

# Of anchors and the gallery that they are compared with.
PAIR_LOSSES = {
    "triplet": triplet.mined,
    "supcon": supcon.supcon,
    "multi_similarity": multi_similarity.multi_similarity,
    "circle": circle.circle,
}
# Of images and class vectors: a mean over images.
IMAGE_LOSSES = {
    "arcface": arcface.arcface,
    "normalised_softmax": normalised_softmax.normalised_softmax,
}
# Of images and class vectors: not a mean over images, so that it must see the whole batch.
BATCH_LOSSES = {"proxy_anchor": proxy_anchor.proxy_anchor}


class Term(NamedTuple):
    """One loss of the weighted sum."""

    name: str
    weight: float  # > 0
    options: Mapping[str, Any]  # keyword arguments of the loss


class View(NamedTuple):
    """What the losses of one device see of a step."""

    anchors: pairs.Anchors  # this device's images
    gallery: pairs.Gallery  # the images of all devices, and those remembered
    images: classes.Images  # this device's images, with what was mixed into them
    batch: classes.Images  # the images of all devices, with what was mixed into them
    share: float  # 1 / number of devices
    key: jax.Array  # the same on every device


def has_proxies(name: str) -> bool:
    """Returns whether a loss trains class vectors of its own."""
    return name not in PAIR_LOSSES


def classifier(terms: Sequence[Term]) -> str | None:
    """Returns the loss whose class vectors classify: the heaviest that has any, or None."""
    names = [term for term in terms if has_proxies(term.name)]
    return max(names, key=lambda term: term.weight).name if names else None


def evaluate(term: Term, view: View, proxies: Mapping[str, jax.Array]) -> ratio.Ratio:
    """Returns this device's share of one loss.

    Args:
        term: Which loss; its weight is not applied.
        view: What the device sees of the step.
        proxies: Class vectors of each loss that has them, float [C, D].
    """
    name, options = term.name, dict(term.options)
    if name in IMAGE_LOSSES:
        return IMAGE_LOSSES[name](view.images, proxies[name], **options)
    if name in BATCH_LOSSES:
        whole = BATCH_LOSSES[name](view.batch, proxies[name], **options)
        return ratio.Ratio(*(view.share * field for field in whole))
    if options.get("miner") == "none":
        del options["miner"]
        return triplet.explicit(view.images.embeddings, view.images.valid, **options)
    if options.get("miner") == "distance_weighted":
        options["key"] = view.key
    return PAIR_LOSSES[name](view.anchors, view.gallery, **options)
