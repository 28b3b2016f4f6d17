"""Rows as a Milvus collection holds them, and the parts in which all of them are read."""

import base64
import itertools
import json
from typing import Any

from simsearch.index import filters, milvus_filter
from simsearch.index.record import Record, Row

TEXTS = ("path", "label", "metadata", "source", "content")
INTEGERS = ("modified_ns", "revision")
RECORD = ("id", *TEXTS, "size", *INTEGERS)

# A query may return 16,384 rows.
_SCAN_ROWS = 2_000


def ranges_of_ids(count: int) -> list[filters.Filter]:
    """Returns filters that each let about `_SCAN_ROWS` of so many rows through, all together all.

    The server's own iterator reads at a time of the client's clock and may miss the latest rows;
    ids are hashes, so that their beginnings are spread evenly.
    """
    digits = 0
    while count / 16**digits > _SCAN_ROWS:
        digits += 1
    edges = ["", *(f"{i:0{digits}x}" for i in range(1, 16**digits))]
    ranges: list[filters.Filter] = []
    for low, high in itertools.zip_longest(edges, edges[1:]):
        at_least = filters.Compare("id", ">=", low)
        below = () if high is None else (filters.Compare("id", "<", high),)
        ranges.append(filters.And((at_least, *below)))
    return ranges


def to_milvus(row: Row) -> dict[str, Any]:
    """Returns a row as a collection takes it."""
    record = row.record
    typed = {}
    for name, value in record.metadata.items():
        if value is not None:
            kind = filters.kind(value)
            typed[milvus_filter.key(name, kind)] = float(value) if kind == "number" else value
    return {
        **record._asdict(),
        "metadata": json.dumps(record.metadata),
        "size": float(record.size),
        milvus_filter.JSON_FIELD: typed,
        "vector": row.vector.tolist(),
        "thumbnail": base64.b64encode(row.thumbnail).decode(),
    }


def to_record(row: Any) -> Record:
    """Returns the record in a row that a collection gave."""
    values = {name: row[name] for name in RECORD}
    values["metadata"] = json.loads(values["metadata"])
    values["size"] = int(values["size"])
    return Record(**values)
