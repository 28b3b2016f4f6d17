"""The configuration of what is minimised: weights of the losses, and the options of each."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Annotated, Literal

from simsearch.config import checks
from simsearch.config.checks import Count, Decay, NonNegative, Positive, SplitFraction

Cosine = Annotated[float, checks.Range(at_least=-1, at_most=1)]


@dataclasses.dataclass(frozen=True)
class Terms:
    """Weight of each loss in the sum; 0 leaves it out."""

    triplet: NonNegative
    supcon: NonNegative
    multi_similarity: NonNegative
    circle: NonNegative
    proxy_anchor: NonNegative
    arcface: NonNegative
    normalised_softmax: NonNegative


@dataclasses.dataclass(frozen=True)
class Triplet:
    """The triplet loss."""

    miner: Literal["batch_all", "batch_hard", "semi_hard", "distance_weighted", "none"]
    margin: NonNegative
    distance: Literal["squared_euclidean", "euclidean", "cosine"]
    soft_margin: bool


@dataclasses.dataclass(frozen=True)
class SupCon:
    """The supervised contrastive loss."""

    temperature: Positive


@dataclasses.dataclass(frozen=True)
class MultiSimilarity:
    """The multi-similarity loss."""

    alpha: Positive
    beta: Positive
    base: Cosine
    epsilon: NonNegative


@dataclasses.dataclass(frozen=True)
class Circle:
    """The circle loss."""

    margin: SplitFraction
    scale: Positive


@dataclasses.dataclass(frozen=True)
class ProxyAnchor:
    """The Proxy-Anchor loss."""

    margin: NonNegative
    scale: Positive


@dataclasses.dataclass(frozen=True)
class ArcFace:
    """The ArcFace loss."""

    margin: Annotated[float, checks.Range(at_least=0, below=math.pi / 2)]
    scale: Positive
    label_smoothing: Decay


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
    multi_similarity: MultiSimilarity
    circle: Circle
    proxy_anchor: ProxyAnchor
    arcface: ArcFace
    normalised_softmax: NormalisedSoftmax
    memory_size: Count
    memory_start_step: Count


def contradictions(loss: Loss) -> Iterator[str]:
    """Yields what is wrong between fields that are each right."""
    weights = dataclasses.asdict(loss.terms)
    if not any(weights.values()):
        yield f"one of {', '.join(f'loss.terms.{name}' for name in weights)} must be > 0"
    if loss.terms.triplet and not loss.triplet.margin and not loss.triplet.soft_margin:
        yield (
            "loss.triplet.margin=0 needs loss.triplet.soft_margin=True: without either, the loss "
            "is 0 where all embeddings are one point"
        )
    is_mined = loss.terms.triplet and loss.triplet.miner != "none"
    others = loss.terms.supcon, loss.terms.multi_similarity, loss.terms.circle
    if loss.memory_size and not (is_mined or any(others)):
        yield (
            "loss.memory_size needs a loss that looks at pairs: loss.terms.triplet with a miner, "
            "supcon, multi_similarity or circle"
        )
