"""A Milvus server that takes calls and answers none, as where its disk is full or it is paused."""

import socket
import threading
import urllib.parse

import pytest

from simsearch import errors
from simsearch.index.milvus import server as server_lib
from tests.index import stores


class Relay:
    """A port that passes on what it gets to another one, until it is told to stop answering."""

    def __init__(self, host, port):
        self._to = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._answers = threading.Event()
        self._answers.set()
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hang(self):
        self._answers.clear()

    def close(self):
        self._answers.set()
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._to)
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source, target):
        try:
            while data := source.recv(65_536):
                self._answers.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # The other side is gone.


@pytest.fixture
def relay(tmp_path):
    url = stores.url("milvus", tmp_path)
    parts = urllib.parse.urlsplit(url.removeprefix("milvus:"))
    relay = Relay(parts.hostname, parts.port)
    yield relay, f"milvus:http://127.0.0.1:{relay.port}{parts.path}"
    relay.close()
    stores.drop_all(url)


def test_a_server_that_hangs_is_told_in_time(relay, monkeypatch):
    relay, url = relay
    engine = stores.connect(url)
    engine.upsert([stores.row("a.png")])
    assert engine.count() == 1
    monkeypatch.setattr(server_lib, "_CALL_SECONDS", 2.0)
    relay.hang()
    with pytest.raises(errors.RunError, match="did not answer query within 2 seconds"):
        engine.count()
    with pytest.raises(errors.RunError, match="did not answer upsert within 2 seconds"):
        engine.upsert([stores.row("b.png")])
