"""Engines for tests: LanceDB in a folder, Milvus where a server answers."""

import os
import uuid

import numpy as np
import pytest

from simsearch.index import engines
from simsearch.index.record import Record, Row, new_revision
from tests.index import model

ENGINES = ("lance", "milvus")
# Everything that a careless quotation would break at.
NASTY = (
    "it's",
    'say "hi"',
    "back\\slash\\",
    "' OR 1=1 --",
    '"] or id != ["',
    "x'); DROP TABLE images; --",
    "naïve ключ 図 😀",
    "line\nbreak\ttab",
    "`col` [0] {a: b} %s %",
    "\\' \\\" \\n",
    " ",
    "null",
)


def url(name, tmp_path):
    """Returns the URL of an empty store; skips where there is no such server."""
    if name == "lance":
        return f"lance:{tmp_path / 'store'}"
    server = os.environ.get("SIMSEARCH_TEST_MILVUS")
    if not server:
        pytest.skip("no Milvus server; `make test-milvus` starts one and runs this")
    return f"milvus:{server}/test_{uuid.uuid4().hex[:12]}"


def drop_all(url):
    """Removes what a test left on a server."""
    if url.startswith("milvus:"):
        from pymilvus import MilvusClient

        address, _, prefix = url.removeprefix("milvus:").rpartition("/")
        client = MilvusClient(uri=address)
        for name in client.list_collections():
            if name.startswith(prefix):
                client.drop_collection(name)
        client.close()


def connect(url, *, size=model.SIZE, create=True):
    """Returns an engine with its table open."""
    engine = engines.connect(url)
    engine.open_table("images_a", embedding_size=size, create=create)
    return engine


def reopen(url):
    """Returns an engine with the table open that the index at a URL uses."""
    engine = engines.connect(url)
    about = engine.read_about()
    engine.open_table(about["table"], embedding_size=about["embedding_size"], create=False)
    return engine


def row(name, *, vector=None, seed=0, **fields):
    """Returns a row whose id comes from its name."""
    if vector is None:
        vector = model.unit_vectors(np.random.default_rng(seed), 1)[0]
    values = {
        "id": model.hex_id(name),
        "path": str(name),
        "label": "",
        "metadata": {},
        "source": "/images",
        "size": 100,
        "modified_ns": 1_700_000_000_123_456_789,
        "content": "c" * 64,
        "revision": new_revision(),
    }
    return Row(
        Record(**values | fields), vector, b"\xff\xd8\xff thumbnail of " + str(name).encode()
    )


def collection(rng, count):
    """Returns rows with labels, sizes and metadata of every type, some of them missing."""
    rows = []
    for i, vector in enumerate(model.unit_vectors(rng, count)):
        metadata = {}
        if rng.random() < 0.7:
            metadata["price"] = [int(rng.integers(-3, 4)), float(rng.normal()), "3", 0][i % 4]
        if rng.random() < 0.6:
            metadata["sold"] = bool(rng.random() < 0.5)
        if rng.random() < 0.6:
            metadata["ключ_1"] = str(rng.choice(NASTY))
        label = str(rng.choice(["", "cookie", *NASTY[:6]]))
        size = int(rng.integers(0, 5))
        rows.append(
            row(
                f"{i}/{rng.choice(NASTY)}", vector=vector, label=label, size=size, metadata=metadata
            )
        )
    return rows
