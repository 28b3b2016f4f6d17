"""How a request that is not met is answered: with a status and one line of JSON."""

from collections.abc import Callable
from typing import Any

import fastapi
from fastapi import exceptions
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from simsearch import errors, progress
from simsearch.serve import intake
from simsearch.serve.service import Service

_CLIENT_GONE = 499  # No status of HTTP; it is nginx's word for this.
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def add(application: fastapi.FastAPI, service: Service) -> None:
    """Gives an application an answer to each kind of failure."""
    application.add_exception_handler(HTTPException, _refused)
    application.add_exception_handler(exceptions.RequestValidationError, _invalid)
    application.add_exception_handler(ClientDisconnect, _gone)
    application.add_exception_handler(RuntimeError, _without_index(service))
    application.add_exception_handler(Exception, _failed)


async def _refused(request: fastapi.Request, error: HTTPException) -> JSONResponse:
    headers = error.headers
    if error.status_code == 405 and not _has_route(request, request.method):
        # The route that refused knows of one method, and of a path there are several routes.
        allowed = [method for method in _METHODS if _has_route(request, method)]
        headers = {"Allow": ", ".join(allowed)}
    return JSONResponse({"detail": str(error.detail)}, error.status_code, headers)


def _has_route(request: fastapi.Request, method: str) -> bool:
    scope = {"type": "http", "path": request.scope["path"], "method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)


async def _invalid(_: fastapi.Request, error: exceptions.RequestValidationError) -> JSONResponse:
    return JSONResponse({"detail": intake.one_line(error.errors())}, 422)


async def _gone(_: fastapi.Request, __: ClientDisconnect) -> Response:
    """Answers a client that went away amid its request: nobody reads it, the metrics count it."""
    return Response(status_code=_CLIENT_GONE)


def _without_index(service: Service) -> Callable[..., Any]:
    """Returns what answers where the index is gone or refuses.

    Another model's may have taken its place, its disk be full or its server be down.
    """

    async def without_index(_: fastapi.Request, error: Exception) -> JSONResponse:
        try:
            successor = await service.successor()
        except errors.RunError:
            successor = None  # What refused before refuses this too.
        if successor is not None:
            words = f"the index is now of {successor}; restart the server"
        elif isinstance(error, errors.RunError):
            progress.log.error("%s", error)
            words = "the index refuses this at the moment; the server's own messages say why"
        else:
            raise error
        return JSONResponse({"detail": words}, 503)

    return without_index


async def _failed(_: fastapi.Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "the server failed at this; its own messages say why"}, 500)
