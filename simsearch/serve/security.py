"""What stands between the network and the application: who may ask, how much, and as whom."""

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

# The page loads its own files and nothing else; nothing frames it; nobody learns where it is.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def is_loopback(host: str) -> bool:
    """Returns whether a server bound to this host is reached from its own machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def allowed_hosts(bound: str, more: Iterable[str]) -> frozenset[str] | None:
    """Returns the names that requests may be addressed to, None for any.

    A page elsewhere on the web can point a name of its own at 127.0.0.1 and so read, through the
    browser of whoever looks at it, what is served there: the `Host` that it sends betrays it.

    Args:
        bound: Host that the server is bound to.
        more: Further names, such as that of a proxy in front.
    """
    names = frozenset(_name(host) for host in more)
    if not names and not is_loopback(bound):
        return None
    return names | {_name(bound), *LOOPBACK_NAMES}


def is_key(sent: str, key: str) -> bool:
    """Returns whether a key is the right one, in a time that tells nothing of either."""
    digests = (hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in (sent, key))
    return hmac.compare_digest(*digests)


class Guard:
    """Refuses before the application sees it: foreign hosts, foreign pages, too much, too slow."""

    def __init__(
        self,
        application: Application,
        *,
        hosts: frozenset[str] | None,
        any_address: bool,
        max_bytes: int,
        body_timeout: float,
    ) -> None:
        """Wraps an ASGI application.

        Args:
            application: What is guarded.
            hosts: Names that requests may be addressed to; None: any.
            any_address: Whether any IP address will do as well. Probes know nothing else, and a
                page elsewhere that points a name of its own here still shows that name.
            max_bytes: Most bytes of a request's body; a larger one is answered at once, and what
                still comes of it thrown away.
            body_timeout: Seconds within which the body must have come.
        """
        self._application = application
        self._hosts = hosts
        self._any_address = any_address
        self._max_bytes = max_bytes
        self._body_timeout = body_timeout

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers a request, or hands it on."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        send = _with_headers(self._lingering(send, receive))
        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal is not None:
            await _answer(send, *refusal)
            return
        await self._application(scope, self._limited(receive), send)

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        if not self._answers_to(_host_name(headers.get("host", ""))):
            return 421, (
                "this server does not answer to that host name; the one who runs it can add it "
                "to serve.allowed_hosts"
            )
        if method not in _SAFE_METHODS and headers.get("sec-fetch-site") == "cross-site":
            return 403, "pages of other sites may not use this server"
        try:
            length = int(headers.get("content-length", "0"))
        except ValueError:
            return 400, "Content-Length must be a number"
        return (413, self._too_large()) if length > self._max_bytes else None

    def _answers_to(self, name: str) -> bool:
        if self._hosts is None or name in self._hosts:
            return True
        return self._any_address and _is_address(name)

    def _limited(self, receive: Receive) -> Receive:
        """Returns `receive` that raises once a body is too long or too slow."""
        total, is_whole = 0, False
        deadline = asyncio.get_running_loop().time() + self._body_timeout

        async def limited() -> Message:
            nonlocal total, is_whole
            if is_whole:  # What comes now is only that the client went away.
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(
                    408, f"the request did not arrive within {self._body_timeout:g} seconds"
                ) from error
            total += len(message.get("body", b""))
            if total > self._max_bytes:
                raise HTTPException(413, self._too_large())
            is_whole = not message.get("more_body", False)
            return message

        return limited

    def _lingering(self, send: Send, receive: Receive) -> Send:
        """Returns `send` that reads on after it has refused a body for its length.

        A connection that is closed while bytes come is reset, and most clients, browsers among
        them, then never see the answer.
        """
        is_refused = False

        async def lingering(message: Message) -> None:
            nonlocal is_refused
            if message["type"] == "http.response.start":
                is_refused = message["status"] == 413
            elif is_refused and not message.get("more_body", False):
                await send({**message, "more_body": True})
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._body_timeout):
                        while (await receive()).get("more_body", False):
                            pass
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        return lingering

    def _too_large(self) -> str:
        return f"the request is larger than {self._max_bytes / 1e6:g} MB"


def _host_name(host: str) -> str:
    """Returns the name in a `Host` header, without port and brackets."""
    if host.startswith("["):
        return _name(host[1:].partition("]")[0])
    return _name(host.partition(":")[0])


def _name(host: str) -> str:
    """Returns a name as it is compared: the dot that may end it changes nothing."""
    return host.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if message["status"] in (408, 413):
                # The rest of the body is still on its way: it is not read to its end.
                headers["Connection"] = "close"
        await send(message)

    return with_headers


async def _answer(send: Send, status: int, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
