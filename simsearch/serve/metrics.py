"""What the server measures of itself, for Prometheus."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
_UNKNOWN = "unknown"
# Whoever asks chooses the method, and each name that is kept costs memory for good.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "other"


class Metrics:
    """The figures of one server; each server has its own, also several in one process."""

    def __init__(
        self, *, count_images: Callable[[], int], count_waiting: Callable[[], int]
    ) -> None:
        """Makes the figures.

        Args:
            count_images: Tells how many images the index holds.
            count_waiting: Tells how many queries wait for the model.
        """
        # When a counter began says nothing that Prometheus asks, and doubles what it keeps.
        prometheus_client.disable_created_metrics()
        self._registry = CollectorRegistry()
        names = ["method", "route", "status"]
        self._requests = self._make(Counter, "requests", "Requests that were answered.", names)
        self._seconds = self._make(
            Histogram, "request_seconds", "From request to answer.", ["route"], buckets=_SECONDS
        )
        self._batches = self._make(
            Histogram, "batch_images", "Images of a forward pass.", buckets=_SIZES
        )
        self._refused = self._make(Counter, "refused_busy", "Requests refused with 503.")
        images = self._make(Gauge, "images", "Images in the index.")
        images.set_function(count_images)
        waiting = self._make(Gauge, "waiting", "Images that wait for a forward pass.")
        waiting.set_function(count_waiting)
        prometheus_client.ProcessCollector(registry=self._registry)

    def observe_batch(self, size: int) -> None:
        """Notes a forward pass."""
        self._batches.observe(size)

    def observe_request(
        self, *, method: str, route: str | None, status: int, started: float
    ) -> None:
        """Notes an answer.

        Args:
            method: HTTP method of the request; those that HTTP does not know are counted as one.
            route: The path's pattern, so that there are only a few; None where there is none.
            status: HTTP status of the answer.
            started: When the request came, by `time.perf_counter`.
        """
        route = route or _UNKNOWN
        method = method if method in _METHODS else _OTHER
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(time.perf_counter() - started)
        if status == 503:
            self._refused.inc()

    def text(self) -> bytes:
        """Returns all figures in Prometheus's format."""
        return prometheus_client.generate_latest(self._registry)

    def _make(self, kind, name: str, meaning: str, labels: list[str] | None = None, **options):
        return kind(f"simsearch_{name}", meaning, labels or [], registry=self._registry, **options)


class Observed:
    """An ASGI application whose answers are counted."""

    def __init__(
        self, application: Callable[..., Any], figures: Metrics, *, plain: Sequence[str]
    ) -> None:
        """Wraps an application.

        Args:
            application: Whose answers they are.
            figures: Where they are noted.
            plain: Paths that are answered without a route of the router, also as folders.
        """
        self._application = application
        self._figures = figures
        self._plain = plain

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hands a request on, and notes the answer."""
        started, status = time.perf_counter(), 500

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._application(scope, receive, noting)
        finally:
            if scope["type"] == "http":
                self._figures.observe_request(
                    method=scope["method"], route=self._route(scope), status=status, started=started
                )

    def _route(self, scope: Any) -> str | None:
        """Returns the pattern of what answered; the router leaves the route in the scope."""
        if scope.get("route") is not None:
            return getattr(scope["route"], "path", None)
        folders = (name for name in self._plain if f"{scope['path']}/".startswith(f"{name}/"))
        return next(folders, None)
