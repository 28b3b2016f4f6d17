"""Which engine a URL names; only that one's library is imported."""

import re

from simsearch import errors
from simsearch.index.engine import Engine


def connect(url: str) -> Engine:
    """Returns the engine that a URL names; nothing is created.

    Args:
        url: `lance:PATH`, or `milvus:http://HOST:PORT[/COLLECTION]`.

    Raises:
        UsageError: Where there is no such engine, or its library is not installed.
        RunError: Where it does not answer.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "lance" and rest:
        from simsearch.index.lance import engine as lance

        return lance.LanceEngine(rest)
    if scheme == "milvus" and re.match(r"https?://[^/]", rest):
        from simsearch.index.milvus import engine as milvus

        return milvus.MilvusEngine(rest)
    raise errors.UsageError(
        f"--index={url} names no engine; write lance:PATH, such as lance:./index, or "
        "milvus:http://HOST:19530"
    )
