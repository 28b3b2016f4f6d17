import contextlib
import http.server
import socket
import threading
import time

import pytest

from simsearch.data import fetch

SMALL = b"x" * 1000


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append(self.path)
        getattr(self, "answer_" + self.path.strip("/").split("?")[0], self.answer_file)()

    def answer_file(self):
        self.reply(200, {"Content-Length": "1000"}, SMALL)

    def answer_missing(self):
        self.reply(404, {"Content-Length": "0"})

    def answer_announced(self):
        self.reply(200, {"Content-Length": "999999999"}, SMALL)

    def answer_endless(self):
        self.reply(200, {})
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"x" * 65536)

    def answer_short(self):
        self.reply(200, {"Content-Length": "2000"}, SMALL)

    def answer_drip(self):
        with contextlib.suppress(OSError):
            while not self.server.is_over.wait(0.05):
                self.wfile.write(b"H")
                self.wfile.flush()

    def answer_loop(self):
        self.reply(302, {"Location": "/loop"})

    def answer_relative(self):
        self.reply(302, {"Location": "file"})

    def answer_inside(self):
        self.reply(302, {"Location": f"http://127.0.0.2:{self.server.server_port}/secret"})

    def answer_disk(self):
        self.reply(302, {"Location": "file:///etc/passwd"})

    def answer_broken(self):
        self.reply(302, {"Location": "http://["})

    def reply(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.is_over = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.is_over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def read(site, path, *, host="127.0.0.1", **changes):
    options = {"max_bytes": 100_000, "timeout": 5.0, "allow_private": True} | changes
    return fetch.read_url(f"http://{host}:{site.server_port}/{path}", **options)


def test_the_bytes_come_back_also_over_a_redirect(site):
    assert read(site, "file") == read(site, "relative") == SMALL
    assert read(site, "file?a=b c&d=%20", host="localhost") == SMALL
    assert site.seen[-1] == "/file?a=b%20c&d=%20"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("missing", "answered 404"),
        ("announced", "larger than 0.1 MB"),
        ("endless", "larger than 0.1 MB"),
        ("short", "broke off"),
        ("loop", "redirects more than 4 times"),
    ],
)
def test_what_gives_no_file_is_one_line(site, path, words):
    with pytest.raises(fetch.FailedFetch, match=words) as caught:
        read(site, path)
    assert "\n" not in str(caught.value)


def test_https_is_verified_never_guessed(site):
    url = f"https://127.0.0.1:{site.server_port}/file"
    with pytest.raises(fetch.FailedFetch, match="certificate or TLS is not accepted"):
        fetch.read_url(url, max_bytes=10, timeout=5.0, allow_private=True)


def test_a_server_that_drips_is_cut_off_at_the_time_limit(site):
    started = time.monotonic()
    with pytest.raises(fetch.FailedFetch, match=r"within 0\.3 seconds"):
        read(site, "drip", timeout=0.3)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/a.jpg",
        "gopher://example.org",
        "javascript:alert(1)",
        "/etc/passwd",
        "",
        "http://",
        "http://user:secret@example.org/",
        "http://example.org:port/",
        "http://[::1/",
        "http://127.0.0.1/\udcff",
    ],
)
def test_what_is_no_plain_web_address_is_refused(url):
    with pytest.raises(fetch.RefusedUrl) as caught:
        fetch.read_url(url, max_bytes=10, timeout=1.0, allow_private=True)
    assert "\n" not in str(caught.value)


PRIVATE = """
127.0.0.1 127.8.9.10 0.0.0.0 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254
100.64.0.1 224.0.0.1 255.255.255.255 192.0.2.1 198.18.0.1 240.0.0.1
::1 :: fe80::1 fe80::1%eth0 fc00::1 fd12::1 fec0::1 ff02::1 2001:db8::1
::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::10.0.0.1
::127.0.0.1 2002:7f00:1::1 2002:a00:1::1 2001:0:7f00:1::1
64:ff9b:1::7f00:1 64:ff9b:1::8.8.8.8 ::ffff:0:7f00:1 ::ffff:0:a9fe:a9fe 3fff::1
5f00::1 5f00:ffff::8.8.8.8 100:0:0:1::1 192.88.99.1 192.0.0.8 192.0.0.9 192.0.0.170
::ffff:192.88.99.1 64:ff9b::192.0.0.8 2002:c058:6301::1
""".split()


def test_only_public_addresses_are_public():
    assert [address for address in PRIVATE if fetch.is_public(address)] == []
    public = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
    public += ["192.88.98.1", "192.0.1.1"]
    assert all(map(fetch.is_public, public))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0"],
)
def test_private_addresses_are_never_asked_however_they_are_written(site, host):
    before = len(site.seen)
    with pytest.raises((fetch.RefusedUrl, fetch.FailedFetch)):
        read(site, "file", host=host, allow_private=False)
    assert len(site.seen) == before


def test_a_redirect_to_a_private_address_the_disk_or_nowhere_is_refused(site, monkeypatch):
    monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.1")
    assert read(site, "file", allow_private=False) == SMALL
    with pytest.raises(fetch.RefusedUrl, match="private network"):
        read(site, "inside", allow_private=False)
    with pytest.raises(fetch.RefusedUrl, match="must begin with http"):
        read(site, "disk", allow_private=False)
    with pytest.raises(fetch.RefusedUrl, match="redirects to no URL"):
        read(site, "broken", allow_private=False)
    assert "/secret" not in site.seen


def answers(*addresses):
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]


def test_a_name_is_resolved_once_and_that_address_is_asked(site, monkeypatch):
    real, asked = socket.getaddrinfo, []

    def resolve(host, *rest, **options):
        if host != "rebinding.test":
            return real(host, *rest, **options)
        asked.append(host)
        # A second look would lead elsewhere: nothing listens there.
        return answers("127.0.0.1" if len(asked) == 1 else "127.0.0.3")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.1")
    assert read(site, "file", host="rebinding.test", allow_private=False) == SMALL
    assert asked == ["rebinding.test"]


def test_a_name_with_one_private_address_is_refused(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers("8.8.8.8", "10.0.0.1"))
    with pytest.raises(fetch.RefusedUrl, match="private network"):
        fetch.read_url("http://mixed.test/", max_bytes=10, timeout=1.0)


def test_an_address_that_does_not_answer_is_passed_by():
    with socket.create_server(("127.0.0.2", 0)) as server:
        addresses = ["127.0.0.1", "127.0.0.2"]
        port = server.getsockname()[1]
        with fetch._connect(addresses, port, deadline=time.monotonic() + 60) as connected:
            assert connected.getpeername() == ("127.0.0.2", port)
