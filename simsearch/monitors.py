"""The validation figures that can choose a checkpoint: of each of them, higher is better."""

import math
from collections.abc import Mapping

# Validation computes every one of them, the last where a loss has class vectors.
NAMES = (
    "recall_at_1",
    "recall_at_5",
    "recall_at_10",
    "precision_at_5",
    "precision_at_10",
    "mrr",
    "map_at_r",
    "r_precision",
    "classifier_accuracy",
)


def rank(name: str, figures: Mapping[str, float | None]) -> float:
    """Returns the figure, -inf where it is no number.

    Args:
        name: One of `NAMES`.
        figures: Of one validation; JSON stores what is not finite as None.
    """
    value = figures.get(name)
    return -math.inf if value is None or not math.isfinite(value) else value
