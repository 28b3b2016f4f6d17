"""From a cosine to the probability that a result is of the query's class, by validation pairs.

The probability is for what a person sees: the results of a search. Each validation image is a query
once, and its 10 nearest others are its results, each of which counts once. It answers "this image
was found with this cosine: how likely is it of my image's class?" for a collection whose classes
are as many and as large as the validation split's. Of all pairs with that cosine, found or not, the
share of one class is lower: queries that lie in a crowd bring most of those.

Below nearly all that was found, where those pairs say nothing, isotonic regression takes all pairs:
a query unlike every image is told so. The thresholds are of all pairs of two classes.
"""

import dataclasses
import json
import math
from typing import Any

import numpy as np

from simsearch import errors, runs
from simsearch.retrieval.metrics import bins
from simsearch.retrieval.metrics import pairs as pairs_lib

_FORMAT = 1
# Shares in the table of thresholds: 1.0, 1.1 … 9.9 times each power of ten, and both ends.
_RATES = np.array(
    [0.0, *(step * 10.0**power / 10 for power in range(-9, 0) for step in range(10, 100)), 1.0]
)
# Of fewer pairs of two classes the probabilities are rough as well: so many tell a share of 0.001.
_FEW_PAIRS = 1_000
# Share of the results below whose cosines all pairs are taken.
_LOWEST_SHARE = 0.01
# Log-odds between which a logistic curve is drawn, 0.05 apart: linear pieces are off by < 1e-4.
_LOG_ODDS = np.linspace(-14.0, 14.0, 561)


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """A monotone curve from cosine to probability, and thresholds by false-match rate.

    Attributes:
        method: "isotonic" or "logistic".
        weights: Hex SHA-256 of the network that it was fitted to, as `Embedder.fingerprint`.
        num_same: Validation pairs of one class, found or not.
        num_different: Validation pairs of two classes.
        cosines: Knots of the curve, ascending, float64 [K].
        probabilities: At the knots, never falling, float64 [K].
        false_match_rates: Ascending shares of the pairs of two classes, float64 [T].
        thresholds: Cosine that at most that share reaches, never rising, float64 [T].
    """

    method: str
    weights: str
    num_same: int
    num_different: int
    cosines: np.ndarray
    probabilities: np.ndarray
    false_match_rates: np.ndarray
    thresholds: np.ndarray

    def probability(self, cosine: np.ndarray) -> np.ndarray:
        """Returns the probability that results with these cosines are of the query's class.

        Args:
            cosine: Of L2-normalised embeddings, float, any shape.

        Returns:
            float64 of the same shape, in [0, 1]; a higher cosine never has a lower one.
        """
        cosine = np.asarray(cosine, np.float64)
        return np.clip(np.interp(cosine, self.cosines, self.probabilities), 0.0, 1.0)

    def is_rough(self, false_match_rate: float) -> bool:
        """Returns whether it was fitted to too few pairs to know where such a share lies."""
        return self.num_different * false_match_rate < 1

    def doubt(self, false_match_rate: float) -> str | None:
        """Returns why the threshold of such a share is not to be trusted; None where it is."""
        if not self.is_rough(false_match_rate):
            return None
        what = "threshold and the probabilities" if self.num_different < _FEW_PAIRS else "threshold"
        smallest = next(rate for rate in self.false_match_rates if not self.is_rough(rate))
        return (
            f"do not trust the {what}: {self.num_different:,} validation pairs of different "
            f"classes are too few to tell a false-match rate of {false_match_rate:g}; the smallest "
            f"that they can is {smallest:.2g}"
        )

    def threshold(self, false_match_rate: float) -> float:
        """Returns the cosine that at most this share of different-class pairs reaches.

        Where the share is not one of the table's, the next lower one's threshold is returned.

        Args:
            false_match_rate: In [0, 1].

        Raises:
            ValueError: Where it is not.
        """
        if not 0 <= false_match_rate <= 1:
            raise ValueError(f"false_match_rate={false_match_rate} must be in [0, 1]")
        # 1e-3 is 1e-3, however it was computed.
        reached = self.false_match_rates <= false_match_rate * (1 + 1e-9)
        return float(self.thresholds[np.flatnonzero(reached)[-1]])

    def to_json(self) -> str:
        """Returns the calibration as JSON, for `from_json`."""
        values: dict[str, Any] = {"format": _FORMAT}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            values[field.name] = value.tolist() if isinstance(value, np.ndarray) else value
        return json.dumps(values) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        """Returns the calibration that `to_json` wrote.

        Raises:
            RunError: Where the text is no calibration, or one of a newer format.
        """
        try:
            values = json.loads(text)
            newest = values.pop("format")
            if newest > _FORMAT:
                raise errors.RunError(
                    f"the calibration has format {newest} and this program reads up to {_FORMAT}; "
                    "update simsearch"
                )
            names = ("cosines", "probabilities", "false_match_rates", "thresholds")
            arrays = {name: np.array(values.pop(name), np.float64) for name in names}
            return cls(**values, **arrays)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise errors.RunError(f"this is no stored calibration: {error}") from error


def load(version: runs.Version) -> Calibration | None:
    """Returns a version's calibration, or None where it has none.

    Raises:
        RunError: Where the file is no calibration.
    """
    try:
        return Calibration.from_json(version.calibration_file.read_text())
    except FileNotFoundError:
        return None
    except errors.RunError as error:
        raise errors.RunError(
            f"{version.calibration_file}: {error}; delete the file, and "
            f"`python main.py --mode=train {version.flags}` fits it anew"
        ) from error


def fit(pairs: pairs_lib.Pairs, *, method: str, weights: str = "") -> Calibration:
    """Returns the calibration of counted validation pairs.

    Args:
        pairs: As `pairs.count` returns them, of validation embeddings.
        method: "isotonic", the monotone step function of least squared error, or "logistic".
        weights: Fingerprint of the network whose embeddings they are.

    Raises:
        ValueError: Where there is no pair of one class, or none of two.

    References:
        Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability
            Estimates, 2002: isotonic.
        Platt, Probabilistic Outputs for Support Vector Machines, 1999: logistic.
    """
    num_same, num_different = int(pairs.same.sum()), int(pairs.different.sum())
    if not (num_same and num_different):
        raise ValueError(
            f"a calibration needs pairs of one class and of two; there are {num_same} and "
            f"{num_different}"
        )
    curve = {"isotonic": _isotonic, "logistic": _logistic}[method]
    cosines, probabilities = curve(pairs)
    # No sample proves that the next pair is never, or always, of one class (Laplace's rule of
    # succession). Pairs of one image stand or fall together, so images are counted, not pairs.
    bounds = 1 / (pairs.num_queries + 2), 1 - 1 / (pairs.num_queries + 2)
    return Calibration(
        method=method,
        weights=weights,
        num_same=num_same,
        num_different=num_different,
        cosines=np.round(cosines, 7),
        probabilities=np.round(np.clip(probabilities, *bounds), 9),
        false_match_rates=_RATES,
        thresholds=_thresholds(pairs.different),
    )


def _isotonic(pairs: pairs_lib.Pairs) -> tuple[np.ndarray, np.ndarray]:
    # scikit-learn takes a second to import, and only fitting needs it.
    from sklearn import isotonic

    num_found = np.cumsum(pairs.nearest_same + pairs.nearest_different)
    is_low = np.arange(bins.NUM_BINS) < np.searchsorted(num_found, _LOWEST_SHARE * num_found[-1])
    same = np.where(is_low, pairs.same, pairs.nearest_same)
    total = same + np.where(is_low, pairs.different, pairs.nearest_different)
    filled = np.flatnonzero(total)
    model = isotonic.IsotonicRegression(y_min=0.0, y_max=1.0)
    model.fit(bins.centers()[filled], (same / np.maximum(total, 1))[filled], total[filled])
    return model.X_thresholds_, model.y_thresholds_


def _logistic(pairs: pairs_lib.Pairs) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import linear_model

    same, different = pairs.nearest_same, pairs.nearest_different
    filled = np.flatnonzero(same + different)
    counts = np.concatenate([same[filled], different[filled]]).astype(np.float64)
    share = same.sum() / counts.sum()
    slope, intercept = 0.0, 0.0
    if 0 < share < 1:
        # Nearly unpenalised: only classes that no cosine confuses would want an infinite slope.
        model = linear_model.LogisticRegression(C=1e6, tol=1e-8, max_iter=1000)
        model.fit(
            np.tile(bins.centers()[filled], 2)[:, None],
            np.repeat([1, 0], len(filled)),
            sample_weight=counts,
        )
        slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if not (math.isfinite(slope) and slope > 1e-6):
        return np.array([-1.0, 1.0]), np.array([share, share])
    return (_LOG_ODDS - intercept) / slope, 1 / (1 + np.exp(-_LOG_ODDS))


def _thresholds(different: np.ndarray) -> np.ndarray:
    """Returns the lowest bin edge that at most each of `_RATES` reaches, float64 [T]."""
    # Pairs at or above each edge, from all of them at -1 to none at the end of the last bin.
    at_or_above = np.concatenate([np.cumsum(different[::-1])[::-1], [0]])
    allowed = np.floor(_RATES * at_or_above[0] * (1 + 1e-12)).astype(np.int64)
    first = np.searchsorted(-at_or_above, -allowed, side="left")
    return bins.edges()[first]
