"""The rows of an index: one engine, with the exact view in front of it where they fit."""

import functools
import operator
import pathlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from simsearch import errors, parallel, progress
from simsearch.config import Config
from simsearch.index import engine as engine_lib
from simsearch.index import exact, id_ranges, recall
from simsearch.index.filters import tree as tree_lib
from simsearch.index.record import Found, Record, Row

_WRITE_ROWS = 512
# An engine takes new rows into its index as they come; so many make another index of it, and so
# does an index in so many parts, each of which every search asks.
_CHANGED_SHARE = 0.2
_MOST_PARTS = 10
# A sample of a table that is not in memory is taken from at most about so many.
_SAMPLED_ROWS = 8_192
# Fewer than these are compared one by one faster than through any index.
_FEWEST_TO_INDEX = 1_000

_Result = TypeVar("_Result")


def checked_top_k(top_k: int) -> int:
    """Returns how many results are asked for; raises UsageError where that is no such number."""
    try:
        number = operator.index(top_k)
    except TypeError as error:
        raise errors.UsageError(f"top_k={top_k!r} must be a whole number") from error
    if number < 1:
        raise errors.UsageError(f"top_k={number} must be at least 1")
    return number


class Rows:
    """Writes to the engine and the view alike; threads may share it."""

    def __init__(self, engine: engine_lib.Engine, *, embedding_size: int, config: Config) -> None:
        """Reads the vectors into memory where there are at most `index.exact_limit`.

        Args:
            engine: With its table open.
            embedding_size: Dimensions D.
            config: The model's configuration.
        """
        self.engine: Any = engine
        self._size = embedding_size
        self._config = config
        # A write may wait long, for another process or a server: searches do not wait with it.
        self._writing = threading.Lock()  # Before the other, where both are held.
        self._lock = threading.RLock()  # Of the view.
        self._view: exact.ExactView | None = None
        self._is_amid_write = False  # Of this process; the view answers as it was before.
        self.choose()

    def close(self) -> None:
        """Lets go of the engine and of the vectors in memory."""
        with self._writing, self._lock:
            self.engine.close()
            self.engine, self._view = engine_lib.Closed(), None

    @property
    def is_exact(self) -> bool:
        """Whether every vector is compared, or the engine's own index asked."""
        return self._view is not None

    def choose(self) -> None:
        """Holds the vectors in memory where there are few enough, otherwise leaves them."""
        with self._lock:
            if self.engine.count() > self._config.index.exact_limit:
                self._view = None
            elif self._view is None:
                self._view = exact.ExactView(
                    self.engine,
                    embedding_size=self._size,
                    devices=parallel.local_devices(self._config.train.num_devices),
                    dtype=self._config.index.exact_dtype,
                )

    def index(self, num_changed: int) -> None:
        """Builds the engine's index where it answers and has none of this kind, or a worn one.

        Worn is one of which much changed at once, or that is in many parts.

        Says what share of the exact answer it finds.

        Args:
            num_changed: Rows written or deleted since the last time.
        """
        count = self.engine.count()
        if self.is_exact or count < _FEWEST_TO_INDEX:
            return
        kind = self._config.index.ann
        parts = self.engine.index_parts(kind)
        if 1 <= parts <= _MOST_PARTS and num_changed <= _CHANGED_SHARE * count:
            return
        name = self.engine.build_index(kind)
        progress.log.info(
            "built %s over %d images: recall@10 %.3f of the exact search",
            name,
            count,
            recall.measure(self.engine),
        )

    def upsert(self, rows: Sequence[Row]) -> None:
        """Writes rows, in place of those with the same ids."""
        for start in range(0, len(rows), _WRITE_ROWS):
            part = rows[start : start + _WRITE_ROWS]
            records, vectors = [row.record for row in part], np.stack([row.vector for row in part])
            self._change(
                functools.partial(self.engine.upsert, part),
                operator.methodcaller("upsert", records, vectors),
            )
            self._tidy()

    def delete(self, ids: Sequence[str]) -> int:
        """Deletes rows by id and returns how many there were."""
        deleted = 0
        for start in range(0, len(ids), _WRITE_ROWS):
            part = ids[start : start + _WRITE_ROWS]
            deleted += self._change(
                functools.partial(self.engine.delete, part), operator.methodcaller("delete", part)
            )
            self._tidy()
        return deleted

    def optimize(self) -> None:
        """Joins what many small writes left in pieces."""
        self._change(self.engine.optimize, exact.ExactView.follow)

    def _tidy(self) -> None:
        if self.engine.is_untidy():
            try:
                self.optimize()
            except errors.RunError as error:  # What was written stays written.
                progress.log.warning("the index could not be compacted: %s", error)

    def _change(
        self, write: Callable[[], _Result], tell: Callable[[exact.ExactView], None]
    ) -> _Result:
        """Makes a change of the engine, and tells the view of it.

        In between the view answers as it was before: it would take the change for another
        process's, and read every revision.
        """
        with self._writing, self.engine.writing():
            self._is_amid_write = True
            try:
                result = write()
            except BaseException:
                with self._lock:
                    self._is_amid_write = False
                    if self._view is not None:
                        self._view.version = None  # Who knows what was written: it must look.
                raise
            with self._lock:
                self._is_amid_write = False
                if self._view is not None:
                    tell(self._view)
                    if len(self._view) > self._config.index.exact_limit:
                        self._view = None
            return result

    def nearest(
        self, vectors: np.ndarray, *, top_k: int, where: tree_lib.Filter | None
    ) -> list[list[Found]]:
        """Returns the rows most similar to each of vectors, float32 [Q, D], best first."""
        top_k = checked_top_k(top_k)
        shape = np.shape(vectors)
        if len(shape) != 2 or shape[1] != self._size:
            raise errors.UsageError(f"expected vectors [Q, {self._size}], not {list(shape)}")
        with self._lock:
            if (view := self._fresh()) is not None:
                return view.search(vectors, top_k=top_k, where=where)
        return self.engine.search(vectors, top_k=top_k, where=where)

    def _fresh(self) -> exact.ExactView | None:
        """Returns the view with what others wrote; None where there is none, or no more.

        The lock must be held.
        """
        if self._view is not None and not self._is_amid_write and self._view.is_stale():
            if self.engine.count() > self._config.index.exact_limit:
                self._view = None
            else:
                self._view.refresh()
        return self._view

    def vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Returns the vectors of those ids that are there, float32 [D]."""
        with self._lock:
            if (view := self._fresh()) is not None:
                return view.vectors(ids)
        batch = self.engine.get(ids, vectors=True)
        return {r.id: v for r, v in zip(batch.records, batch.vectors, strict=True)}

    def file_of(self, id_: str) -> pathlib.Path | None:
        """Returns the file of an image; None where it is gone, or never was in a folder."""
        record = self.get(id_)
        if record is None or not record.source:
            return None
        root = pathlib.Path(record.source)
        path = root / record.path
        # A link that leads out of the folder shows what nobody meant to index.
        is_inside = path.is_file() and path.resolve().is_relative_to(root.resolve())
        return path if is_inside else None

    def sample(self, limit: int, *, where: tree_lib.Filter | None = None) -> list[Record]:
        """Returns some records that pass a filter, evenly by path."""
        with self._lock:
            view = self._fresh()
            records = None if view is None else view.records(where)
        if records is None:
            part = id_ranges.split(self.engine.count(where), most_rows=_SAMPLED_ROWS)[0]
            some = part if where is None else tree_lib.And((part, where))
            records = [record for batch in self.engine.scan(some) for record in batch.records]
        ordered = sorted(records, key=lambda record: record.path)
        count = min(limit, len(ordered))
        return [ordered[i * len(ordered) // count] for i in range(count)]

    def get(self, id_: str) -> Record | None:
        """Returns the record of an id; None where it is not there."""
        with self._lock:
            if (view := self._fresh()) is not None:
                return view.get(id_)
        return next(iter(self.engine.get([id_]).records), None)

    def count(self, where: tree_lib.Filter | None) -> int:
        """Returns how many rows pass a filter."""
        with self._lock:
            if (view := self._fresh()) is not None:
                return view.count(where)
        return self.engine.count(where)

    def records(self, where: tree_lib.Filter | None = None) -> list[Record]:
        """Returns all records that pass a filter."""
        with self._lock:
            if (view := self._fresh()) is not None:
                return view.records(where)
        return [record for batch in self.engine.scan(where) for record in batch.records]

    def labels(self) -> Counter[str]:
        """Returns how many rows there are of each label, and of "", which is none."""
        with self._lock:
            view = self._fresh()
            records = None if view is None else view.records()
        if records is None:
            return self.engine.labels()
        return Counter(record.label for record in records)
