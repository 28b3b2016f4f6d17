"""Which classes are taken for which: kept with every checkpoint, for the sampler, and drawn."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Counts(NamedTuple):
    """How often queries of one class have a nearest neighbour of another, or of their own.

    Only pairs of classes that occur are held, E of them: of thousands of classes few are taken for
    each other.

    Attributes:
        num_classes: Classes C.
        own: Class of the queries, int64 [E], growing.
        taken_for: Class of their nearest neighbour, int64 [E], growing within a class.
        values: How many queries, int64 [E], or their share of the class's queries, float64 [E].
    """

    num_classes: int
    own: np.ndarray
    taken_for: np.ndarray
    values: np.ndarray

    def shares(self) -> "Counts":
        """Returns each count in shares of its class's queries."""
        num_queries = np.zeros(self.num_classes, self.values.dtype)
        np.add.at(num_queries, self.own, self.values)
        return self._replace(values=self.values / num_queries[self.own])

    def among(self, classes: np.ndarray) -> "Counts":
        """Returns the counts of some classes, int [P] and growing, with their places as classes."""
        kept = np.isin(self.own, classes) & np.isin(self.taken_for, classes)
        places = (np.searchsorted(classes, side[kept]) for side in (self.own, self.taken_for))
        return Counts(len(classes), *places, self.values[kept])

    def matrix(self) -> np.ndarray:
        """Returns the counts as an array [C, C], whose row is the class of the queries."""
        found = np.zeros((self.num_classes, self.num_classes), self.values.dtype)
        found[self.own, self.taken_for] = self.values
        return found


def count(own: np.ndarray, taken_for: np.ndarray, *, num_classes: int) -> Counts:
    """Returns the counts of Q queries.

    Args:
        own: Class of each query, int [Q].
        taken_for: Class of its nearest neighbour, int [Q].
        num_classes: Classes C.
    """
    own, taken_for = (np.asarray(classes, np.int64) for classes in (own, taken_for))
    pairs, values = np.unique(own * num_classes + taken_for, return_counts=True)
    return Counts(num_classes, *np.divmod(pairs, num_classes), values)


class Confusion:
    """The newest confusion of the training classes.

    Attributes:
        counts: What the last validation took for what; None before the first.
    """

    def __init__(self) -> None:
        """Starts without any."""
        self.counts: Counts | None = None

    def to_json(self) -> list[list[int]] | None:
        """Returns the counts for JSON: C, then i, j and the count of each pair that has one."""
        if self.counts is None:
            return None
        num_classes, *columns = self.counts
        return [[num_classes], *np.stack(columns, axis=1).tolist()]

    def restore(self, stored: Sequence[Sequence[int]] | None) -> None:
        """Takes the counts that `to_json` returned."""
        if stored is None:
            self.counts = None
            return
        (size,), *pairs = stored
        self.counts = Counts(size, *np.asarray(pairs, np.int64).reshape(-1, 3).T)
