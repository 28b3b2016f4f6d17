"""Who may change the index: those with the key, and nobody where no key is set."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import fastapi
from fastapi import security as schemes
from starlette.exceptions import HTTPException

from simsearch.serve import security

_HEADER = schemes.APIKeyHeader(name="X-API-Key", auto_error=False)
_BEARER = schemes.HTTPBearer(auto_error=False)


def create(api_key: str, *, variable: str) -> Callable[..., Awaitable[None]]:
    """Returns the dependency of routes that change something.

    Args:
        api_key: The key; "": nobody may.
        variable: Name of the environment variable that the key came from, for the message.
    """

    async def with_key(
        header: Annotated[str | None, fastapi.Depends(_HEADER)],
        bearer: Annotated[schemes.HTTPAuthorizationCredentials | None, fastapi.Depends(_BEARER)],
    ) -> None:
        if not api_key:
            raise HTTPException(
                403, f"this server changes nothing: it was started without a key in {variable}"
            )
        sent = header or (bearer.credentials if bearer else "")
        if not sent:
            raise HTTPException(
                401,
                "send the key as X-API-Key or as Authorization: Bearer",
                {"WWW-Authenticate": "Bearer"},
            )
        if not security.is_key(sent, api_key):
            raise HTTPException(401, "this is not the key", {"WWW-Authenticate": "Bearer"})

    return with_key
