"""How long the monitored figure has not improved: read off the validations, never remembered.

So a run that was killed and resumed stops where one that never was does.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from simsearch import monitors, wording


class Standing(NamedTuple):
    """The best validation so far.

    Attributes:
        best: Its record; None where no validation gave a finite figure.
        num_since: Validations after it; all of them where there is no best.
    """

    best: Mapping[str, Any] | None
    num_since: int


def standing(validations: Sequence[Mapping[str, Any]], *, monitor: str) -> Standing:
    """Returns the best validation, the first of equal ones.

    Args:
        validations: Records of a run's validations, in order.
        monitor: The figure that decides.
    """
    ranks = [monitors.rank(monitor, record) for record in validations]
    if not ranks or max(ranks) == float("-inf"):
        return Standing(None, len(ranks))
    index = ranks.index(max(ranks))
    return Standing(validations[index], len(ranks) - 1 - index)


def is_exhausted(validations: Sequence[Mapping[str, Any]], *, monitor: str, patience: int) -> bool:
    """Returns whether the last `patience` validations brought no improvement; 0: never."""
    return 0 < patience <= standing(validations, monitor=monitor).num_since


def explanation(validations: Sequence[Mapping[str, Any]], *, monitor: str, patience: int) -> str:
    """Returns why a run whose patience is exhausted ended, for a person."""
    best, num_since = standing(validations, monitor=monitor)
    if best is None:
        than = "been a number"
    else:
        than = f"been better than {best[monitor]:.4f}, at epoch {best['epoch']:.4g},"
    waited = wording.counted(num_since, "validation")
    return f"validation {monitor} has not {than} for {waited} (train.patience={patience})"
