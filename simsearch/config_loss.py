"""The configuration of what is minimised: weights of the losses, and the options of each."""

import dataclasses
from collections.abc import Iterator
from typing import Literal

from simsearch.config_checks import Decay, NonNegative, Positive


@dataclasses.dataclass(frozen=True)
class Terms:
    """Weight of each loss in the sum; 0 leaves it out."""

    triplet: NonNegative
    supcon: NonNegative
    normalised_softmax: NonNegative


@dataclasses.dataclass(frozen=True)
class Triplet:
    """The triplet loss."""

    miner: Literal["batch_all", "batch_hard", "semi_hard", "none"]
    margin: Positive
    distance: Literal["squared_euclidean", "euclidean", "cosine"]
    soft_margin: bool


@dataclasses.dataclass(frozen=True)
class SupCon:
    """The supervised contrastive loss."""

    temperature: Positive


@dataclasses.dataclass(frozen=True)
class NormalisedSoftmax:
    """Classification by cosine."""

    scale: Positive
    label_smoothing: Decay


@dataclasses.dataclass(frozen=True)
class Loss:
    """What is minimised: the weighted sum of `terms`."""

    terms: Terms
    triplet: Triplet
    supcon: SupCon
    normalised_softmax: NormalisedSoftmax


def contradictions(loss: Loss) -> Iterator[str]:
    """Yields what is wrong between fields that are each right."""
    weights = dataclasses.asdict(loss.terms)
    if not any(weights.values()):
        yield f"one of {', '.join(f'loss.terms.{name}' for name in weights)} must be > 0"
