"""A server's life: from the address that is taken to the last answer."""

import asyncio
import contextlib
import dataclasses
import http.client
import json
import signal
import socket
import threading
import time

import pytest

from simsearch import errors
from simsearch.commands import serve as serve_command
from simsearch.serve import server as server_lib
from tests.index import model
from tests.serve import conftest, kill, live, process


def can_connect(port):
    try:
        socket.create_connection((live.HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_taken_address_is_nobody_elses_and_not_open_yet():
    with server_lib.take_address(live.HOST, 0) as taken:
        port = taken.getsockname()[1]
        assert not can_connect(port)
        taken.listen()
        assert can_connect(port)
        with pytest.raises(errors.UsageError, match=f"--port={port} cannot be had"):
            server_lib.take_address(live.HOST, port)
    with pytest.raises(errors.UsageError, match="choose another --host"):
        server_lib.take_address("192.0.2.1", port)  # Of documents alone (RFC 5737).


def test_an_answer_does_not_wait_until_the_last_one_is_acknowledged():
    async def accepted():
        """Returns whether asyncio lets small packets out at once of a connection that comes."""
        loop = asyncio.get_running_loop()
        is_prompt = loop.create_future()

        class Listening(asyncio.Protocol):
            def connection_made(self, transport):
                connection = transport.get_extra_info("socket")
                is_prompt.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()

        address = server_lib.take_address(live.HOST, 0)
        async with await loop.create_server(Listening, sock=address):
            _, writer = await asyncio.open_connection(*address.getsockname())
            writer.close()
            return await asyncio.wait_for(is_prompt, 10)

    assert asyncio.run(accepted())


def test_an_address_that_another_server_opened_first_is_told_in_one_line(server):
    with server_lib.take_address(live.HOST, 0) as first:
        port = first.getsockname()[1]
        with server_lib.take_address(live.HOST, port) as second:
            first.listen()
            with pytest.raises(errors.UsageError, match=f"--port={port} cannot be had"):
                server_lib.serve(server.index, second, host=live.HOST)


def test_an_address_of_another_machine_is_refused():
    for host in ("203.0.113.7", "no such host", "x" * 300):
        with pytest.raises(errors.UsageError, match="--host=") as caught:
            server_lib.take_address(host, 0)
        assert "\n" not in str(caught.value)


def test_a_missing_index_is_told_with_how_to_make_one(tmp_path):
    with pytest.raises(errors.UsageError, match="--mode=index --images=DIR"):
        serve_command.serve(f"lance:{tmp_path / 'none'}", port=0, workdir=tmp_path)


def test_the_model_is_warm_before_the_port_opens(server, monkeypatch):
    events = []

    class Web:
        def run(self, sockets):
            events.append(("open", can_connect(sockets[0].getsockname()[1])))

    real = server.index.embedder.embed

    def noting(images, *, batch_size=None):
        events.append(("embed", len(images)))
        return real(images, batch_size=batch_size)

    monkeypatch.setattr(server.index.embedder, "embed", noting)
    monkeypatch.setattr(server_lib, "create", lambda *_, **__: Web())
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    threads = set(threading.enumerate())
    with server_lib.take_address(live.HOST, 0) as address:
        server_lib.serve(server.index, address, host=live.HOST)
    assert set(threading.enumerate()) <= threads
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert events == [("embed", 1), ("embed", 2), ("embed", 4), ("open", False)]


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        (f" {conftest.KEY}\r\n", 404, []),
        (" \n", 403, ["SIMSEARCH_API_KEY is blank, which is no key: nothing can be changed"]),
        ("", 403, []),
    ],
)
def test_a_key_has_no_line_end(server, monkeypatch, caplog, given, status, said):
    sent = []

    class Web:
        def __init__(self, application, **_):
            self._application = application

        def run(self, sockets):
            headers = [(b"host", b"localhost"), (b"x-api-key", conftest.KEY.encode())]
            scope = {
                "type": "http",
                "method": "DELETE",
                "path": f"/images/{'0' * 32}",
                "query_string": b"",
                "headers": headers,
            }
            asyncio.run(self._application(scope, self._receive, self._send))

        async def _receive(self):
            return {"type": "http.request", "body": b""}

        async def _send(self, message):
            sent.append(message)

    monkeypatch.setattr(server_lib, "create", Web)
    monkeypatch.setenv("SIMSEARCH_API_KEY", given)
    with server_lib.take_address(live.HOST, 0) as address:
        server_lib.serve(server.index, address, host=live.HOST)
    assert sent[0]["status"] == status
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == said


@pytest.mark.parametrize(
    ("host", "names", "said"),
    [("127.0.0.1", "", []), ("0.0.0.0", "", [True]), ("0.0.0.0", "photos.example", [False])],
)
def test_a_server_for_the_network_says_who_reaches_it(
    server, monkeypatch, caplog, host, names, said
):
    class Web:
        def __init__(self, *_, on_start, **__):
            self.run = lambda sockets: on_start()

    monkeypatch.setattr(server_lib, "create", Web)
    config = dataclasses.replace(server.service.config, allowed_hosts=names)
    monkeypatch.setattr(server.service, "config", config)
    with server_lib.take_address(live.HOST, 0) as address:
        server_lib._run(None, server.service, address, host=host)
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert ["under any host name: serve.allowed_hosts" in text for text in warnings] == said
    assert all("whoever reaches http://0.0.0.0:" in text for text in warnings)


def begin(started, image):
    """Sends the first half of a search; returns the connection and what is left to send."""
    body, kind = live.multipart([("image", ("a.jpg", image))])
    slow = http.client.HTTPConnection(live.HOST, started.port, timeout=30)
    slow.putrequest("POST", "/search")
    slow.putheader("Content-Type", kind)
    slow.putheader("Content-Length", str(len(body)))
    slow.endheaders(body[:500])
    time.sleep(0.3)
    return slow, body[500:]


def test_a_process_serves_and_drains_when_it_is_told_to_stop(url, workdir, photos):
    image = (photos / "lime" / "01.jpg").read_bytes()
    with process.serving(url, workdir, SIMSEARCH_API_KEY=conftest.KEY) as started:
        answer = started.search(image, top_k=1).json
        assert answer["hits"][0]["path"] == "lime/01.jpg" and answer["is_match"]
        assert answer["threshold"] == 0.998
        slow, rest = begin(started, image)
        started.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 20
        while can_connect(started.port):
            assert time.monotonic() < deadline
        slow.send(rest)
        late = slow.getresponse()
        assert late.status == 200 and b"lime/01.jpg" in late.read()
        slow.close()
        assert started.process.wait(30) == 0
        assert "Traceback" not in started.process.stderr.read()


def test_what_is_not_done_when_the_time_to_drain_is_over_is_told_so(url, workdir, photos):
    image = (photos / "lime" / "01.jpg").read_bytes()
    with process.serving(url, workdir, "--config.serve.drain_timeout=1") as started:
        endless, _ = begin(started, image)
        started.process.send_signal(signal.SIGTERM)
        late = endless.getresponse()
        assert late.status == 503
        assert json.loads(late.read())["detail"].startswith("the server stops")
        endless.close()
        assert started.process.wait(10) == 0
        assert "Traceback" not in started.process.stderr.read()


def test_connections_on_which_nothing_is_asked_are_limited(server):
    def is_full():
        return running.ask("/healthz").status == 503

    url, embedder = server.index.info.url, server.index.embedder
    with (
        live.serving(url, embedder=embedder, max_waiting=1) as running,
        contextlib.ExitStack() as idle,
    ):
        assert not is_full()
        for _ in range(4):
            idle.enter_context(socket.create_connection((live.HOST, running.port), timeout=10))
        model.wait_until(is_full)


def test_what_was_acknowledged_survives_sigkill(url, workdir):
    counts = kill.run(url, workdir, rounds=1, seed=1)
    assert counts["added"] > 0 and counts["unanswered"] > 0


def test_a_server_in_a_thread_of_a_program_does_not_touch_its_signals(server):
    before = signal.getsignal(signal.SIGTERM)
    with live.serving(server.index.info.url, embedder=server.index.embedder) as other:
        assert other.ask("/healthz").status == 200
        assert signal.getsignal(signal.SIGTERM) is before
