"""A server in a thread: a real port, a real index, and the objects behind them at hand."""

import contextlib
import dataclasses
import json
import threading
import urllib.error
import urllib.request
import uuid
from typing import NamedTuple

import simsearch
from simsearch.serve import app
from simsearch.serve import server as server_lib
from simsearch.serve import service as service_lib

HOST = "127.0.0.1"


class Reply(NamedTuple):
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Running(NamedTuple):
    """A server that answers."""

    port: int
    index: simsearch.Index
    service: service_lib.Service

    @property
    def url(self):
        return f"http://{HOST}:{self.port}"

    def ask(self, path, *, method=None, json_body=None, form=None, body=None, headers=None):
        """Sends a request; a form is a list of names with texts, or with (file name, bytes)."""
        headers = dict(headers or {})
        if json_body is not None:
            body, headers["Content-Type"] = json.dumps(json_body).encode(), "application/json"
        elif form is not None:
            body, headers["Content-Type"] = multipart(form)
        request = urllib.request.Request(self.url + path, data=body, headers=headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                return Reply(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, dict(error.headers), error.read())

    def search(self, image=None, **fields):
        """Searches by the bytes of an image, or by JSON where there are none."""
        if image is None:
            return self.ask("/search", json_body=fields)
        form = [("image", ("../../q.png", image))]
        for name, value in fields.items():
            form += [(name, str(one)) for one in (value if isinstance(value, list) else [value])]
        return self.ask("/search", form=form)


@contextlib.contextmanager
def serving(url, *, embedder, api_key="", bound_host=HOST, **serve):
    """Gives a warm server over an index, with fields of its group `serve` changed.

    It listens on this machine only, and takes itself for one that is bound to `bound_host`.
    """
    with simsearch.Index.open(url, embedder=embedder) as index:
        config = dataclasses.replace(index.embedder.config.serve, **serve)
        service = service_lib.Service(index, config=config)
        service.searcher.warm()
        address = server_lib.take_address(HOST, 0)
        port = address.getsockname()[1]
        is_open = threading.Event()
        web_server = server_lib.create(
            app.create(service, api_key=api_key, bound_host=bound_host),
            config=config,
            on_start=is_open.set,
        )
        thread = threading.Thread(target=web_server.run, kwargs={"sockets": [address]})
        thread.start()
        try:
            assert is_open.wait(30)
            yield Running(port, index, service)
        finally:
            web_server.should_exit = True
            thread.join()
            address.close()
            service.close()


def multipart(form):
    """Returns the body of a form and its content type."""
    boundary, parts = uuid.uuid4().hex, []
    for name, value in form:
        file_name, content = value if isinstance(value, tuple) else (None, value.encode())
        extra = f'; filename="{file_name}"\r\nContent-Type: image/png' if file_name else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'
        parts.append(head.encode() + content + b"\r\n")
    parts.append(f"--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"
