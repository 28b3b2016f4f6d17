"""The embedded engine: LanceDB tables in a folder that several processes may open at once."""

import contextlib
import datetime
import json
import os
import warnings
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from simsearch import cores, errors
from simsearch.index.engine import Batch, Closed
from simsearch.index.filters import matching
from simsearch.index.filters import tree as tree_lib
from simsearch.index.lance import lock as lock_lib
from simsearch.index.lance import rows as rows_lib
from simsearch.index.lance import sql as sql_lib
from simsearch.index.record import FIELDS, Found, Row

_ABOUT = "about"
# Readers of an older version are done with it after this long.
_KEEP_VERSIONS = datetime.timedelta(minutes=10)
_WRITES_BEFORE_COMPACTION = 64
_ROWS_BEFORE_ID_INDEX = 20_000
_SCAN_ROWS = 8192
# So many candidates for each row that is asked for are compared by their whole vectors: the codes
# of product quantisation tell less, and still less of rows that came after they were trained.
_REFINE = {"hnsw": 4, "ivf_pq": 16}
# What the kinds of `index.ann` are called here; a table's own list writes them without the lines.
_INDEX_NAMES = {"hnsw": "IVF_HNSW_SQ", "ivf_pq": "IVF_PQ"}


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
        self._lock = lock_lib.FolderLock(self._path if self._is_local else None)
        self._had_place = False  # Whether the note named this table when it was last read.
        self._own = (-1, -1)  # The versions before and after this process's last write.
        self._writes = 0
        if not self._is_local or os.path.isdir(self._path):
            self._connect()

    def read_about(self) -> dict[str, Any] | None:
        table = None if self._database is None else self._found(_ABOUT)
        texts = [] if table is None else table.search().to_arrow()["text"].to_pylist()
        return json.loads(texts[0]) if texts else None

    def write_about(self, about: dict[str, Any]) -> None:
        import pyarrow as pa

        with self.writing():
            rows = pa.table({"key": ["about"], "text": [json.dumps(about)]})
            table = self._found(_ABOUT)
            if table is None:
                self._database.create_table(_ABOUT, rows)
            else:
                merge = table.merge_insert("key").when_matched_update_all()
                merge.when_not_matched_insert_all().execute(rows)
            if self._table is not None:
                self._had_place = about.get("table") == self._table.name

    def open_table(self, name: str, *, embedding_size: int, create: bool) -> None:
        if create:
            with self.writing():
                if self._found(name) is None:
                    self._database.create_table(name, schema=rows_lib.schema(embedding_size))
        self._table = self._database.open_table(name)
        self._had_place = self._has_place()
        self._columns = frozenset(self._table.schema.names)

    def table_names(self) -> list[str]:
        return list(self._database.list_tables().tables)

    def drop_table(self, name: str) -> None:
        with self.writing():
            if name in self.table_names():
                self._database.drop_table(name)

    def upsert(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        with self._changing():
            self._add_columns(rows)
            table = rows_lib.to_arrow(rows, self._table.schema)
            merge = self._table.merge_insert("id").when_matched_update_all()
            merge.when_not_matched_insert_all().execute(table)
        self._writes += 1

    def delete(self, ids: Sequence[str]) -> int:
        if not ids:
            return 0
        with self._changing():
            deleted = self._table.delete(self._sql(matching.ids_in(ids))).num_deleted_rows
        self._writes += 1
        return deleted

    def search(
        self, vectors: np.ndarray, *, top_k: int, where: tree_lib.Filter | None
    ) -> list[list[Found]]:
        answers = []
        sql = None if where is None else self._sql(where)
        kind, _ = self._built()
        refine = _REFINE.get(kind, 1)
        for vector in vectors:
            query = self._table.search(vector, vector_column_name="vector")
            query = (
                query.distance_type("cosine").limit(top_k).select([*rows_lib.RECORD, "_distance"])
            )
            # Enough of an IVF's lists and of a graph's candidates for a recall near the exact, and
            # more lists (0: without a bound) where a filter leaves too few rows in those; a graph
            # must hold as many candidates as are refined.
            query = query.minimum_nprobes(32).maximum_nprobes(0)
            query = query.refine_factor(refine).ef(max(128, refine * top_k))
            if sql is not None:
                query = query.where(sql, prefilter=True)
            with sql_lib.planning(where):
                table = query.to_arrow()
            scores = 1.0 - table["_distance"].to_numpy()
            found = zip(rows_lib.to_records(table), scores.tolist(), strict=True)
            answers.append([Found(record, score) for record, score in found])
        return answers

    def count(self, where: tree_lib.Filter | None = None) -> int:
        with sql_lib.planning(where):
            return self._table.count_rows(None if where is None else self._sql(where))

    def get(self, ids: Sequence[str], *, vectors: bool = False) -> Batch:
        if not ids:
            nothing = rows_lib.schema(self._embedding_size()).empty_table()
            return self._batch(nothing, vectors=vectors)
        table = self._select(matching.ids_in(ids), vectors=vectors).to_arrow()
        return self._batch(table, vectors=vectors)

    def thumbnails(self, ids: Sequence[str]) -> dict[str, bytes]:
        if not ids:
            return {}
        sql = self._sql(matching.ids_in(ids))
        table = self._table.search().where(sql).select(["id", "thumbnail"]).to_arrow()
        return dict(zip(table["id"].to_pylist(), table["thumbnail"].to_pylist(), strict=True))

    def scan(
        self, where: tree_lib.Filter | None = None, *, vectors: bool = False
    ) -> Iterator[Batch]:
        with sql_lib.planning(where):
            for part in self._select(where, vectors=vectors).to_batches(batch_size=_SCAN_ROWS):
                yield self._batch(part, vectors=vectors)

    def revisions(self) -> dict[str, int]:
        table = self._table.search().select(["id", "revision"]).to_arrow()
        return dict(zip(table["id"].to_pylist(), table["revision"].to_pylist(), strict=True))

    def labels(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        labels = self._table.search().select(["label"])
        for part in labels.to_batches(batch_size=_SCAN_ROWS):
            for pair in part["label"].value_counts().to_pylist():
                counts[pair["values"] or ""] += pair["counts"]
        return counts

    def version(self) -> Hashable:
        return self._table.version

    def own_change(self, before: Hashable) -> Hashable:
        return self._own[1] if self._own[0] == before else before

    def index_parts(self, kind: str) -> int:
        built, parts = self._built()
        return parts if built == kind else 0

    def build_index(self, kind: str) -> str:
        from lancedb import index

        count, size = self.count(), self._embedding_size()
        options = {"distance_type": "cosine", "sample_rate": 256}
        # Product quantisation in lists of LanceDB's own length: the next `optimize` would join
        # shorter ones, whose codes then tell rows apart badly. A graph's may be far longer.
        if kind == "ivf_pq":
            config = index.IvfPq(num_sub_vectors=_divisor(size, size // 4), **options)
        else:
            config = index.HnswSq(num_partitions=max(1, count // 1_000_000), **options)
        with self.writing():
            self._table.create_index("vector", config=config)
        self.optimize()  # It may rearrange the lists: what is measured must stay so.
        return _INDEX_NAMES[kind]

    def optimize(self) -> None:
        self._writes = 0  # Also where it fails, which it would again after the next write.
        with self._changing():
            if self.count() >= _ROWS_BEFORE_ID_INDEX and not self._has_id_index():
                from lancedb import index

                self._table.create_index("id", config=index.BTree())
            self._table.optimize(cleanup_older_than=_KEEP_VERSIONS)

    def is_untidy(self) -> bool:
        return self._writes >= _WRITES_BEFORE_COMPACTION

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        with self._lock.held():
            if self._database is None:
                self._connect()
            yield

    def close(self) -> None:
        self._table = self._database = Closed()

    def _connect(self) -> None:
        self._database = _library().connect(
            self._path, read_consistency_interval=datetime.timedelta(0)
        )

    def _found(self, name: str) -> Any | None:
        """Returns a table; None where there is none, or the folder alone.

        A kill in a table's creation leaves its folder without a manifest: it is listed and cannot
        be opened, and creating the table takes it over.
        """
        try:
            return self._database.open_table(name)
        except ValueError as error:
            if "was not found" not in str(error):
                raise
            return None

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Makes one change of whatever is done to the table.

        Raises:
            RunError: Where another model's index took this one's place: what is written to a table
                that nobody asks any more would be lost.
        """
        with self.writing():
            has_place = self._has_place()
            if self._had_place and not has_place:
                raise errors.RunError(
                    f"the index {self.url} is another model's by now; open it anew"
                )
            self._had_place = has_place
            before = self._table.version
            yield
            self._own = (before, self._table.version)

    def _has_place(self) -> bool:
        """Returns whether the note is of this table; another may grow beside it."""
        return (self.read_about() or {}).get("table") == self._table.name

    def _sql(self, where: tree_lib.Filter) -> str:
        if not matching.field_names(where) <= set(FIELDS):
            # Another process may have added the column since.
            self._columns = frozenset(self._table.schema.names)
        return sql_lib.render(where, self._columns, fields=FIELDS)

    def _select(self, where: tree_lib.Filter | None, *, vectors: bool) -> Any:
        query = self._table.search().select([*rows_lib.RECORD, *(["vector"] if vectors else [])])
        return query if where is None else query.where(self._sql(where))

    def _batch(self, table: Any, *, vectors: bool) -> Batch:
        found = rows_lib.to_vectors(table, self._embedding_size()) if vectors else None
        return Batch(rows_lib.to_records(table), found)

    def _embedding_size(self) -> int:
        return self._table.schema.field("vector").type.list_size

    def _add_columns(self, rows: Sequence[Row]) -> None:
        self._columns = frozenset(self._table.schema.names)
        wanted = rows_lib.metadata_fields(rows)
        if new := [field for field in wanted if field.name not in self._columns]:
            self._table.add_columns(new)
            self._columns = frozenset(self._table.schema.names)

    def _built(self) -> tuple[str, int]:
        """Returns kind and number of parts of the approximate index; "" and 0 without one."""
        kinds = {name.replace("_", ""): kind for kind, name in _INDEX_NAMES.items()}
        for index in self._table.list_indices():
            if index.columns == ["vector"]:
                return kinds[index.index_type.replace("_", "").upper()], index.num_segments
        return "", 0

    def _has_id_index(self) -> bool:
        return any(index.columns == ["id"] for index in self._table.list_indices())


def _library() -> Any:
    # On one core its only worker would be busy with an index while a search waits for it.
    os.environ.setdefault("TOKIO_WORKER_THREADS", str(max(4, cores.count())))
    # It warns of its own workings, such as lists that are empty, which nobody can act upon.
    os.environ.setdefault("LANCEDB_LOG", "error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lancedb
    return lancedb


def _divisor(number: int, at_most: int) -> int:
    """Returns the largest divisor of a number that is not above a bound."""
    return next(n for n in range(max(1, at_most), 0, -1) if number % n == 0)
