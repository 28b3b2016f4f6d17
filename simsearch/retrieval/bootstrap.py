"""Bootstrap intervals: of a mean, and of figures that counts decide."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

# Resampled values held at a time; 64 MiB of float64.
_BLOCK_ELEMENTS = 2**23
# Resamples of counts held at a time.
_BLOCK_SAMPLES = 250


class Interval(NamedTuple):
    """A figure and the bounds of its bootstrap interval, None where it has none."""

    value: float
    low: float | None = None
    high: float | None = None


def interval(values: np.ndarray, *, num_samples: int, confidence: float, seed: int) -> Interval:
    """Returns the mean and the bounds of its percentile bootstrap interval.

    Args:
        values: One for each query, float [Q], Q >= 1.
        num_samples: Resamples.
        confidence: Share of the resampled means inside the interval, such as 0.95.
        seed: Of the resamples.

    References:
        Efron, Bootstrap Methods: Another Look at the Jackknife, 1979.
    """
    values = np.asarray(values, np.float64)
    if not len(values):
        raise ValueError("an interval needs at least one value, and there is none")
    rng = np.random.default_rng(seed)
    size = max(1, _BLOCK_ELEMENTS // len(values))
    means = np.concatenate(
        [
            values[
                rng.integers(0, len(values), (min(size, num_samples - start), len(values)))
            ].mean(1)
            for start in range(0, num_samples, size)
        ]
    )
    low, high = np.quantile(means, _bounds(confidence))
    return Interval(float(values.mean()), float(low), float(high))


def of_counts(
    values: Sequence[float],
    figures: Callable[..., Sequence[np.ndarray]],
    counts: Sequence[np.ndarray],
    *,
    num_samples: int,
    confidence: float,
    seed: int,
) -> list[Interval]:
    """Returns the percentile bootstrap intervals of figures, resampling groups of queries.

    All pairs of a query are drawn or left out together, since they depend on each other.

    Args:
        values: The figures of everything, M of them, whose intervals are sought.
        figures: From resampled counts, each [..., S, C], to the M figures, each float [S].
        counts: By group, each float [..., G, C].
        num_samples: Resamples.
        confidence: Share of the resampled figures inside the interval.
        seed: Of the resamples.

    Returns:
        M intervals, each around its value; a resample that leaves a figure undefined is no sample.

    References:
        Bolle, Ratha and Pankanti, Error Analysis of Pattern Recognition Systems: the Subsets
            Bootstrap, 2004.
    """
    num_groups = counts[0].shape[-2]
    rng = np.random.default_rng(seed)
    shares = np.full(num_groups, 1 / num_groups)
    drawn = rng.multinomial(num_groups, shares, size=num_samples).astype(np.float32)
    samples = []
    for start in range(0, num_samples, _BLOCK_SAMPLES):
        part = drawn[start : start + _BLOCK_SAMPLES]
        with np.errstate(invalid="ignore"):
            samples.append(np.stack(figures(*(part @ each for each in counts))))
    found = []
    for value, sampled in zip(values, np.concatenate(samples, axis=-1), strict=True):
        sampled = sampled[np.isfinite(sampled)]
        if len(sampled):
            low, high = np.quantile(sampled, _bounds(confidence))
            found.append(Interval(float(value), min(low, value), max(high, value)))
        else:
            found.append(Interval(float(value)))
    return [Interval(*(None if x is None else float(x) for x in each)) for each in found]


def _bounds(confidence: float) -> list[float]:
    tail = (1 - confidence) / 2
    return [tail, 1 - tail]
