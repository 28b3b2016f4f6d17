"""Does the gallery hold the query's class at all? Told by the highest cosine; classes held out.

The classes are dealt into folds. One fold after the other is held out: the gallery lacks its
classes, so their images are unknown, and all other images are known. An image is never its own
neighbour. Every class is held out once, so no figure hangs on which ones chance would choose.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from simsearch.retrieval import bootstrap, neighbors
from simsearch.retrieval.metrics import bins, roc


class Scores(NamedTuple):
    """The highest cosine of each query, by which fold of classes is held out.

    Attributes:
        highest: With the images of the gallery without fold f, float32 [Q, F].
        is_known: Whether that gallery has another image of the query's class, bool [Q, F].
        is_unknown: Whether that gallery lacks the query's class because it is held out, bool
            [Q, F]; an image that is alone in its class is neither, until it is held out.
    """

    highest: np.ndarray
    is_known: np.ndarray
    is_unknown: np.ndarray


def score(
    embeddings: np.ndarray,
    labels: np.ndarray,
    *,
    num_folds: int,
    max_pairs: int,
    seed: int,
    block_size: int | None = None,
) -> Scores | None:
    """Returns the highest cosines, None where there are not two classes.

    Args:
        embeddings: L2-normalised, float32 [N, D].
        labels: Classes, int [N].
        num_folds: Folds of classes, each held out once; at most one for each class.
        max_pairs: Where there are more pairs, queries are drawn at random.
        seed: Of that choice and of the folds.
        block_size: Queries at a time; None: as many as fit the memory of a block.
    """
    labels = np.asarray(labels)
    classes, of_class, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        return None
    num_folds = min(num_folds, len(classes))
    fold = (np.random.default_rng(seed).permutation(len(classes)) % num_folds)[of_class]
    order = np.argsort(fold, kind="stable")
    starts = np.searchsorted(fold[order], np.arange(num_folds))
    place = np.empty(len(labels), np.int64)
    place[order] = np.arange(len(labels))
    queries = bins.draw_queries(len(labels), max_pairs=max_pairs, seed=seed)
    in_fold = np.empty((len(queries), num_folds), np.float32)
    for block in neighbors.blocks(
        embeddings[queries], embeddings[order], exclude=place[queries], block_size=block_size
    ):
        part = slice(block.start, block.start + len(block.scores))
        in_fold[part] = np.maximum.reduceat(block.scores, starts, axis=1)
    is_unknown = fold[queries, None] == np.arange(num_folds)
    others = [np.delete(in_fold, f, axis=1).max(axis=1) for f in range(num_folds)]
    is_known = ~is_unknown & (sizes[of_class[queries]] > 1)[:, None]
    return Scores(np.stack(others, axis=1), is_known, is_unknown)


def measure(
    scores: Scores, *, num_bootstrap: int, confidence: float, seed: int
) -> dict[str, bootstrap.Interval]:
    """Returns the AUROC, and the share of unknown queries accepted where 95 % of known ones are.

    Args:
        scores: As `score` returns them.
        num_bootstrap: Resamples of the queries behind the intervals.
        confidence: Of the intervals.
        seed: Of the resamples.

    Returns:
        "open_set_auroc" and "fpr_at_95_tpr", means over the folds that have an unknown query;
        nothing where none has, or one has no known query.

    References:
        Hendrycks and Gimpel, A Baseline for Detecting Misclassified and Out-of-Distribution
            Examples in Neural Networks, 2017.
        Scheirer et al., Toward Open Set Recognition, 2013.
    """
    # Where queries are drawn, none may be of a fold's classes.
    has_unknown = scores.is_unknown.any(axis=0)
    if not has_unknown.any() or not scores.is_known.any(axis=0).all():
        return {}
    scores = Scores(*(each[:, has_unknown] for each in scores))
    found = bins.of(scores.highest)

    def counts(kind: np.ndarray) -> np.ndarray:
        folds = range(kind.shape[1])
        return np.stack([bins.count(found[kind[:, f], f]) for f in folds])

    def figures(known: np.ndarray, unknown: np.ndarray) -> Sequence[np.ndarray]:
        curve = roc.curve(known, unknown)
        each = roc.area(curve), roc.false_rate(curve, true_rate=0.95)
        return [figure.mean(axis=0) for figure in each]

    intervals = bins.resample(
        figures(counts(scores.is_known), counts(scores.is_unknown)),
        figures,
        [_by_group(found, kind, seed=seed) for kind in (scores.is_known, scores.is_unknown)],
        num_samples=num_bootstrap,
        confidence=confidence,
        seed=seed,
    )
    return dict(zip(("open_set_auroc", "fpr_at_95_tpr"), intervals, strict=True))


def nothing_similar(
    scores: Scores, *, threshold: float, num_bootstrap: int, confidence: float, seed: int
) -> dict[str, bootstrap.Interval]:
    """Returns how often a search would answer "nothing similar": no cosine reaches the threshold.

    Args:
        scores: As `score` returns them.
        threshold: The lowest cosine of a similar image.
        num_bootstrap: Resamples of the queries behind the intervals.
        confidence: Of the intervals.
        seed: Of the resamples.

    Returns:
        "nothing_similar_unknown", the share of unknown queries that are told so, rightly, and
        "nothing_similar_known", the share of known queries, wrongly; the latter is not there where
        no query is known.
    """
    is_below = scores.highest < threshold
    found = {}
    for name, kind in (("unknown", scores.is_unknown), ("known", scores.is_known)):
        asked = kind.any(axis=1)
        if asked.any():
            shares = np.sum(is_below & kind, axis=1)[asked] / kind.sum(axis=1)[asked]
            found[f"nothing_similar_{name}"] = bootstrap.interval(
                shares, num_samples=num_bootstrap, confidence=confidence, seed=seed
            )
    return found


def _by_group(found: np.ndarray, kind: np.ndarray, *, seed: int) -> np.ndarray:
    """Returns the counts of a kind's queries in coarse bins, float32 [F, G, NUM_COARSE].

    Args:
        found: Bin of each query in each fold, int64 [Q, F].
        kind: Which of them count, bool [Q, F].
        seed: Of the groups.
    """
    groups = bins.draw_groups(len(found), seed=seed)
    counts = np.zeros((found.shape[1], groups.max() + 1, bins.NUM_COARSE), np.float32)
    queries, folds = np.nonzero(kind)
    np.add.at(counts, (folds, groups[queries], bins.coarse(found[queries, folds])), 1)
    return counts
