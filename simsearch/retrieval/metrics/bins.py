"""Cosines counted in bins: fine ones for a figure, coarse ones by group of queries to resample."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from simsearch.retrieval import bootstrap

# Equal steps of the cosine from -1 to 1, and one more bin for what rounds above 1.
NUM_BINS = 2**18 + 1
# 128 bins each.
_SHIFT = 7
NUM_COARSE = ((NUM_BINS - 1) >> _SHIFT) + 1
# Groups that are resampled in place of single queries, where there are more queries.
_MOST_GROUPS = 256
# A figure that coarse bins give further from its own is not known from a resample of them.
_MOST_COARSE_ERROR = 0.02


def edges() -> np.ndarray:
    """Returns where the bins begin and the last one ends, float64 [NUM_BINS + 1].

    Bin i holds the cosines from edge i up to, but not including, edge i + 1.
    """
    return -1.0 + np.arange(NUM_BINS + 1) * (2.0 / (NUM_BINS - 1))


def centers() -> np.ndarray:
    """Returns the middle of each bin, at most 1, float64 [NUM_BINS]."""
    bounds = edges()
    return np.minimum((bounds[:-1] + bounds[1:]) / 2, 1.0)


def of(cosines: np.ndarray) -> np.ndarray:
    """Returns the bin of each cosine, int64; those outside [-1, 1] by rounding are clipped."""
    half = (NUM_BINS - 1) // 2
    # A power of 2: the product is exact, so no cosine falls on the wrong side of an edge.
    steps = np.floor(np.asarray(cosines) * np.float32(half))
    return np.clip(steps, -half, half).astype(np.int64) + half


def count(found: np.ndarray) -> np.ndarray:
    """Returns how many there are in each bin, int64 [NUM_BINS]."""
    return np.bincount(found.ravel(), minlength=NUM_BINS)


def coarse(found: np.ndarray) -> np.ndarray:
    """Returns the coarse bins, int64, that bins are part of."""
    return found >> _SHIFT


def count_coarse(found: np.ndarray) -> np.ndarray:
    """Returns how many there are in each coarse bin, int64 [NUM_COARSE]."""
    return np.bincount(coarse(found), minlength=NUM_COARSE)


def draw_queries(num_images: int, *, max_pairs: int, seed: int) -> np.ndarray:
    """Returns the queries whose pairs with all other images are few enough, ascending, int64.

    Args:
        num_images: Images N, each of which may be a query.
        max_pairs: Most pairs of a query and another image; one query is there at least.
        seed: Chooses the queries, where not all images are queries.
    """
    most = max(1, max_pairs // max(1, num_images - 1))
    if num_images <= most:
        return np.arange(num_images)
    return np.sort(np.random.default_rng(seed).choice(num_images, most, replace=False))


def draw_groups(num_queries: int, *, seed: int) -> np.ndarray:
    """Returns a group for each query, int64 [Q]: one of its own, or equal shares at random."""
    num_groups = max(1, min(num_queries, _MOST_GROUPS))
    return np.random.default_rng(seed).permutation(num_queries) % num_groups


def resample(
    values: Sequence[float], figures: Any, counts: Sequence[np.ndarray], **options: Any
) -> list[bootstrap.Interval]:
    """Returns the bootstrap intervals of figures from their coarse counts, [..., G, NUM_COARSE].

    One has no bounds where coarse bins do not tell the figure: all cosines of a network that has
    collapsed lie in a handful of them. Arguments are those of `bootstrap.of_counts`.
    """
    told = figures(*(each.sum(axis=-2, keepdims=True) for each in counts))
    found = bootstrap.of_counts(values, figures, counts, **options)
    return [
        one if abs(one.value - each.item()) <= _MOST_COARSE_ERROR else bootstrap.Interval(one.value)
        for one, each in zip(found, told, strict=True)
    ]
