"""Are two images of one class? Error rates of a threshold on the cosine, over pairs."""

from collections.abc import Sequence

import numpy as np

from simsearch.retrieval import bootstrap
from simsearch.retrieval.metrics import bins, roc
from simsearch.retrieval.metrics import pairs as pairs_lib


def measure(
    pairs: pairs_lib.Pairs,
    *,
    false_match_rate: float,
    num_bootstrap: int,
    confidence: float,
    seed: int,
) -> dict[str, bootstrap.Interval]:
    """Returns the equal error rate, and the false non-match rate at a false-match rate.

    Args:
        pairs: As `pairs.count` returns them.
        false_match_rate: Share of the pairs of two classes that may pass for one, in [0, 1).
        num_bootstrap: Resamples of the queries behind the intervals.
        confidence: Of the intervals.
        seed: Of the resamples.

    Returns:
        "eer" and "fnmr_at_fmr"; nothing where the pairs are all of one kind.

    References:
        ISO/IEC 19795-1, Biometric Performance Testing and Reporting, 2021.
    """
    if not (pairs.same.any() and pairs.different.any()):
        return {}

    def figures(same: np.ndarray, different: np.ndarray) -> Sequence[np.ndarray]:
        curve = roc.curve(same, different)
        return roc.equal_error_rate(curve), roc.miss_rate(curve, false_rate=false_match_rate)

    intervals = bins.resample(
        figures(pairs.same, pairs.different),
        figures,
        (pairs.same_by_group, pairs.different_by_group),
        num_samples=num_bootstrap,
        confidence=confidence,
        seed=seed,
    )
    return dict(zip(("eer", "fnmr_at_fmr"), intervals, strict=True))
