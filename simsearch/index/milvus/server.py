"""A Milvus server, through pymilvus: what it refuses is told in one line."""

import logging
import re
import urllib.parse
from typing import Any

from simsearch import errors
from simsearch.index.milvus import expression as expression_lib
from simsearch.index.milvus import rows as rows_lib

INDEX = {"index_type": "HNSW", "metric_type": "COSINE"}
LONGEST = 65_535  # Bytes of a VARCHAR.
# pymilvus waits for an answer for ever where it is not told how long.
_CONNECT_SECONDS = 20.0
_CALL_SECONDS = 60.0


class Server:
    """A connection to the server that holds an index.

    Attributes:
        url: The index's, without a password.
        prefix: What the names of its collections begin with.
    """

    def __init__(self, url: str) -> None:
        """Connects.

        Args:
            url: http://[USER:PASSWORD@]HOST:PORT[/PREFIX].

        Raises:
            UsageError: Where the prefix cannot begin a name, or pymilvus is not installed.
            RunError: Where no server answers.
        """
        parts = urllib.parse.urlsplit(url)
        self.prefix = parts.path.strip("/") or "simsearch"
        if not re.fullmatch(r"[A-Za-z_]\w*", self.prefix, flags=re.ASCII):
            raise errors.UsageError(
                f"--index=milvus:{parts.scheme}://{parts.hostname}/{self.prefix} must end in a "
                "collection's name, of letters, digits and _"
            )
        host = parts.netloc.rpartition("@")[2]
        self.url = f"milvus:{parts.scheme}://{host}/{self.prefix}"
        self._pymilvus, self._refusals = _library()
        token = ""
        if parts.username:
            user, password = map(urllib.parse.unquote, (parts.username, parts.password or ""))
            token = f"{user}:{password}"
        try:
            self._client = self._pymilvus.MilvusClient(
                uri=f"{parts.scheme}://{host}", token=token, timeout=_CONNECT_SECONDS
            )
        except self._refusals as error:
            raise errors.RunError(
                f"expected a Milvus server at {self.url}, but {_said(error)}; start it, or "
                "check --index"
            ) from error

    def call(
        self, method: str, *arguments: Any, timeout: float | None = None, **options: Any
    ) -> Any:
        """Calls the client.

        Args:
            method: Name of the client's method.
            *arguments: Arguments of the method.
            timeout: Seconds to wait for the answer; None: a minute.
            **options: Keyword arguments of the method.

        Raises:
            RunError: Where the server refuses, or does not answer in time, in one line.
        """
        timeout = timeout or _CALL_SECONDS
        try:
            return getattr(self._client, method)(*arguments, timeout=timeout, **options)
        except self._refusals as error:
            said = f"refused {method}: {_said(error)}"
            if _is_late(error):
                said = f"did not answer {method} within {timeout:g} seconds"
            raise errors.RunError(f"Milvus at {self.url} {said}") from error

    def create_texts(self, collection: str) -> None:
        """Makes a collection of texts by id, where there is none."""
        if self.call("has_collection", collection):
            return
        schema, kinds = self._schema(), self._pymilvus.DataType
        schema.add_field("text", kinds.VARCHAR, max_length=LONGEST)
        # A collection must have a vector.
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=2)
        self._create(collection, schema)

    def create_rows(self, collection: str, *, embedding_size: int) -> None:
        """Makes a collection of rows, as `milvus.rows` writes them, with their index."""
        schema, kinds = self._schema(), self._pymilvus.DataType
        for name in (*rows_lib.TEXTS, "thumbnail"):
            schema.add_field(name, kinds.VARCHAR, max_length=LONGEST)
        schema.add_field("size", kinds.DOUBLE)
        for name in rows_lib.INTEGERS:
            schema.add_field(name, kinds.INT64)
        schema.add_field(expression_lib.JSON_FIELD, kinds.JSON)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=embedding_size)
        self._create(collection, schema)

    def close(self) -> None:
        """Lets go of the connection."""
        self._client.close()

    def _schema(self) -> Any:
        """Returns a schema of an id alone."""
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", self._pymilvus.DataType.VARCHAR, is_primary=True, max_length=256)
        return schema

    def _create(self, collection: str, schema: Any) -> None:
        parameters = self._client.prepare_index_params()
        parameters.add_index("vector", params={"M": 16, "efConstruction": 200}, **INDEX)
        self.call(
            "create_collection",
            collection,
            schema=schema,
            index_params=parameters,
            num_shards=1,
            consistency_level="Bounded",
        )


def _library() -> tuple[Any, tuple[type[Exception], ...]]:
    """Returns pymilvus and what it raises: some errors of the transport it lets through."""
    try:
        import grpc
        import pymilvus
    except ImportError as error:
        raise errors.UsageError(
            "an index at milvus: needs pymilvus; install it with "
            "`pip install -r requirements-milvus.txt`"
        ) from error
    # It prints every refusal with a traceback besides raising it.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    return pymilvus, (pymilvus.MilvusException, grpc.RpcError)


def _is_late(error: Exception) -> bool:
    code = getattr(error, "code", None)  # A method of the transport's errors, else a number.
    return callable(code) and code().name == "DEADLINE_EXCEEDED"


def _said(error: Exception) -> str:
    details = getattr(error, "details", None)
    return errors.one_line(getattr(error, "message", "") or (details and details()) or error)
