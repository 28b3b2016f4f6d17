"""The validation figures that can choose a checkpoint, and which way each of them is better."""

import math
from collections.abc import Mapping

# 1 where higher is better, -1 where lower is. Validation computes every one of them, the last where
# a loss has class vectors.
DIRECTIONS = {
    "recall_at_1": 1,
    "recall_at_5": 1,
    "recall_at_10": 1,
    "precision_at_5": 1,
    "precision_at_10": 1,
    "mrr": 1,
    "map_at_r": 1,
    "r_precision": 1,
    "classifier_accuracy": 1,
}


def rank(name: str, figures: Mapping[str, float | None]) -> float:
    """Returns the figure with the sign that makes higher better, -inf where it is no number.

    Args:
        name: One of `DIRECTIONS`.
        figures: Of one validation; JSON stores what is not finite as None.
    """
    value = figures.get(name)
    if value is None or not math.isfinite(value):
        return -math.inf
    return DIRECTIONS[name] * value
