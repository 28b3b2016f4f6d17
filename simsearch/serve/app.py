"""The routes: each reads a request, asks the service, and shapes the answer."""

import asyncio
import pathlib
import time
from collections.abc import Callable
from typing import Annotated, Any

import fastapi
from fastapi import staticfiles
from fastapi.responses import FileResponse, Response

from simsearch.serve import access, draining, intake, metrics, models, pictures, refusals, security
from simsearch.serve.service import Service

# Answered by the framework itself or from a folder: no route of a router stands for them.
_DESCRIPTION, _FILES = "/openapi.json", "/page"
_TAGS = [
    {"name": "search", "description": "Find similar images."},
    {"name": "images", "description": "Look at what is stored."},
    {"name": "changes", "description": "Add and delete images; both need the key."},
    {"name": "server", "description": "What answers, and how it is doing."},
]
_PAGE = pathlib.Path(__file__).parent / "page"
# Else a browser may keep a script of an older version beside the new one's page.
_ASK_FIRST = {"Cache-Control": "no-cache"}
_ABOUT = (
    "Finds the images of an index that are most similar to a query. "
    'Every refusal is `{"detail": "one line"}`.'
)
_FORM_SCHEMA = {
    "type": "object",
    "properties": {
        "image": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "One or several query images; several are averaged.",
        },
        "ids": {"type": "array", "items": {"type": "string"}},
        "unlike": {"type": "array", "items": {"type": "string"}},
        "exclude": {"type": "array", "items": {"type": "string"}},
        "crop": {"type": "string", "description": models.CROP, "example": "0.1,0.1,0.5,0.5"},
        "filter": {"type": "string", "description": models.FILTER},
        "top_k": {"type": "integer", "minimum": 1},
    },
}
_ADD_SCHEMA = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "minItems": 1,
        },
        "label": {
            "type": "array",
            "items": {"type": "string"},
            "description": "One for all, or one for each image.",
        },
        "path": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Names to show, one for each image; the files' names where left out.",
        },
    },
}


class _Files(staticfiles.StaticFiles):
    """Files of which a browser asks each time whether the one that it has is still the newest."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(_ASK_FIRST)
        return response


def _body(**content: Any) -> dict[str, Any]:
    shaped = {kind.replace("_", "/", 1): {"schema": schema} for kind, schema in content.items()}
    shaped = {kind.replace("form", "form-data"): schema for kind, schema in shaped.items()}
    return {"requestBody": {"required": True, "content": shaped}}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": models.Problem} for status in statuses}


def create(service: Service, *, api_key: str, bound_host: str) -> security.Application:
    """Returns the ASGI application.

    Args:
        service: What answers.
        api_key: That adding and deleting needs; "": neither is possible.
        bound_host: Host that the server is bound to.
    """
    serve = service.config
    intake.silence_parser()
    application = fastapi.FastAPI(
        title="simsearch",
        description=_ABOUT,
        version="1",
        docs_url=None,
        openapi_url=_DESCRIPTION,
        openapi_tags=_TAGS,
        # Where the description lies: a proxy may have put a folder in front, which is not known.
        servers=[{"url": ".", "description": "this server"}],
        redirect_slashes=False,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        separate_input_output_schemas=False,
        responses=_problems(421, 422, 503),
    )
    figures = metrics.Metrics(count_images=service.count, count_waiting=service.searcher.__len__)
    service.searcher.on_batch = figures.observe_batch
    refusals.add(application, service)
    with_key = access.create(api_key, variable=serve.api_key_variable)
    application.include_router(_search_routes(service, can_change=bool(api_key)))
    application.include_router(_image_routes(service))
    application.include_router(_change_routes(service, with_key))
    application.include_router(_machine_routes(service, figures))
    application.mount(_FILES, _Files(directory=_PAGE))
    answered = draining.Drained(application, is_stopping=lambda: service.is_stopping)
    names = [name.strip() for name in serve.allowed_hosts.split(",") if name.strip()]
    guarded = security.Guard(
        answered,
        hosts=security.allowed_hosts(bound_host, names),
        any_address=not security.is_loopback(bound_host),
        max_bytes=int(serve.max_upload_mb * 1e6),
        body_timeout=serve.upload_timeout,
    )
    return metrics.Observed(guarded, figures, plain=(_DESCRIPTION, _FILES))


def _get(router: fastapi.APIRouter, path: str, **described: Any) -> Callable[..., Any]:
    """Returns the decorator of what answers GET, and HEAD, of which the server sends no body."""

    def add(answer: Callable[..., Any]) -> Callable[..., Any]:
        router.head(path, include_in_schema=False)(answer)
        return router.get(path, **described)(answer)

    return add


def _search_routes(service: Service, *, can_change: bool) -> fastapi.APIRouter:
    router = fastapi.APIRouter()

    @_get(router, "/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html", headers=_ASK_FIRST)

    @_get(router, "/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(_PAGE / "docs.html", headers=_ASK_FIRST)

    @router.post(
        "/search",
        tags=["search"],
        summary="Search by images",
        responses=_problems(400, 403, 404, 408, 413, 415, 422, 503),
        openapi_extra=_body(
            multipart_form=_FORM_SCHEMA,
            application_json=models.SearchRequest.model_json_schema(),
        ),
    )
    async def search(request: fastapi.Request) -> models.SearchAnswer:
        """Finds the images most similar to an upload, an address, or stored images."""
        started = time.perf_counter()
        with service.searcher.admission():
            query = await intake.read_query(request)
            answer = await service.searcher.search(query)
        return models.SearchAnswer(
            hits=[models.Hit(**hit._asdict()) for hit in answer.hits],
            is_match=answer.is_match,
            threshold=answer.threshold,
            false_match_rate=None if answer.threshold is None else service.false_match_rate,
            is_rough=answer.is_rough,
            doubt=answer.doubt,
            note=None if answer.hits else await service.why_nothing(query.request.filter),
            took_ms=1000 * (time.perf_counter() - started),
        )

    @_get(router, "/info", tags=["server"], summary="Tell what answers")
    async def info() -> models.Info:
        """Tells which model and which index answer, and what may be asked."""
        return await service.info(can_change=can_change)

    @_get(router, "/labels", tags=["images"], summary="List the labels")
    async def labels() -> models.Labels:
        """Lists the labels of the index, the most frequent first."""
        return await service.labels()

    return router


def _image_routes(service: Service) -> fastapi.APIRouter:
    router = fastapi.APIRouter(responses=_problems(404), tags=["images"])

    @_get(router, "/images", summary="List some images", responses=_problems(400))
    async def sample(
        limit: Annotated[int, fastapi.Query(ge=1, le=100)] = 24,
        filter: Annotated[  # noqa: A002 - as in a search
            str | None, fastapi.Query(description=models.FILTER)
        ] = None,
    ) -> models.Images:
        """Returns some images of the index, spread over all of it."""
        found = await service.sample(limit, filter)
        return models.Images(
            images=found, note=None if found else await service.why_nothing(filter)
        )

    @_get(router, "/images/{id}", summary="Describe an image")
    async def image(id: str) -> models.StoredImage:
        """Returns what is known of a stored image."""
        return await service.get(intake.checked_id(id))

    @_get(
        router,
        "/images/{id}/thumbnail",
        summary="Get an image, small",
        response_class=Response,
        responses=pictures.RESPONSES,
    )
    async def thumbnail(id: str, request: fastapi.Request) -> Response:
        """Returns a stored image, small."""
        return pictures.answer(request, await service.thumbnail(intake.checked_id(id)))

    @_get(
        router,
        "/images/{id}/large",
        summary="Get an image, large",
        response_class=Response,
        responses=pictures.RESPONSES,
    )
    async def large(id: str, request: fastapi.Request) -> Response:
        """Returns a stored image as large as a screen, or small where its file is gone."""
        return pictures.answer(request, await service.large(intake.checked_id(id)))

    return router


def _change_routes(service: Service, with_key: Callable[..., Any]) -> fastapi.APIRouter:
    router = fastapi.APIRouter(
        dependencies=[fastapi.Depends(with_key)], responses=_problems(401, 403), tags=["changes"]
    )

    @router.post(
        "/images",
        summary="Add images",
        status_code=201,
        responses=_problems(408, 413, 415, 422, 503),
        openapi_extra=_body(multipart_form=_ADD_SCHEMA),
    )
    async def add(request: fastapi.Request) -> models.Added:
        """Adds images; they are stored and found when this answers."""
        with service.searcher.admission():
            return models.Added(ids=await service.add(await intake.read_addition(request)))

    @router.delete("/images/{id}", summary="Delete an image", responses=_problems(404))
    async def remove(id: str) -> models.Removed:
        """Deletes a stored image; its file stays where it is."""
        return models.Removed(removed=await service.remove(intake.checked_id(id)))

    return router


def _machine_routes(service: Service, figures: metrics.Metrics) -> fastapi.APIRouter:
    router = fastapi.APIRouter(tags=["server"])

    @_get(
        router,
        "/healthz",
        summary="Tell whether it takes requests",
        responses={503: {"model": models.Health | models.Problem}},
    )
    async def healthz(response: Response) -> models.Health:
        """Tells whether the server takes requests: 503 while it stops."""
        response.status_code = 503 if service.is_stopping else 200
        status = "stopping" if service.is_stopping else "ok"
        return models.Health(status=status, num_images=await asyncio.to_thread(service.count))

    @_get(
        router,
        "/metrics",
        summary="Get figures for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics_text() -> Response:
        """Returns the server's figures in Prometheus's format."""
        text = await asyncio.to_thread(figures.text)
        return Response(text, media_type=metrics.CONTENT_TYPE)

    return router
