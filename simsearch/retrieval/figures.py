"""What an evaluation measured, and its stored form."""

from typing import Any, NamedTuple

import numpy as np

from simsearch.data import confusion as confusion_lib
from simsearch.retrieval import bootstrap
from simsearch.retrieval import calibration as calibration_lib
from simsearch.retrieval.metrics import reliability


class Calibrated(NamedTuple):
    """A calibration, and how it did on the images that were measured.

    Attributes:
        calibration: Fitted to other images.
        false_match_rate: Share of different-class pairs that its threshold was to let through.
        reliability: Predicted and observed probabilities of each query's 10 nearest.
    """

    calibration: calibration_lib.Calibration
    false_match_rate: float
    reliability: reliability.Reliability

    @property
    def threshold(self) -> float:
        """The cosine that a similar image has to reach."""
        return self.calibration.threshold(self.false_match_rate)


class Figures(NamedTuple):
    """What an evaluation measured.

    Attributes:
        metrics: Each figure with its interval; figures that the images do not allow are not there.
        per_class: Recall@1 of each class that has a query.
        confusion: Which classes are confused with which, by the nearest neighbour.
        nearest: Row of the most similar other image, int64 [N].
        num_queries: Images with another one of their class.
        num_left_out: Images that are alone in their class, no query for retrieval.
        per_query: Figures that have a value for each image, float32 [N]; NaN for one left out.
        calibrated: None where there is no calibration.
        notes: What was left out, and why, a sentence each.
    """

    metrics: dict[str, bootstrap.Interval]
    per_class: dict[str, float]
    confusion: confusion_lib.Counts
    nearest: np.ndarray
    num_queries: int
    num_left_out: int
    per_query: dict[str, np.ndarray]
    calibrated: Calibrated | None = None
    notes: tuple[str, ...] = ()


def to_json(figures: Figures, **context: Any) -> dict[str, Any]:
    """Returns the figures as plain values, after the given context."""
    stored = context | {
        "num_queries": figures.num_queries,
        "num_left_out": figures.num_left_out,
        "metrics": {name: interval._asdict() for name, interval in figures.metrics.items()},
        "per_class_recall_at_1": figures.per_class,
        "notes": list(figures.notes),
    }
    if figures.calibrated is not None:
        found = figures.calibrated
        stored["calibration"] = {
            "method": found.calibration.method,
            "num_same": found.calibration.num_same,
            "num_different": found.calibration.num_different,
            "false_match_rate": found.false_match_rate,
            "threshold": found.threshold,
        }
        columns = found.reliability._asdict()
        stored["reliability"] = {name: column.tolist() for name, column in columns.items()}
    return stored
