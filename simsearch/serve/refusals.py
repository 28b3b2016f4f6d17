"""How a request that is not met is answered: with a status and one line of JSON."""

from collections.abc import Callable
from typing import Any

import fastapi
from fastapi import exceptions
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from simsearch.serve import intake
from simsearch.serve.service import Service

_CLIENT_GONE = 499  # No status of HTTP; it is nginx's word for this.


def add(application: fastapi.FastAPI, service: Service) -> None:
    """Gives an application an answer to each kind of failure."""
    application.add_exception_handler(HTTPException, _refused)
    application.add_exception_handler(exceptions.RequestValidationError, _invalid)
    application.add_exception_handler(ClientDisconnect, _gone)
    application.add_exception_handler(RuntimeError, _taken_over(service))
    application.add_exception_handler(Exception, _failed)


async def _refused(_: fastapi.Request, error: HTTPException) -> JSONResponse:
    return JSONResponse({"detail": str(error.detail)}, error.status_code, error.headers)


async def _invalid(_: fastapi.Request, error: exceptions.RequestValidationError) -> JSONResponse:
    return JSONResponse({"detail": intake.one_line(error.errors())}, 422)


async def _gone(_: fastapi.Request, __: ClientDisconnect) -> Response:
    """Answers a client that went away amid its request: nobody reads it, the metrics count it."""
    return Response(status_code=_CLIENT_GONE)


def _taken_over(service: Service) -> Callable[..., Any]:
    """Returns what answers where the index is gone since another model's took its place."""

    async def taken_over(_: fastapi.Request, error: Exception) -> JSONResponse:
        successor = await service.successor()
        if successor is None:
            raise error
        return JSONResponse({"detail": f"the index is now of {successor}; restart the server"}, 503)

    return taken_over


async def _failed(_: fastapi.Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "the server failed at this; its own messages say why"}, 500)
