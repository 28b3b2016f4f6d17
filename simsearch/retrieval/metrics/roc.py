"""How well a score tells two kinds apart, from counts by score: one curve, four figures.

Positive is what should have the higher score: a pair of one class, a query of a known class.
Between the thresholds that the counts know the curve is straight, so equal scores of both kinds
count half, as in the trapezoidal area. Counts may have leading axes, such as one for each resample.

References:
    Fawcett, An Introduction to ROC Analysis, 2006.
"""

from typing import NamedTuple

import numpy as np


class Roc(NamedTuple):
    """Shares that reach each threshold, from the highest threshold to the lowest.

    Attributes:
        false: Share of the negatives at or above it, float64 [..., B + 1], from 0 to 1.
        true: Share of the positives at or above it, float64 [..., B + 1], from 0 to 1.
    """

    false: np.ndarray
    true: np.ndarray


def curve(positives: np.ndarray, negatives: np.ndarray) -> Roc:
    """Returns the curve of counts by score.

    Args:
        positives: Count in each bin of the positives' scores, ascending, [..., B]; some in every
            row.
        negatives: Count in each bin of the negatives' scores, ascending, [..., B]; some in every
            row.
    """
    return Roc(_shares(negatives), _shares(positives))


def _shares(counts: np.ndarray) -> np.ndarray:
    reached = np.cumsum(counts[..., ::-1], axis=-1, dtype=np.float64)
    start = np.zeros((*reached.shape[:-1], 1))
    return np.concatenate([start, reached], axis=-1) / reached[..., -1:]


def area(roc: Roc) -> np.ndarray:
    """Returns the area under the curve, float64 [...]: how often a positive outranks a negative."""
    heights = (roc.true[..., 1:] + roc.true[..., :-1]) / 2
    return np.sum(np.diff(roc.false, axis=-1) * heights, axis=-1)


def equal_error_rate(roc: Roc) -> np.ndarray:
    """Returns the rate at which as many positives are missed as negatives pass, float64 [...]."""
    excess = roc.true + roc.false - 1.0  # From -1 to 1, never falling.
    after = np.argmax(excess >= 0, axis=-1)[..., None]
    return _between(roc.false, after, _weight(excess, after, 0.0))


def miss_rate(roc: Roc, *, false_rate: float) -> np.ndarray:
    """Returns the share of positives missed where a share of negatives may pass, float64 [...].

    Args:
        roc: The curve.
        false_rate: The share of negatives, in [0, 1).
    """
    after = np.argmax(roc.false > false_rate, axis=-1)[..., None]
    return 1.0 - _between(roc.true, after, _weight(roc.false, after, false_rate))


def false_rate(roc: Roc, *, true_rate: float) -> np.ndarray:
    """Returns the share of negatives that pass where a share of positives has to, float64 [...].

    Args:
        roc: The curve.
        true_rate: The share of positives, in (0, 1].
    """
    after = np.argmax(roc.true >= true_rate, axis=-1)[..., None]
    return _between(roc.false, after, _weight(roc.true, after, true_rate))


def _weight(values: np.ndarray, after: np.ndarray, target: float) -> np.ndarray:
    """Returns how far from the point before `after` towards it a rising curve meets the target."""
    start = np.take_along_axis(values, after - 1, axis=-1)
    end = np.take_along_axis(values, after, axis=-1)
    return (target - start) / (end - start)


def _between(values: np.ndarray, after: np.ndarray, weight: np.ndarray) -> np.ndarray:
    start = np.take_along_axis(values, after - 1, axis=-1)
    end = np.take_along_axis(values, after, axis=-1)
    return (start + weight * (end - start))[..., 0]
