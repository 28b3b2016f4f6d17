"""Which classes the last validation took for which; kept with every checkpoint, for the sampler."""

from collections.abc import Sequence

import numpy as np


class Confusion:
    """The newest confusion of the training classes.

    Attributes:
        counts: Queries of class i whose nearest neighbour is of class j, int [C, C]; None before
            the first validation.
    """

    def __init__(self) -> None:
        """Starts without any."""
        self.counts: np.ndarray | None = None

    def to_json(self) -> list[list[int]] | None:
        """Returns the counts for JSON: C, then i, j and the count of each pair that has one."""
        if self.counts is None:
            return None
        pairs = [[int(i), int(j), int(self.counts[i, j])] for i, j in np.argwhere(self.counts)]
        return [[len(self.counts)], *pairs]

    def restore(self, stored: Sequence[Sequence[int]] | None) -> None:
        """Takes the counts that `to_json` returned."""
        if stored is None:
            self.counts = None
            return
        (size,), *pairs = stored
        self.counts = np.zeros((size, size), np.int64)
        for i, j, count in pairs:
            self.counts[i, j] = count
