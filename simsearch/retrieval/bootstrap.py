"""Bootstrap intervals of a mean."""

import numpy as np

# Resampled values held at a time; 64 MiB of float64.
_BLOCK_ELEMENTS = 2**23


def interval(
    values: np.ndarray, *, num_samples: int, confidence: float, seed: int
) -> tuple[float, float, float]:
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
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(values.mean()), float(low), float(high)
