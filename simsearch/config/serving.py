"""The groups of the configuration that indexing and serving read, for `config.Config`."""

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Literal

from simsearch.config import checks
from simsearch.config.checks import Count, Positive, PositiveInt


@dataclasses.dataclass(frozen=True)
class Index:
    """How a collection is stored and searched."""

    exact_limit: Count
    exact_dtype: Literal["float32", "bfloat16"]
    ann: Literal["hnsw", "ivf_pq"]
    thumbnail_size: Annotated[int, checks.Range(at_least=16, at_most=512)]


@dataclasses.dataclass(frozen=True)
class Serve:
    """What the web page and the REST API admit."""

    api_key_variable: str
    allow_url_queries: bool
    allowed_hosts: str
    max_upload_mb: Positive
    max_pixels: PositiveInt
    max_query_images: PositiveInt
    default_top_k: PositiveInt
    max_top_k: PositiveInt
    max_batch: PositiveInt
    max_waiting: PositiveInt
    upload_timeout: Positive
    url_timeout: Positive
    search_timeout: Positive
    drain_timeout: Positive


def contradictions(serve: Serve) -> Iterator[str]:
    """Yields what is wrong between fields that are each right."""
    if serve.default_top_k > serve.max_top_k:
        yield (
            f"serve.default_top_k={serve.default_top_k} must be at most "
            f"serve.max_top_k={serve.max_top_k}"
        )
