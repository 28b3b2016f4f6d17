"""The exact view: all vectors resident on the devices, searched without an index, never stale."""

import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from simsearch import parallel
from simsearch.index import columns, nearest, screen
from simsearch.index.engine import Engine
from simsearch.index.filters import tree as tree_lib
from simsearch.index.record import Found, Record

_CACHED_MASKS = 8
_Mask = TypeVar("_Mask", np.ndarray, jax.Array)


class ExactView:
    """A copy of an engine's table in memory.

    Adds and deletes of this process are seen at once; those of others when `refresh` finds that
    the engine's version is another one.

    Attributes:
        version: The engine's, of what is in memory; None: nobody knows.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        embedding_size: int,
        devices: Sequence[jax.Device],
        dtype: str = "float32",
    ) -> None:
        """Reads the whole table.

        Args:
            engine: With its table open.
            embedding_size: Dimensions D.
            devices: What the rows are spread over.
            dtype: Type of the vectors in memory.
        """
        self._engine = engine
        self._size = embedding_size
        self._mesh = parallel.mesh(devices)
        self._dtype = jnp.dtype(dtype)
        on_cpu = self._mesh.size == 1 and devices[0].platform == "cpu"
        self._is_screened = on_cpu and self._dtype == jnp.float32
        self._lock = threading.RLock()
        self.version: Hashable | None = engine.version()
        self._load()

    def __len__(self) -> int:
        return len(self._slots)

    def is_stale(self) -> bool:
        """Returns whether there may be news for `refresh`."""
        return self._engine.version() != self.version

    def refresh(self) -> None:
        """Takes over what other processes wrote since."""
        with self._lock:
            version = self._engine.version()
            if version == self.version:
                return
            # Not whole records: at 100,000 that is a second in which nobody is answered.
            stored = self._engine.revisions()
            gone = [id_ for id_ in self._slots if id_ not in stored]
            changed = [
                id_
                for id_, revision in stored.items()
                if id_ not in self._slots or self._records[self._slots[id_]].revision != revision
            ]
            if len(changed) > max(1000, len(stored) // 4):
                self._load()
            else:
                self.remove(gone)
                for start in range(0, len(changed), 1000):
                    batch = self._engine.get(changed[start : start + 1000], vectors=True)
                    self._put(batch.records, batch.vectors)
            self.version = version

    def upsert(self, records: Sequence[Record], vectors: np.ndarray) -> None:
        """Takes over rows that this process has just written to the engine."""
        with self._lock:
            self._put(records, vectors)
            self.follow()

    def delete(self, ids: Iterable[str]) -> None:
        """Takes over that this process has just deleted rows of the engine."""
        with self._lock:
            self.remove(ids)
            self.follow()

    def follow(self) -> None:
        """Takes note that the engine's last change is of this process and is in memory already."""
        with self._lock:
            self.version = self._engine.own_change(self.version)

    def remove(self, ids: Iterable[str]) -> None:
        """Forgets rows."""
        slots = [self._slots.pop(id_) for id_ in ids if id_ in self._slots]
        self._free.extend(slots)
        self._allowed[slots] = False
        self._set(slots, [None] * len(slots))

    def get(self, id_: str) -> Record | None:
        """Returns the record of an id; None where it is not there."""
        with self._lock:
            slot = self._slots.get(id_)
            return None if slot is None else self._records[slot]

    def vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Returns the vectors of those ids that are there, float32 [D], as they are in memory."""
        with self._lock:
            there = [id_ for id_ in ids if id_ in self._slots]
            if not there:
                return {}
            slots = np.array([self._slots[id_] for id_ in there])
            return dict(zip(there, np.asarray(self._matrix[slots], np.float32), strict=True))

    def records(self, where: tree_lib.Filter | None = None) -> list[Record]:
        """Returns all records that pass a filter."""
        with self._lock:
            if where is None:
                return [self._records[slot] for slot in self._slots.values()]
            return [self._records[slot] for slot in np.flatnonzero(self._mask(where))]

    def count(self, where: tree_lib.Filter | None) -> int:
        """Returns how many rows pass a filter."""
        with self._lock:
            return len(self) if where is None else int(self._mask(where).sum())

    def search(
        self, vectors: np.ndarray, *, top_k: int, where: tree_lib.Filter | None
    ) -> list[list[Found]]:
        """Returns the rows nearest by cosine to each query, most similar first.

        Args:
            vectors: L2-normalised, float32 [Q, D].
            top_k: Rows for each; fewer where fewer pass the filter.
            where: Filter; None: all rows.
        """
        with self._lock:
            if self._screen is not None and len(vectors) == 1:
                query = np.asarray(vectors[0], np.float32)
                near = self._screen.top_k(self._on_host(), self._mask(where), query, k=top_k)
                return [self._found(*(array.tolist() for array in near))]
            allowed = self._on_devices(where)
            k = parallel.bucket(max(top_k, 8), at_most=self._capacity)
            answers: list[list[Found]] = []
            for start in range(0, len(vectors), nearest.MAX_QUERIES):
                part = np.asarray(vectors[start : start + nearest.MAX_QUERIES], np.float32)
                queries = np.zeros(
                    (parallel.bucket(len(part), at_most=nearest.MAX_QUERIES), self._size),
                    np.float32,
                )
                queries[: len(part)] = part
                found = nearest.top_k(self._matrix, allowed, queries, k=k, devices=self._mesh)
                # Not `jax.device_get`, which costs a single query of 10,000 rows a third more.
                scores, rows = (np.asarray(array)[: len(part), :top_k].tolist() for array in found)
                answers.extend(map(self._found, scores, rows))
            return answers

    def _found(self, scores: Sequence[float], rows: Sequence[int]) -> list[Found]:
        # Fewer rows than asked for: the rest is -inf.
        pairs = zip(scores, rows, strict=True)
        return [Found(self._records[row], score) for score, row in pairs if score > -2]

    def _load(self) -> None:
        records: list[Record] = []
        vectors = []
        # A row that two processes added at once may be there twice: the later one counts.
        for part in self._engine.scan(vectors=True):
            records.extend(part.records)
            vectors.append(part.vectors)
        self._records: list[Record | None] = []
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._masks: dict[str, np.ndarray] = {}
        self._placed_masks: dict[str, jax.Array] = {}
        self._capacity = nearest.capacity(len(records), self._mesh.size)
        host = np.zeros((self._capacity, self._size), np.float32)
        start = 0
        for part in vectors:
            host[start : start + len(part)] = part
            start += len(part)
        self._place(jnp.asarray(host, self._dtype))
        self._records = [*records, *[None] * (self._capacity - len(records))]
        self._columns = columns.Columns(self._records)
        self._allowed = np.zeros(self._capacity, bool)
        self._slots = {record.id: slot for slot, record in enumerate(records)}
        self._allowed[list(self._slots.values())] = True
        self._free = list(range(self._capacity - 1, len(records) - 1, -1))

    def _put(self, records: Sequence[Record], vectors: np.ndarray) -> None:
        if not records:
            return
        new = sum(record.id not in self._slots for record in records)
        if new > len(self._free):
            # Not by the number of rows: one that is there twice has two places.
            self._grow(self._capacity - len(self._free) + new)
        slots = []
        for record in records:
            if record.id not in self._slots:
                self._slots[record.id] = self._free.pop()
            slots.append(self._slots[record.id])
        self._set(slots, records)
        self._allowed[slots] = True
        # Rows beyond the end are left out: few shapes to compile for.
        padding = parallel.bucket(len(slots), at_most=2**30) - len(slots)
        rows = np.pad(np.asarray(slots, np.int32), (0, padding), constant_values=self._capacity)
        values = np.pad(np.asarray(vectors, np.float32), [(0, padding), (0, 0)])
        # It is written to in place, which a view of it would prevent.
        self._host = None
        self._matrix = nearest.write(self._matrix, rows, values)
        if self._screen is not None:
            self._screen.forget(slots)

    def _grow(self, num_rows: int) -> None:
        old = self._capacity
        self._capacity = nearest.capacity(num_rows, self._mesh.size)
        more = self._capacity - old
        self._place(jnp.pad(self._matrix, [(0, more), (0, 0)]))
        self._records.extend([None] * more)
        self._allowed = np.pad(self._allowed, (0, more))
        self._free = [*range(self._capacity - 1, old - 1, -1), *self._free]
        self._columns.clear()

    def _place(self, matrix: jax.Array) -> None:
        """Spreads a new matrix [C, D] over the devices."""
        self._matrix = jax.device_put(matrix, parallel.over_rows(self._mesh))
        self._host: np.ndarray | None = None
        self._screen = screen.Screen(self._capacity) if self._is_screened else None

    def _on_host(self) -> np.ndarray:
        """Returns the matrix, float32 [C, D], where it lies: on a CPU."""
        if self._host is None:
            self._host = np.from_dlpack(self._matrix)
        return self._host

    def _on_devices(self, where: tree_lib.Filter | None) -> jax.Array:
        """Returns which rows may be found, from the latest filters' if it is there."""

        def placed() -> jax.Array:
            # The host's array changes in place, and a device may share its memory.
            return jax.device_put(self._mask(where).copy(), parallel.over_rows(self._mesh))

        return _remembered(self._placed_masks, where, placed)

    def _mask(self, where: tree_lib.Filter | None) -> np.ndarray:
        """Returns the same on the host, bool [C]."""
        if where is None:
            return self._allowed
        return _remembered(self._masks, where, lambda: self._passes(where) & self._allowed)

    def _passes(self, tree: tree_lib.Filter) -> np.ndarray:
        match tree:
            case tree_lib.And(parts):
                return np.logical_and.reduce([self._passes(part) for part in parts])
            case tree_lib.Or(parts):
                return np.logical_or.reduce([self._passes(part) for part in parts])
            case tree_lib.Not(part):
                return ~self._passes(part)
            case _:
                return self._columns.passes(tree)

    def _set(self, slots: Sequence[int], records: Sequence[Record | None]) -> None:
        self._masks.clear()
        self._placed_masks.clear()
        self._columns.put(slots, records)


def _remembered(
    cache: dict[str, _Mask], where: tree_lib.Filter | None, make: Callable[[], _Mask]
) -> _Mask:
    """Returns the mask of a filter, made only where it is not among the latest."""
    # Trees of different sorts can be equal as tuples, but are never written alike.
    key = repr(where)
    if key not in cache:
        while len(cache) >= _CACHED_MASKS:
            del cache[next(iter(cache))]
        cache[key] = make()
    return cache[key]
