"""Measures embeddings: every figure of an evaluation, with its bootstrap interval."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from simsearch.config.groups import Eval
from simsearch.retrieval import bootstrap, classifier
from simsearch.retrieval import calibration as calibration_lib
from simsearch.retrieval import figures as figures_lib
from simsearch.retrieval.metrics import (
    bins,
    clustering,
    open_set,
    ranking,
    reliability,
    triplets,
    verification,
    voting,
)
from simsearch.retrieval.metrics import pairs as pairs_lib


class Options(NamedTuple):
    """How the figures are computed.

    Attributes:
        num_neighbors: Train images that vote in `knn_accuracy`.
        temperature: A vote weighs exp(cosine / temperature).
        triplet_margin: Margin of `one_minus_triplet_loss`, on squared distances.
        num_triplets: Random triplets behind it, one at least for each query.
        max_pairs: Most pairs of images behind verification, open set and calibration.
        max_clustered: Most images behind `nmi`.
        open_set_folds: Parts of the classes, each held out once.
        false_match_rate: Share of different-class pairs that a threshold may let through.
        num_bootstrap: Resamples behind each interval.
        confidence: Of the intervals, such as 0.95.
        seed: Of everything that is drawn.
    """

    num_neighbors: int
    temperature: float
    triplet_margin: float
    num_triplets: int
    max_pairs: int
    max_clustered: int
    open_set_folds: int
    false_match_rate: float
    num_bootstrap: int
    confidence: float
    seed: int

    @classmethod
    def of(cls, settings: Eval) -> Self:
        """Returns the options among a configuration's fields of the same names."""
        return cls(*(getattr(settings, name) for name in cls._fields))

    def resampling(self) -> dict[str, float]:
        """Returns the keyword arguments of everything that has intervals."""
        return {
            "num_bootstrap": self.num_bootstrap,
            "confidence": self.confidence,
            "seed": self.seed,
        }


def measure(
    embeddings: np.ndarray,
    labels: np.ndarray,
    *,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    class_names: Sequence[str],
    options: Options,
    own_rows: np.ndarray | None = None,
    class_vectors: np.ndarray | None = None,
    calibration: calibration_lib.Calibration | None = None,
) -> figures_lib.Figures:
    """Returns every figure of a split: its images against each other, the query left out.

    Args:
        embeddings: L2-normalised, float32 [N, D].
        labels: Classes, int [N].
        gallery: Embeddings of the train images that vote in `knn_accuracy`, which is left out where
            they share no class with the split, float32 [M, D].
        gallery_labels: Their classes, int [M].
        class_names: Names of all classes.
        options: How the figures are computed.
        own_rows: The row of the gallery that each image is itself, int [N]; None: none is in it.
        class_vectors: L2-normalised, float32 [C, D], where the network was trained with some; they
            classify where the gallery has one of the split's classes, as it was trained on.
        calibration: The calibration of the embeddings' network, where there is one.
    """
    labels = np.asarray(labels)
    scores, columns = per_query(
        embeddings,
        labels,
        gallery=gallery,
        gallery_labels=gallery_labels,
        options=options,
        own_rows=own_rows,
        class_vectors=class_vectors,
    )
    notes = ()
    if "knn_accuracy" not in columns:
        notes = (
            "no knn_accuracy or classifier_accuracy: no train image is of a class of this split",
        )
    pairs = pairs_lib.count(embeddings, labels, max_pairs=options.max_pairs, seed=options.seed)
    metrics = {
        name: bootstrap.interval(
            column,
            num_samples=options.num_bootstrap,
            confidence=options.confidence,
            seed=options.seed,
        )
        for name, column in columns.items()
    }
    metrics |= _of_all(embeddings, labels, pairs=pairs, options=options)
    calibrated = None
    if calibration is not None:
        calibrated = _calibrated(pairs, calibration, rate=options.false_match_rate)
        metrics |= _calibration_figures(calibrated, pairs)
        doubt = calibration.doubt(options.false_match_rate)
        notes += () if doubt is None else (doubt,)
    threshold = None if calibrated is None else calibrated.threshold
    metrics |= _open_set(embeddings, labels, threshold=threshold, options=options)
    return figures_lib.Figures(
        metrics=metrics,
        per_class=ranking.recall_per_class(scores, labels, class_names),
        confusion=ranking.confusion(scores, labels, num_classes=len(class_names)),
        nearest=scores.nearest,
        num_queries=int(np.sum(scores.valid)),
        num_left_out=int(np.sum(~scores.valid)),
        per_query={name: _for_all(column, scores.valid) for name, column in columns.items()},
        calibrated=calibrated,
        notes=notes,
    )


def per_query(
    embeddings: np.ndarray,
    labels: np.ndarray,
    *,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    options: Options,
    own_rows: np.ndarray | None = None,
    class_vectors: np.ndarray | None = None,
) -> tuple[ranking.RetrievalScores, dict[str, np.ndarray]]:
    """Returns the figures that have a value for each query; arguments as for `measure`.

    Returns:
        What each image finds among the others, and the figures by name: float32 [N] where they are
        of all images, [Q] where of those that have another of their class.
    """
    scores = ranking.leave_one_out(embeddings, labels)
    columns = scores.per_query()
    if np.isin(labels, gallery_labels).any():
        columns["knn_accuracy"] = voting.knn_accuracy(
            embeddings,
            labels,
            gallery,
            gallery_labels,
            num_neighbors=options.num_neighbors,
            temperature=options.temperature,
            exclude=own_rows,
        )
        if class_vectors is not None:
            right = classifier.is_right(
                embeddings, labels, vectors=class_vectors, trained_labels=gallery_labels
            )
            columns["classifier_accuracy"] = right.astype(np.float32)
    columns["one_minus_triplet_loss"] = triplets.one_minus_triplet_loss(
        embeddings,
        labels,
        margin=options.triplet_margin,
        num_triplets=options.num_triplets,
        seed=options.seed,
    )
    return scores, columns


def _of_all(
    embeddings: np.ndarray,
    labels: np.ndarray,
    *,
    pairs: pairs_lib.Pairs,
    options: Options,
) -> dict[str, bootstrap.Interval]:
    """Returns the figures of all pairs, and of the clusters."""
    rate = options.false_match_rate
    found = verification.measure(pairs, false_match_rate=rate, **options.resampling())
    nmi = clustering.nmi(embeddings, labels, max_images=options.max_clustered, seed=options.seed)
    return found | {"nmi": bootstrap.Interval(nmi)}


def _open_set(
    embeddings: np.ndarray, labels: np.ndarray, *, threshold: float | None, options: Options
) -> dict[str, bootstrap.Interval]:
    scores = open_set.score(
        embeddings,
        labels,
        num_folds=options.open_set_folds,
        max_pairs=options.max_pairs,
        seed=options.seed,
    )
    if scores is None:
        return {}
    found = open_set.measure(scores, **options.resampling())
    if threshold is not None:
        found |= open_set.nothing_similar(scores, threshold=threshold, **options.resampling())
    return found


def _for_all(column: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Returns a value for each image, NaN where it is no query."""
    if len(column) == len(valid):
        return column
    found = np.full(len(valid), np.nan, np.float32)
    found[valid] = column
    return found


def _calibrated(
    pairs: pairs_lib.Pairs, calibration: calibration_lib.Calibration, *, rate: float
) -> figures_lib.Calibrated:
    predicted = calibration.probability(bins.centers())
    total = pairs.nearest_same + pairs.nearest_different
    found = reliability.measure(predicted, pairs.nearest_same, total)
    return figures_lib.Calibrated(calibration, rate, found)


def _calibration_figures(
    calibrated: figures_lib.Calibrated, pairs: pairs_lib.Pairs
) -> dict[str, bootstrap.Interval]:
    """Returns the calibration's errors, and what its threshold does to these pairs."""
    # Not its bin, which holds the cosines of 1 as well where the threshold lies above them all.
    start = int(np.searchsorted(bins.edges(), calibrated.threshold))
    values = {
        "calibration_error": calibrated.reliability.error,
        "threshold": calibrated.threshold,
    }
    if pairs.different.any():
        values["false_match_rate"] = pairs.different[start:].sum() / pairs.different.sum()
    if pairs.same.any():
        values["false_non_match_rate"] = pairs.same[:start].sum() / pairs.same.sum()
    return {name: bootstrap.Interval(float(value)) for name, value in values.items()}
