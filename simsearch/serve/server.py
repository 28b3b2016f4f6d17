"""A server's life: the address is taken, the model made warm, the port opened, and drained."""

import contextlib
import errno
import math
import os
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from simsearch import errors, index, progress
from simsearch.config import serving as config_serving
from simsearch.serve import app, security, service

_KEEP_ALIVE = 15  # Seconds that an idle connection stays open.


class _Server(uvicorn.Server):
    """Tells when it begins to listen and when it begins to stop."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        on_start: Callable[[], None],
        on_stop: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._on_start = on_start
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    def handle_exit(self, sig: int, frame: object) -> None:
        self._on_stop()
        super().handle_exit(sig, frame)


def take_address(host: str, port: int) -> socket.socket:
    """Returns a socket that is bound and does not listen yet: whoever connects is refused.

    Args:
        host: Name or address.
        port: 0: any free one.

    Raises:
        UsageError: Where the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # Named, or asyncio does not know it for TCP, and each answer waits for the last one's ACK.
        taken = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise errors.UsageError(
            f"--host={host} is no address of this machine; try 127.0.0.1, or 0.0.0.0 for all"
        ) from error
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind(address)
    except OSError as error:
        taken.close()
        raise _taken(host, port, error) from error
    return taken


def _taken(host: str, port: int, error: OSError) -> errors.UsageError:
    other = "--host" if error.errno == errno.EADDRNOTAVAIL else "--port"
    return errors.UsageError(
        f"--host={host} --port={port} cannot be had ({error.strerror}); choose another {other}"
    )


def serve(opened: index.Index, address: socket.socket, *, host: str) -> None:
    """Answers requests until SIGTERM or Ctrl-C; what is under way then is still answered.

    Args:
        opened: The index; it stays open.
        address: As `take_address` returns it.
        host: That it is bound to.

    Raises:
        UsageError: Where another program began to listen there meanwhile.
    """
    config = opened.embedder.config.serve
    answering = service.Service(opened, config=config)
    try:
        # Before the port opens: the first request is answered as fast as any.
        answering.searcher.warm()
        application = app.create(
            answering, api_key=_api_key(config.api_key_variable), bound_host=host
        )
        _run(application, answering, address, host=host)
    finally:
        answering.close()


def _api_key(variable: str) -> str:
    """Returns the key for changes, "" for none; no client could send space around it."""
    given = os.environ.get(variable, "")
    key = given.strip()
    if given and not key:
        progress.log.warning("%s is blank, which is no key: nothing can be changed", variable)
    return key


def create(
    application: security.Application,
    *,
    config: config_serving.Serve,
    on_start: Callable[[], None] = lambda: None,
    on_stop: Callable[[], None] = lambda: None,
) -> uvicorn.Server:
    """Returns the web server of an application, not started.

    Args:
        application: What answers.
        config: The configuration's `serve` group.
        on_start: Called when it begins to listen.
        on_stop: Called when a signal tells it to stop.
    """
    settings = uvicorn.Config(
        application,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(config.drain_timeout),
        # Also a connection on which nothing is asked costs memory.
        limit_concurrency=4 * config.max_waiting,
    )
    return _Server(settings, on_start=on_start, on_stop=on_stop)


def _run(
    application: security.Application,
    answering: service.Service,
    address: socket.socket,
    *,
    host: str,
) -> None:
    name = f"[{host}]" if ":" in host else host
    port = address.getsockname()[1]
    url = f"http://{name}:{port}"

    def announce() -> None:
        if not security.is_loopback(host):
            any_name = (
                ""
                if answering.config.allowed_hosts
                else (
                    ", under any host name: serve.allowed_hosts can name those that it answers to"
                )
            )
            progress.log.warning(
                "whoever reaches %s can search and see all its images%s", url, any_name
            )
        progress.log.info("open %s (API: %s/docs); Ctrl-C stops it", url, url)

    def stop() -> None:
        if not answering.is_stopping:
            progress.log.info("stopping: what is under way is still answered")
        answering.is_stopping = True

    server = create(application, config=answering.config, on_start=announce, on_stop=stop)
    with _signals_that_only_stop():
        try:
            server.run(sockets=[address])
        except OSError as error:
            # Two may bind a port while neither listens: the other one was warm first.
            if error.errno != errno.EADDRINUSE:
                raise
            raise _taken(host, port, error) from error


@contextlib.contextmanager
def _signals_that_only_stop() -> Iterator[None]:
    """Lets nothing come of a signal once it was obeyed: uvicorn raises it again at its end."""
    before = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
