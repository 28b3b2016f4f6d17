"""From what was found to an answer for people: probabilities, and whether it is any match."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from simsearch.index.record import Answer, Found, Hit
from simsearch.retrieval import calibration as calibration_lib


class Judge(NamedTuple):
    """What turns cosines into something that a person can weigh.

    Attributes:
        calibration: From cosines to probabilities; None: scores stay cosines alone.
        threshold: Cosine under which nothing is a match; None: whatever is found is one.
        doubt: Why that threshold is not to be trusted; None where it is.
    """

    calibration: calibration_lib.Calibration | None = None
    threshold: float | None = None
    doubt: str | None = None

    def answer(self, found: Sequence[Found]) -> Answer:
        """Returns the answer that is made of what was found, best first."""
        if self.calibration is None:
            return Answer([hit(each, None) for each in found], bool(found), None)
        scores = np.array([each.score for each in found], np.float32)
        probabilities = self.calibration.probability(scores).tolist()
        hits = [hit(each, p) for each, p in zip(found, probabilities, strict=True)]
        is_match = bool(hits) and hits[0].score >= self.threshold
        return Answer(hits, is_match, self.threshold, self.doubt)


def hit(found: Found, probability: float | None) -> Hit:
    """Returns a record that was found as a result for people."""
    record = found.record
    score = max(-1.0, min(1.0, found.score))  # It may be rounded beyond.
    return Hit(record.id, score, probability, record.label, record.path, dict(record.metadata))
