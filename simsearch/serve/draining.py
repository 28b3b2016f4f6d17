"""What a server that stops answers to the requests that its time to drain was too short for."""

import asyncio
from collections.abc import Callable

from starlette.responses import JSONResponse

from simsearch.serve.security import Application, Message, Receive, Send

_DETAIL = "the server stops; send this again in a while"


class Drained:
    """An ASGI application whose cancelled requests are answered, where they have no answer yet."""

    def __init__(self, application: Application, *, is_stopping: Callable[[], bool]) -> None:
        """Wraps an application.

        Args:
            application: Whose requests they are.
            is_stopping: Whether the server stops: what is cancelled otherwise is not its doing.
        """
        self._application = application
        self._is_stopping = is_stopping

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Hands a request on."""
        has_begun = False

        async def noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._application(scope, receive, noting)
        except asyncio.CancelledError:
            if has_begun or not self._is_stopping():
                raise
            answer = JSONResponse({"detail": _DETAIL}, 503, {"Retry-After": "5"})
            await answer(scope, receive, send)
