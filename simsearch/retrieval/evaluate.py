"""The figures of an evaluation, each with its bootstrap interval, from embeddings and labels."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from simsearch.retrieval import bootstrap
from simsearch.retrieval.metrics import ranking, triplets, voting


class Interval(NamedTuple):
    """A figure and the bounds of its bootstrap interval."""

    value: float
    low: float
    high: float


class Figures(NamedTuple):
    """What an evaluation measured."""

    metrics: dict[str, Interval]
    per_class: dict[str, float]  # Recall@1 of each class that has a query
    confusion: np.ndarray  # int [C, C], query's class by its nearest neighbour's class
    num_queries: int  # images with another one of their class
    num_left_out: int  # images that are alone in their class, no query for them


def retrieval_means(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns the mean leave-one-out figures, without intervals: what validation reports.

    Args:
        embeddings: L2-normalised, float32 [N, D].
        labels: Classes, int [N].
    """
    scores = ranking.leave_one_out(embeddings, labels)
    return {name: float(np.mean(values)) for name, values in scores.per_query().items()}


def measure(
    embeddings: np.ndarray,
    labels: np.ndarray,
    *,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    class_names: Sequence[str],
    num_neighbors: int,
    temperature: float,
    triplet_margin: float,
    num_triplets: int,
    num_bootstrap: int,
    confidence: float,
    seed: int,
) -> Figures:
    """Returns every figure of a split: its images against each other, the query left out.

    Args:
        embeddings: L2-normalised, float32 [N, D].
        labels: Classes, int [N].
        gallery: Embeddings of the train images that vote in `knn_accuracy`, which is left out where
            they share no class with the split, float32 [M, D].
        gallery_labels: Their classes, int [M].
        class_names: Names of all classes.
        num_neighbors: Train images that vote.
        temperature: A vote weighs exp(cosine / temperature).
        triplet_margin: Margin of `one_minus_triplet_loss`, on squared distances.
        num_triplets: Random triplets behind it.
        num_bootstrap: Resamples behind each interval.
        confidence: Of the intervals, such as 0.95.
        seed: Of the triplets and the resamples.
    """
    scores = ranking.leave_one_out(embeddings, labels)
    values: dict[str, np.ndarray] = dict(scores.per_query())
    # Neighbours of other classes alone, as after a split by class, cannot vote for the right one.
    if np.isin(labels, gallery_labels).any():
        values["knn_accuracy"] = voting.knn_accuracy(
            embeddings,
            labels,
            gallery,
            gallery_labels,
            num_neighbors=num_neighbors,
            temperature=temperature,
        )
    values["one_minus_triplet_loss"] = triplets.one_minus_triplet_loss(
        embeddings, labels, margin=triplet_margin, num_triplets=num_triplets, seed=seed
    )
    options = {"num_samples": num_bootstrap, "confidence": confidence, "seed": seed}
    return Figures(
        metrics={
            name: Interval(*bootstrap.interval(column, **options))
            for name, column in values.items()
        },
        per_class=ranking.recall_per_class(scores, labels, class_names),
        confusion=ranking.confusion(scores, labels, num_classes=len(class_names)),
        num_queries=int(np.sum(scores.valid)),
        num_left_out=int(np.sum(~scores.valid)),
    )


def to_json(figures: Figures, **context: Any) -> dict[str, Any]:
    """Returns the figures as plain values, after the given context."""
    return context | {
        "num_queries": figures.num_queries,
        "num_left_out": figures.num_left_out,
        "metrics": {name: interval._asdict() for name, interval in figures.metrics.items()},
        "per_class_recall_at_1": figures.per_class,
    }


def table(figures: Mapping[str, Interval], beside: Mapping[str, Interval] | None = None) -> str:
    """Returns the figures as aligned lines, with the raw pixels' beside them where given."""
    width = max(map(len, figures))
    lines = []
    for name, interval in figures.items():
        line = f"  {name:<{width}}  {interval.value:.4f}  [{interval.low:.4f}, {interval.high:.4f}]"
        if beside and name in beside:
            line += f"    raw pixels {beside[name].value:.4f}"
        lines.append(line)
    return "\n".join(lines)
