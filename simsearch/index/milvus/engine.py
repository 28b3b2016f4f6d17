"""The distributed engine: an index as collections of a Milvus server."""

import base64
import contextlib
import json
import time
import uuid
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from concurrent import futures
from typing import Any

import numpy as np

from simsearch import errors
from simsearch.index import id_ranges
from simsearch.index.engine import Batch
from simsearch.index.filters import matching
from simsearch.index.filters import tree as tree_lib
from simsearch.index.milvus import expression as expression_lib
from simsearch.index.milvus import rows as rows_lib
from simsearch.index.milvus import server as server_lib
from simsearch.index.record import Found, Row

_SCAN_THREADS = 8
# A query may return 16,384 rows.
_SCAN_ROWS = 2_000
_READ_ROWS = 500
# Bounded staleness is at most about this long: until then a search must wait for what was written.
_STALE_SECONDS = 10.0
# How long other processes' changes may go unseen by the exact view.
_VERSION_SECONDS = 1.0
_INDEX_SECONDS = 3_600.0
# Of fewer rows in a segment a server makes no index, and compares with all of them.
_LEAST_INDEXED_ROWS = 1_024
# For an answer that comes when the server has read or written a whole table.
_TABLE_SECONDS = 600.0


class MilvusEngine:
    """See `engine.Engine`.

    Searches read bounded-stale data, except for a while after this process wrote; counts and all
    else read with strong consistency.
    """

    name = "Milvus"

    def __init__(self, url: str) -> None:
        self._server = server_lib.Server(url)
        self.url = self._server.url
        self._about = f"{self._server.prefix}_about"
        self._table, self._size = "", 0
        self._writer = f"writer/{uuid.uuid4().hex}"
        self._num_writes = 0
        self._last_write = -_STALE_SECONDS
        self._seen: tuple[float, Hashable] = (-_VERSION_SECONDS, None)

    def read_about(self) -> dict[str, Any] | None:
        if not self._server.call("has_collection", self._about):
            return None
        parts = self._about_rows("about/")
        text = "".join(parts[name] for name in sorted(parts))
        return json.loads(text) if text else None

    def write_about(self, about: dict[str, Any]) -> None:
        self._server.create_texts(self._about)
        text = json.dumps(about)
        size = server_lib.LONGEST // 4  # JSON in ASCII, and room to spare.
        parts = [text[i : i + size] for i in range(0, len(text), size)]
        self._put_about({f"about/{i:04}": part for i, part in enumerate(parts)})
        old = self._about_rows("about/").keys() - {f"about/{i:04}" for i in range(len(parts))}
        if old:
            expression = expression_lib.render(tree_lib.In("id", tuple(sorted(old))))
            self._server.call("delete", self._about, filter=expression)

    def open_table(self, name: str, *, embedding_size: int, create: bool) -> None:
        self._table, self._size = f"{self._server.prefix}_{name}", embedding_size
        if create and not self._server.call("has_collection", self._table):
            self._server.create_texts(self._about)
            self._server.create_rows(self._table, embedding_size=embedding_size)
        self._server.call("load_collection", self._table, timeout=_TABLE_SECONDS)

    def table_names(self) -> list[str]:
        # Of another index whose name only begins alike some come along.
        start = f"{self._server.prefix}_"
        names = self._server.call("list_collections")
        return [name.removeprefix(start) for name in names if name.startswith(start)]

    def drop_table(self, name: str) -> None:
        self._server.call("drop_collection", f"{self._server.prefix}_{name}")

    def writing(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()  # A server has no lock to give.

    def upsert(self, rows: Sequence[Row]) -> None:
        if rows:
            self._announce()
            self._server.call("upsert", self._table, [rows_lib.to_milvus(row) for row in rows])
            self._announce()

    def delete(self, ids: Sequence[str]) -> int:
        if not ids:
            return 0
        where = matching.ids_in(ids)
        count = self.count(where)  # The server would count the ids that were asked for.
        if count:
            self._announce()
            self._server.call("delete", self._table, filter=expression_lib.render(where))
            self._announce()
        return count

    def search(
        self, vectors: np.ndarray, *, top_k: int, where: tree_lib.Filter | None
    ) -> list[list[Found]]:
        found = self._server.call(
            "search",
            self._table,
            data=[vector.tolist() for vector in vectors],
            anns_field="vector",
            limit=top_k,
            filter="" if where is None else expression_lib.render(where),
            output_fields=list(rows_lib.RECORD),
            search_params={"metric_type": "COSINE", "params": {"ef": max(128, 2 * top_k)}},
            consistency_level=self._consistency(),
        )
        return [
            [Found(rows_lib.to_record(hit["entity"]), hit["distance"]) for hit in hits]
            for hits in found
        ]

    def count(self, where: tree_lib.Filter | None = None) -> int:
        rows = self._query(where, ["count(*)"])
        return int(rows[0]["count(*)"])

    def get(self, ids: Sequence[str], *, vectors: bool = False) -> Batch:
        rows: list[dict[str, Any]] = []
        fields = [*rows_lib.RECORD, *(["vector"] if vectors else [])]
        for start in range(0, len(ids), _READ_ROWS):
            rows.extend(self._query(matching.ids_in(ids[start : start + _READ_ROWS]), fields))
        return self._batch(rows, vectors=vectors)

    def thumbnails(self, ids: Sequence[str]) -> dict[str, bytes]:
        rows = self._query(matching.ids_in(ids), ["id", "thumbnail"]) if ids else []
        return {row["id"]: base64.b64decode(row["thumbnail"]) for row in rows}

    def scan(
        self, where: tree_lib.Filter | None = None, *, vectors: bool = False
    ) -> Iterator[Batch]:
        for rows in self._parts(where, [*rows_lib.RECORD, *(["vector"] if vectors else [])]):
            yield self._batch(rows, vectors=vectors)

    def revisions(self) -> dict[str, int]:
        parts = self._parts(None, ["id", "revision"])
        return {row["id"]: row["revision"] for rows in parts for row in rows}

    def labels(self) -> Counter[str]:
        return Counter(row["label"] for rows in self._parts(None, ["id", "label"]) for row in rows)

    def version(self) -> Hashable:
        looked, version = self._seen
        if time.monotonic() - looked >= _VERSION_SECONDS:
            others = self._about_rows("writer/")
            others.pop(self._writer, None)
            version = frozenset(others.items())
            self._seen = (time.monotonic(), version)
        return version

    def own_change(self, before: Hashable) -> Hashable:
        return before  # The version is of the other writers alone.

    def index_parts(self, kind: str) -> int:
        return 1  # The server keeps it from the first row on, and merges what it is made of.

    def build_index(self, kind: str) -> str:
        self._server.call("flush", self._table, timeout=_TABLE_SECONDS)
        deadline = time.monotonic() + _INDEX_SECONDS
        while time.monotonic() < deadline:
            if self._is_indexed():
                return str(server_lib.INDEX["index_type"])
            time.sleep(0.5)
        raise errors.RunError(f"Milvus at {self.url} did not finish its index within an hour")

    def optimize(self) -> None:
        self._server.call("flush", self._table, timeout=_TABLE_SECONDS)

    def is_untidy(self) -> bool:
        return False  # The server merges pieces by itself.

    def close(self) -> None:
        if self._num_writes:
            expression = expression_lib.render(tree_lib.In("id", (self._writer,)))
            self._server.call("delete", self._about, filter=expression)
        self._server.close()

    def _is_indexed(self) -> bool:
        """Returns whether searches go through the index, which is later than its being built."""
        state = self._server.call("describe_index", self._table, index_name="vector")
        if state["state"] != "Finished" or state["pending_index_rows"]:
            return False
        # Until a segment is loaded with its index, the server searches lists of its own, and of
        # rows that pass a narrow filter it finds a tenth.
        loaded = self._server.call("list_loaded_segments", self._table)
        searched = {segment.segment_id for segment in loaded if segment.index_name}
        flushed = self._server.call("list_persistent_segments", self._table)
        return all(
            segment.segment_id in searched
            for segment in flushed
            if segment.num_rows >= _LEAST_INDEXED_ROWS
        )

    def _parts(
        self, where: tree_lib.Filter | None, fields: list[str]
    ) -> Iterator[list[dict[str, Any]]]:
        """Yields fields of all rows that pass a filter, some thousand rows at a time."""
        parts = [
            part if where is None else tree_lib.And((part, where))
            for part in id_ranges.split(self.count(where), most_rows=_SCAN_ROWS)
        ]
        # The server's own iterator reads at a time of the client's clock and may miss the latest
        # rows. Each strongly consistent read waits for the server's next tick: better side by side.
        with futures.ThreadPoolExecutor(_SCAN_THREADS) as pool:
            yield from pool.map(lambda part: self._query(part, fields), parts)

    def _query(self, where: tree_lib.Filter | None, fields: list[str]) -> list[dict[str, Any]]:
        expression = "" if where is None else expression_lib.render(where)
        return self._server.call(
            "query",
            self._table,
            filter=expression,
            output_fields=fields,
            consistency_level="Strong",
        )

    def _batch(self, rows: Sequence[dict[str, Any]], *, vectors: bool) -> Batch:
        records = [rows_lib.to_record(row) for row in rows]
        if not vectors:
            return Batch(records, None)
        values = [row["vector"] for row in rows]
        return Batch(records, np.asarray(values, np.float32).reshape(-1, self._size))

    def _consistency(self) -> str:
        is_recent = time.monotonic() - self._last_write < _STALE_SECONDS
        return "Strong" if is_recent else "Bounded"

    def _announce(self) -> None:
        """Tells other processes that the table changes, before and after it does."""
        self._num_writes += 1
        self._last_write = time.monotonic()
        self._put_about({self._writer: str(self._num_writes)})

    def _about_rows(self, prefix: str) -> dict[str, str]:
        rows = self._server.call(
            "query",
            self._about,
            filter=f'id like "{prefix}%"',
            output_fields=["id", "text"],
            consistency_level="Bounded" if prefix == "writer/" else "Strong",
        )
        return {row["id"]: row["text"] for row in rows}

    def _put_about(self, texts: dict[str, str]) -> None:
        rows = [{"id": key, "text": text, "vector": [1.0, 0.0]} for key, text in texts.items()]
        self._server.call("upsert", self._about, rows)
