"""Whether a probability means what it says: are 70 % of the pairs predicted 70 % of one class?"""

from typing import NamedTuple

import numpy as np

# Of equal width, over [0, 1].
NUM_BINS = 15


class Reliability(NamedTuple):
    """Pairs in bins of their predicted probability.

    Attributes:
        predicted: Mean probability in each bin, float64 [B]; 0 in an empty bin.
        observed: Share of the bin's pairs that are of one class, float64 [B]; 0 in an empty bin.
        weight: Share of all pairs that fall into the bin, float64 [B].
    """

    predicted: np.ndarray
    observed: np.ndarray
    weight: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: by how much the two differ, in the mean over all pairs."""
        return float(np.sum(self.weight * np.abs(self.predicted - self.observed)))


def measure(probabilities: np.ndarray, num_same: np.ndarray, num_pairs: np.ndarray) -> Reliability:
    """Returns predicted and observed frequencies of pairs of one class.

    Args:
        probabilities: That two images are of one class, float [P], in [0, 1].
        num_same: Pairs of one class among those with that probability, [P].
        num_pairs: All pairs with that probability, [P]; one at least in all.

    References:
        Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian
            Binning, 2015: the expected calibration error.
        DeGroot and Fienberg, The Comparison and Evaluation of Forecasters, 1983: the diagram.
    """
    probabilities = np.asarray(probabilities, np.float64)
    place = np.minimum((probabilities * NUM_BINS).astype(np.int64), NUM_BINS - 1)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(place, weights=values, minlength=NUM_BINS)

    sizes = total(num_pairs)
    divisor = np.maximum(sizes, 1)
    predicted, observed = total(probabilities * num_pairs) / divisor, total(num_same) / divisor
    return Reliability(predicted, observed, sizes / sizes.sum())
