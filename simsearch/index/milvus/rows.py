"""Rows as a Milvus collection holds them."""

import base64
import json
from typing import Any

from simsearch.index import typed_fields
from simsearch.index.milvus import expression as expression_lib
from simsearch.index.record import Record, Row

TEXTS = ("path", "label", "metadata", "source", "content")
INTEGERS = ("modified_ns", "revision")
RECORD = ("id", *TEXTS, "size", *INTEGERS)


def to_milvus(row: Row) -> dict[str, Any]:
    """Returns a row as a collection takes it."""
    record = row.record
    return {
        **record._asdict(),
        "metadata": json.dumps(record.metadata),
        "size": float(record.size),
        expression_lib.JSON_FIELD: typed_fields.of(record.metadata),
        "vector": row.vector.tolist(),
        "thumbnail": base64.b64encode(row.thumbnail).decode(),
    }


def to_record(row: Any) -> Record:
    """Returns the record in a row that a collection gave."""
    values = {name: row[name] for name in RECORD}
    values["metadata"] = json.loads(values["metadata"])
    values["size"] = int(values["size"])
    return Record(**values)
