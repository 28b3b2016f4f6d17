"""Rows as a LanceDB table holds them: its columns, and the way there and back."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from simsearch.index import typed_fields
from simsearch.index.record import Record, Row

RECORD = (
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


def schema(embedding_size: int) -> Any:
    """Returns the schema of a table without metadata."""
    import pyarrow as pa

    numbers = {"size", "modified_ns", "revision"}
    return pa.schema(
        [pa.field(name, pa.int64() if name in numbers else pa.string()) for name in RECORD]
        + [
            pa.field("vector", pa.list_(pa.float32(), embedding_size)),
            pa.field("thumbnail", pa.binary()),
        ]
    )


def metadata_fields(rows: Sequence[Row]) -> list[Any]:
    """Returns the fields of a schema that the metadata of rows need."""
    import pyarrow as pa

    types = {str: pa.string(), float: pa.float64(), bool: pa.bool_()}
    columns = {
        name: types[type(value)]
        for row in rows
        for name, value in typed_fields.of(row.record.metadata).items()
    }
    return [pa.field(name, kind) for name, kind in columns.items()]


def to_arrow(rows: Sequence[Row], schema: Any) -> Any:
    """Returns rows as a table of a schema that has all their columns."""
    import pyarrow as pa

    columns: dict[str, Any] = {name: [None] * len(rows) for name in schema.names}
    for i, (record, _, thumbnail) in enumerate(rows):
        for name, value in record._asdict().items():
            columns[name][i] = value
        columns["label"][i] = record.label or None
        columns["metadata"][i] = json.dumps(record.metadata) if record.metadata else None
        columns["thumbnail"][i] = thumbnail
        for name, value in typed_fields.of(record.metadata).items():
            columns[name][i] = value
    vectors = np.stack([row.vector for row in rows]).astype(np.float32, copy=False)
    columns["vector"] = pa.FixedSizeListArray.from_arrays(
        pa.array(vectors.reshape(-1)), vectors.shape[1]
    )
    return pa.table(columns, schema=schema)


def to_records(table: Any) -> list[Record]:
    """Returns the records in a table that was read."""
    columns = {name: table[name].to_pylist() for name in RECORD}
    columns["label"] = [label or "" for label in columns["label"]]
    columns["metadata"] = [json.loads(text) if text else {} for text in columns["metadata"]]
    return list(map(Record, *columns.values()))


def to_vectors(table: Any, embedding_size: int) -> np.ndarray:
    """Returns the vectors in a table that was read, float32 [N, D]."""
    if not table.num_rows:
        return np.zeros((0, embedding_size), np.float32)
    column = table["vector"]
    column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, embedding_size)
