"""The embedded engine: LanceDB tables in a folder that several processes may open at once."""

import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import warnings
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from simsearch import errors
from simsearch.index import filters, lance_sql
from simsearch.index.engine import Batch
from simsearch.index.record import FIELDS, Found, Record, Row

_ABOUT = "about"
_RECORD = (
    "id",
    "path",
    "label",
    "metadata",
    "source",
    "size",
    "modified_ns",
    "content",
    "revision",
)
# Readers of an older version are done with it after this long.
_KEEP_VERSIONS = datetime.timedelta(minutes=10)
_WRITES_BEFORE_COMPACTION = 64
_ROWS_BEFORE_ID_INDEX = 20_000
_SCAN_ROWS = 8192
# So many candidates for each row that is asked for are compared by their whole vectors.
_REFINE = 4


class LanceEngine:
    """See `engine.Engine`."""

    name = "LanceDB"

    def __init__(self, path: str) -> None:
        self.url = f"lance:{path}"
        self._is_local = "://" not in path
        self._path = os.path.abspath(os.path.expanduser(path)) if self._is_local else path
        self._database = None
        self._table = None
        self._columns: frozenset[str] = frozenset()
        self._own = (-1, -1)  # The versions before and after this process's last write.
        self._writes = 0
        if not self._is_local or os.path.isdir(self._path):
            self._connect()

    def read_about(self) -> dict[str, Any] | None:
        if self._database is None or _ABOUT not in self._table_names():
            return None
        texts = self._database.open_table(_ABOUT).search().to_arrow()["text"].to_pylist()
        return json.loads(texts[0]) if texts else None

    def write_about(self, about: dict[str, Any]) -> None:
        import pyarrow as pa

        with self._writing():
            rows = pa.table({"key": ["about"], "text": [json.dumps(about)]})
            if _ABOUT in self._table_names():
                table = self._database.open_table(_ABOUT)
                table.merge_insert(
                    "key"
                ).when_matched_update_all().when_not_matched_insert_all().execute(rows)
            else:
                self._database.create_table(_ABOUT, rows)

    def open_table(self, name: str, *, embedding_size: int, create: bool) -> None:
        if create:
            with self._writing():
                if name not in self._table_names():
                    self._database.create_table(name, schema=_schema(embedding_size))
        self._table = self._database.open_table(name)
        self._columns = frozenset(self._table.schema.names)

    def drop_table(self, name: str) -> None:
        with self._writing():
            if name in self._table_names():
                self._database.drop_table(name)

    def upsert(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        with self._writing():
            before = self._table.version
            self._add_columns(rows)
            table = _to_arrow(rows, self._table.schema)
            merge = self._table.merge_insert("id").when_matched_update_all()
            merge.when_not_matched_insert_all().execute(table)
            self._own = (before, self._table.version)
        self._count_write()

    def delete(self, ids: Sequence[str]) -> int:
        if not ids:
            return 0
        with self._writing():
            before = self._table.version
            deleted = self._table.delete(self._sql(filters.ids_in(ids))).num_deleted_rows
            self._own = (before, self._table.version)
        self._count_write()
        return deleted

    def search(
        self, vectors: np.ndarray, *, top_k: int, where: filters.Filter | None
    ) -> list[list[Found]]:
        answers = []
        for vector in vectors:
            query = self._table.search(vector, vector_column_name="vector")
            query = query.distance_type("cosine").limit(top_k).select([*_RECORD, "_distance"])
            # Enough of an IVF's lists and of a graph's candidates for a recall near the exact; a
            # graph must hold as many candidates as are refined.
            query = query.nprobes(32).refine_factor(_REFINE).ef(max(128, _REFINE * top_k))
            if where is not None:
                query = query.where(self._sql(where), prefilter=True)
            table = query.to_arrow()
            scores = 1.0 - table["_distance"].to_numpy()
            found = zip(_records(table), scores.tolist(), strict=True)
            answers.append([Found(record, score) for record, score in found])
        return answers

    def count(self, where: filters.Filter | None = None) -> int:
        return self._table.count_rows(None if where is None else self._sql(where))

    def get(self, ids: Sequence[str], *, vectors: bool = False) -> Batch:
        if not ids:
            return Batch([], self._vectors(None) if vectors else None)
        table = self._select(filters.ids_in(ids), vectors=vectors).to_arrow()
        return Batch(_records(table), self._vectors(table) if vectors else None)

    def thumbnails(self, ids: Sequence[str]) -> dict[str, bytes]:
        if not ids:
            return {}
        sql = self._sql(filters.ids_in(ids))
        table = self._table.search().where(sql).select(["id", "thumbnail"]).to_arrow()
        return dict(zip(table["id"].to_pylist(), table["thumbnail"].to_pylist(), strict=True))

    def scan(
        self, where: filters.Filter | None = None, *, vectors: bool = False
    ) -> Iterator[Batch]:
        for part in self._select(where, vectors=vectors).to_batches(batch_size=_SCAN_ROWS):
            yield Batch(_records(part), self._vectors(part) if vectors else None)

    def version(self) -> Hashable:
        return self._table.version

    def own_change(self, before: Hashable) -> Hashable:
        return self._own[1] if self._own[0] == before else before

    def has_index(self) -> bool:
        return any(index.columns == ["vector"] for index in self._table.list_indices())

    def build_index(self, kind: str) -> str:
        from lancedb import index

        count, size = self.count(), self._embedding_size()
        options = {"distance_type": "cosine", "sample_rate": 256}
        # Lists of about sqrt(N) rows for product quantisation; a graph's may be far longer.
        if kind == "ivf_pq":
            parts = {"num_partitions": max(1, int(count**0.5))}
            config = index.IvfPq(num_sub_vectors=_divisor(size, size // 4), **parts, **options)
        else:
            config = index.HnswSq(num_partitions=max(1, count // 1_000_000), **options)
        with self._writing():
            self._table.create_index("vector", config=config)
        return {"IvfPq": "IVF_PQ", "HnswSq": "IVF_HNSW_SQ"}[type(config).__name__]

    def optimize(self) -> None:
        with self._writing():
            if self.count() >= _ROWS_BEFORE_ID_INDEX and not self._has_id_index():
                from lancedb import index

                self._table.create_index("id", config=index.BTree())
            before = self._table.version
            self._table.optimize(cleanup_older_than=_KEEP_VERSIONS)
            self._own = (before, self._table.version)
        self._writes = 0

    def close(self) -> None:
        self._table = self._database = None

    def _connect(self) -> None:
        self._database = _library().connect(
            self._path, read_consistency_interval=datetime.timedelta(0)
        )

    def _table_names(self) -> list[str]:
        return list(self._database.list_tables().tables)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Lets one process write at a time; the system lets go however it ends."""
        if not self._is_local:
            yield
            return
        try:
            os.makedirs(self._path, exist_ok=True)
            with open(pathlib.Path(self._path, ".lock"), "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if self._database is None:
                    self._connect()
                yield
        except OSError as error:
            raise errors.RunError(
                f"the index {self._path} must be a folder that can be written: "
                f"{error.strerror or error}"
            ) from error

    def _sql(self, where: filters.Filter) -> str:
        if not filters.field_names(where) <= {*FIELDS, *self._columns}:
            # Another process may have added the column since.
            self._columns = frozenset(self._table.schema.names)
        return lance_sql.render(where, self._columns, fields=FIELDS)

    def _select(self, where: filters.Filter | None, *, vectors: bool) -> Any:
        query = self._table.search().select([*_RECORD, *(["vector"] if vectors else [])])
        return query if where is None else query.where(self._sql(where))

    def _vectors(self, table: Any) -> np.ndarray:
        size = self._embedding_size()
        if table is None or not table.num_rows:
            return np.zeros((0, size), np.float32)
        column = table["vector"]
        column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
        return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, size)

    def _embedding_size(self) -> int:
        return self._table.schema.field("vector").type.list_size

    def _add_columns(self, rows: Sequence[Row]) -> None:
        import pyarrow as pa

        types = {"text": pa.string(), "number": pa.float64(), "boolean": pa.bool_()}
        wanted = {
            lance_sql.column(name, kind): types[kind]
            for row in rows
            for name, value in row.record.metadata.items()
            if value is not None
            for kind in [filters.kind(value)]
        }
        self._columns = frozenset(self._table.schema.names)
        new = [pa.field(name, kind) for name, kind in wanted.items() if name not in self._columns]
        if new:
            self._table.add_columns(pa.schema(new))
            self._columns = frozenset(self._table.schema.names)

    def _has_id_index(self) -> bool:
        return any(index.columns == ["id"] for index in self._table.list_indices())

    def _count_write(self) -> None:
        self._writes += 1
        if self._writes >= _WRITES_BEFORE_COMPACTION:
            self.optimize()


def _library() -> Any:
    # On one core its only worker would be busy with an index while a search waits for it.
    os.environ.setdefault("TOKIO_WORKER_THREADS", str(max(4, os.cpu_count() or 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lancedb
    return lancedb


def _schema(embedding_size: int) -> Any:
    import pyarrow as pa

    numbers = {"size", "modified_ns", "revision"}
    return pa.schema(
        [pa.field(name, pa.int64() if name in numbers else pa.string()) for name in _RECORD]
        + [
            pa.field("vector", pa.list_(pa.float32(), embedding_size)),
            pa.field("thumbnail", pa.binary()),
        ]
    )


def _to_arrow(rows: Sequence[Row], schema: Any) -> Any:
    import pyarrow as pa

    columns: dict[str, Any] = {name: [None] * len(rows) for name in schema.names}
    for i, (record, _, thumbnail) in enumerate(rows):
        for name, value in record._asdict().items():
            columns[name][i] = value
        columns["label"][i] = record.label or None
        columns["metadata"][i] = json.dumps(record.metadata) if record.metadata else None
        columns["thumbnail"][i] = thumbnail
        for name, value in record.metadata.items():
            if value is not None:
                kind = filters.kind(value)
                columns[lance_sql.column(name, kind)][i] = (
                    float(value) if kind == "number" else value
                )
    vectors = np.stack([row.vector for row in rows]).astype(np.float32, copy=False)
    columns["vector"] = pa.FixedSizeListArray.from_arrays(
        pa.array(vectors.reshape(-1)), vectors.shape[1]
    )
    return pa.table(columns, schema=schema)


def _records(table: Any) -> list[Record]:
    columns = {name: table[name].to_pylist() for name in _RECORD}
    columns["label"] = [label or "" for label in columns["label"]]
    columns["metadata"] = [json.loads(text) if text else {} for text in columns["metadata"]]
    return list(map(Record, *columns.values()))


def _divisor(number: int, at_most: int) -> int:
    """Returns the largest divisor of a number that is not above a bound."""
    return next(n for n in range(max(1, at_most), 0, -1) if number % n == 0)
