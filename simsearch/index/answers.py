"""From what was found to an answer for people: probabilities, and whether it is any match."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from simsearch.index.record import Answer, Found, Hit


def judge(found: Sequence[Found], calibration: Any, *, false_match_rate: float) -> Answer:
    """Returns the answer that is made of what was found, best first.

    Args:
        found: Records with their cosines.
        calibration: With `probability` of cosines and `threshold`; None: scores stay cosines
            alone, and whatever was found is a match.
        false_match_rate: Share of pairs of different classes that may be taken for a match.
    """
    if calibration is None:
        return Answer([hit(each, None) for each in found], bool(found), None)
    scores = np.array([each.score for each in found], np.float32)
    probabilities = np.asarray(calibration.probability(scores)).tolist()
    threshold = float(calibration.threshold(false_match_rate))
    hits = [hit(each, p) for each, p in zip(found, probabilities, strict=True)]
    return Answer(hits, bool(hits) and hits[0].score >= threshold, threshold)


def hit(found: Found, probability: float | None) -> Hit:
    """Returns a record that was found as a result for people."""
    record = found.record
    return Hit(
        record.id, found.score, probability, record.label, record.path, dict(record.metadata)
    )
