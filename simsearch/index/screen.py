"""The k rows of a matrix nearest to one query, on a CPU: exact, of a quarter of its bytes.

What a single query costs is reading the matrix. So it reads a copy in eight bits, whose products
with the query differ from the true ones by less than a bound that is known, and then in full those
rows only that the bound does not rule out.

References:
    Weber, Schek and Blott, A quantitative analysis and performance study for similarity-search
    methods in high-dimensional spaces, 1998: the vector-approximation file.
"""

import math
from collections.abc import Iterable
from typing import Any

import numkong
import numpy as np

# Rows that are rounded anew where one of them changes, in some milliseconds.
_BLOCK = 2**14
# Rows of which the best counts when the k-th best is looked for.
_BIN = 32
_LARGEST = 127
_DENIED = np.iinfo(np.int32).min
# Of sums in float32, in units of a cosine.
_FLOAT_ERROR = 1e-6


class Screen:
    """A matrix in eight bits, made when it is first asked, and block by block after changes."""

    def __init__(self, num_rows: int) -> None:
        """Makes room.

        Args:
            num_rows: C, a multiple of 32.
        """
        starts = range(0, num_rows, _BLOCK)
        self._slices = [slice(start, min(start + _BLOCK, num_rows)) for start in starts]
        self._products = np.empty(num_rows, np.int32)
        self._outputs = [
            numkong.from_dlpack(self._products[block].reshape(1, -1)) for block in self._slices
        ]
        self._packed: list[Any] = [None] * len(starts)
        self._stale = set(range(len(starts)))
        self._largest = 0.0  # Number in the matrix, at most.
        self._scale = 1.0  # Integers to a unit.
        self._lost = np.zeros(len(starts))  # Length at most of what rounding took from a row.
        self._row_error = 0.0  # The largest of them.

    def forget(self, rows: Iterable[int]) -> None:
        """Takes note that rows have changed."""
        self._stale.update(row // _BLOCK for row in rows)

    def top_k(
        self, matrix: np.ndarray, allowed: np.ndarray, query: np.ndarray, *, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the scores, float32 [n], and rows, int [n], nearest to a query, n <= k.

        Args:
            matrix: L2-normalised or zero, float32 [C, D], with no row changed that was not
                forgotten.
            allowed: Whether a row may be found, bool [C]. Where fewer than k may, n is as many.
            query: L2-normalised, float32 [D].
            k: At least 1.
        """
        self._refresh(matrix)
        unit = _LARGEST / max(float(np.abs(query).max()), 1e-30)
        query8 = np.rint(query * np.float32(unit)).astype(np.int8).reshape(1, -1)
        for packed, output in zip(self._packed, self._outputs, strict=True):
            numkong.dots_packed(query8, packed, out=output)
        products = self._products
        np.copyto(products, _DENIED, where=~allowed)
        # In so many bins there is a row that is no worse, so that what cannot reach it is out.
        maxima = products.reshape(_BIN, -1).max(axis=0)
        least = _DENIED
        if k <= len(maxima):
            maxima.partition(-k)
            least = max(int(maxima[-k]) - 2 * self._error(unit, len(query)), _DENIED)
        near = (products >= np.int32(least)).nonzero()[0]
        if least == _DENIED:
            near = near[allowed[near]]
        scores = np.empty(len(near), np.float32)
        for start in range(0, len(near), _BLOCK):
            some = slice(start, start + _BLOCK)
            np.dot(matrix[near[some]], query, out=scores[some])
        best = (-scores).argsort(kind="stable")[:k]  # Of equal ones the first.
        return scores[best], near[best]

    def _refresh(self, matrix: np.ndarray) -> None:
        """Rounds what has changed."""
        if not self._stale:
            return
        largest = max(float(np.abs(matrix[self._slices[block]]).max()) for block in self._stale)
        if largest > self._largest:
            self._largest = largest
            self._stale.update(range(len(self._slices)))
        scale = np.float32(_LARGEST / max(self._largest, 1e-30))
        for block in self._stale:
            rows = matrix[self._slices[block]]
            rounded = np.rint(rows * scale)
            self._packed[block] = numkong.dots_pack(rounded.astype(np.int8))
            self._lost[block] = np.linalg.norm(rows - rounded / scale, axis=1).max()
        self._stale.clear()
        self._scale, self._row_error = float(scale), float(self._lost.max())

    def _error(self, unit: float, size: int) -> int:
        """Returns by how much a product may differ from the true one, in its integers."""
        # At most half an integer in each dimension.
        query_error = 0.5 * math.sqrt(size) / unit
        # q x - q' x' = q (x - x') + (q - q') x', where x' is as long as x and what it lost.
        error = self._row_error + query_error * (1 + self._row_error) + _FLOAT_ERROR
        return math.ceil(error * self._scale * unit)
