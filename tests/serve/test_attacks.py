"""What a stranger may send: each is answered with a 4xx and one line, or as if nothing were."""

import contextlib
import http.client
import http.server
import itertools
import json
import re
import socket
import struct
import threading
import time
import zlib

import pytest

from simsearch.data import fetch
from simsearch.serve import security
from tests.data import bombs, scans
from tests.serve import conftest, live

WITH_KEY = {"X-API-Key": conftest.KEY}


@pytest.fixture(scope="module")
def lime(photos):
    return (photos / "lime" / "01.jpg").read_bytes()


def moving(kind, **options):
    frames = [conftest.draw((200, 30 * i, 40), i, side=64) for i in range(3)]
    return conftest.encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)


def bomb(side):
    """Returns a PNG of a few kilobytes that unfolds to `side` x `side` pixels."""

    def chunk(kind, data):
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    # Each row has a filter byte and a bit for each pixel.
    packer = zlib.compressobj(9)
    rows = [packer.compress(bytes(1 + side // 8)) for _ in range(side)]
    data = b"".join(rows) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


PNG = conftest.encoded(conftest.draw((9, 99, 199), 5))
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"></svg>'
BAD_IMAGES = {
    "nothing": (b"", 422, "empty"),
    "text": (b"hello there, this is text", 415, "no image that is read; send JPEG"),
    "html": (b"<!doctype html><script>alert(1)</script>", 415, "no image that is read"),
    "svg": (SVG, 415, "SVG is not read; save it as PNG"),
    "bare svg": (b"  <svg><script/></svg>", 415, "SVG is not read"),
    "program": (b"\x7fELF\x02\x01\x01" + bytes(100), 415, "no image that is read"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n", 415, "no image that is read"),
    "pdf": (b"%PDF-1.7\n", 415, "no image that is read"),
    "truncated": (PNG[: len(PNG) // 2], 422, "the image cannot be read"),
    "only a head": (PNG[:20], 422, "the image cannot be read"),
    "damaged": (PNG[:60] + bytes(60) + PNG[120:], 422, "the image cannot be read"),
    "jpeg in name only": (b"\xff\xd8\xff" + b"x" * 500, 422, "the image cannot be read"),
    "moving gif": (moving("GIF"), 415, "the image is animated; send one frame"),
    "moving webp": (moving("WEBP"), 415, "the image is animated"),
    "moving png": (moving("PNG"), 415, "the image is animated"),
    "bomb": (bomb(12_000), 422, "12000 x 12000 pixels are more than 4000000"),
    "scan bomb": (scans.repeated(5_000), 422, "it has more than 50 scans"),
    "giant bomb": (bomb(30_000), 422, "exceeds limit"),
    "exif bomb": (bombs.jpeg_of_exif(900_000), 422, "it has more than 16 Exif segments"),
    "comment bomb": (b"P2 99 99 255 1 " + b"#\n" * 400_000, 422, "more than 4000 comments"),
    "chunk bomb": (bombs.png(bombs.chunk(b"abCd") * 70_000), 422, "besides its pixels"),
    "gif bomb": (bombs.gif(b"!\xfe\1a\0" * 180_000), 422, "more than 1000 extensions"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_what_is_no_plain_image_is_refused_in_one_line(server, name):
    content, status, words = BAD_IMAGES[name]
    assert len(content) < 1_000_000
    for reply in (
        server.search(content),
        server.ask("/images", form=[("image", ("x.png", content))], headers=WITH_KEY),
    ):
        assert (reply.status, words in reply.json["detail"]) == (status, True), reply.body
        assert "\n" not in reply.json["detail"] and len(reply.json["detail"]) < 250
    assert server.index.count() == 24


def test_the_content_decides_and_not_the_name(server, lime):
    form = [("image", ("evil.svg", lime))]
    assert server.ask("/search", form=form).status == 200
    still = conftest.encoded(conftest.draw((200, 0, 0), 1), "GIF")
    assert server.search(still).status == 200
    pages = [conftest.draw((9, 9, 9), i) for i in range(2)]
    tiff = conftest.encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert server.search(tiff).status == 200


def test_json_with_thousands_of_wrong_parts_is_refused_before_it_is_read(server):
    for value in ({"ids": [1] * 100_000}, {f"field{i}": 1 for i in range(10_000)}):
        reply = server.ask("/search", json_body=value)
        assert (reply.status, reply.json["detail"]) == (
            413,
            "JSON may have 65536 bytes; send images as forms",
        )
    reply = server.ask("/search", json_body={"ids": [1] * 10_000})
    assert reply.status == 422 and len(reply.json["detail"]) <= 300


@pytest.mark.parametrize("charset", ["punycode", "undefined", "unicode_escape", "utf-16"])
def test_the_client_chooses_no_codec(server, charset):
    body, kind = live.multipart([("image", ("a.png", PNG)), ("label", "x")])
    for path in ("/search", "/images"):
        for part in (f"; charset={charset}", f'; ChArSeT="{charset}"'):
            reply = server.ask(path, body=body, headers=WITH_KEY | {"Content-Type": kind + part})
            assert (reply.status, reply.json["detail"]) == (415, "send text as UTF-8")
    plain, kind = live.multipart([("image", ("a.png", PNG))])
    for part in ("; charset=utf-8", '; Charset="UTF8"', "; charset=us-ascii"):
        reply = server.ask("/search", body=plain, headers={"Content-Type": kind + part})
        assert reply.status == 200


def raw(server, head, body=b"", *, wait=0.0):
    """Sends bytes as they are and returns the status and the seconds until the answer."""
    with socket.create_connection((live.HOST, server.port), timeout=10) as connection:
        started = time.monotonic()
        # A server that has refused reads no further: what it wrote before can still be read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(head.replace("\n", "\r\n").encode() + body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.will_close, "what still comes of the request is no other one"
        content = answer.read()
        return answer.status, json.loads(content)["detail"], time.monotonic() - started


def test_an_upload_over_the_limit_is_refused_before_it_is_sent(server):
    head = (
        "POST /search HTTP/1.1\nHost: localhost\nContent-Type: multipart/form-data; boundary=b\n"
        "Content-Length: 50000000000\n\n"
    )
    status, detail, seconds = raw(server, head)
    assert (status, detail) == (413, "the request is larger than 1 MB")
    assert seconds < 5


def test_an_upload_of_unknown_length_is_cut_at_the_limit(server):
    head = (
        "POST /search HTTP/1.1\nHost: localhost\nContent-Type: {}\nTransfer-Encoding: chunked\n\n"
    )
    part = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    start = b"--b\r\nContent-Disposition: form-data; name=image; filename=a\r\n\r\n"
    for kind, first in (("multipart/form-data; boundary=b", start), ("application/json", b"[")):
        chunk = b"%x\r\n%s\r\n" % (len(first), first)
        status, detail, _ = raw(server, head.format(kind), chunk + part * 20)
        assert (status, detail) == (413, "the request is larger than 1 MB")


@pytest.mark.parametrize("length", ["Content-Length: 20000000", "Transfer-Encoding: chunked"])
def test_a_client_that_reads_only_when_all_is_sent_sees_the_refusal(server, length):
    head = f"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{length}"
    part = b"[" * 20_000_000
    body = part if "Length" in length else b"%x\r\n%s\r\n0\r\n\r\n" % (len(part), part)
    with socket.create_connection((live.HOST, server.port), timeout=10) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413
        assert json.loads(answer.read()) == {"detail": "the request is larger than 1 MB"}


def test_a_request_that_drips_is_given_up(server):
    # As long as the server waits, a place for a request is taken.
    with live.serving(
        server.index.info.url, embedder=server.index.embedder, upload_timeout=0.3
    ) as impatient:
        head = (
            "POST /search HTTP/1.1\nHost: localhost\nContent-Type: application/json\n"
            "Content-Length: 100\n\n{"
        )
        status, detail, seconds = raw(impatient, head)
        assert (status, detail) == (408, "the request did not arrive within 0.3 seconds")
        assert seconds < 5
        assert impatient.service.searcher._under_way == 0


def test_nobody_changes_anything_without_the_key(server, lime):
    form = [("image", ("a.jpg", lime))]
    id_ = server.index.ids()[0]
    wrong = [{}, {"X-API-Key": "wrong"}, {"X-API-Key": conftest.KEY + "x"}, {"X-API-Key": ""}]
    wrong += [{"Authorization": f"Bearer {conftest.KEY[:-1]}"}, {"Authorization": conftest.KEY}]
    for headers in wrong:
        for reply in (
            server.ask("/images", form=form, headers=headers),
            server.ask(f"/images/{id_}", method="DELETE", headers=headers),
        ):
            assert reply.status == 401 and reply.headers["www-authenticate"] == "Bearer"
    assert server.index.count() == 24 and server.index.get(id_)


def test_without_a_key_nobody_changes_anything_at_all(server, lime):
    options = {"embedder": server.index.embedder}
    with live.serving(server.index.info.url, **options) as locked:
        for headers in ({}, WITH_KEY, {"X-API-Key": ""}):
            reply = locked.ask("/images", form=[("image", ("a", lime))], headers=headers)
            assert reply.status == 403 and "SIMSEARCH_API_KEY" in reply.json["detail"]
        id_ = locked.index.ids()[0]
        assert locked.ask(f"/images/{id_}", method="DELETE").status == 403
        assert locked.ask("/info").json["limits"]["changes"] is False
    assert server.index.count() == 24


STRANGE_IDS = [
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "%00",
    "' or '1'='1",
    "a" * 31,
    "A" * 32,
    "g" * 32,
    "0" * 33,
    "x" * 4000,
    "0" * 31 + "%0a",
]


def test_an_id_is_no_path_and_no_filter(server):
    for id_, end in itertools.product(STRANGE_IDS, ("", "/thumbnail", "/large")):
        path = f"/images/{id_}{end}".replace(" ", "%20").replace("'", "%27")
        reply = server.ask(path)
        assert reply.status == 404, path
        assert reply.json["detail"] in ("there is no image with this id", "Not Found")
    delete = server.ask("/images/%27%20or%20%271%27=%271", method="DELETE", headers=WITH_KEY)
    assert delete.status == 404 and server.index.count() == 24
    for field in ("id", "ids", "unlike"):
        value = "' or '1'='1"
        body = {"id": server.index.ids()[0], field: value if field == "id" else [value]}
        assert server.search(**body).status == 404


def test_files_beside_the_page_are_not_served(server):
    assert server.ask("/page/app.js").status == 200
    for path in (
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "../../../main.py",
        "/etc/passwd",
        "",
    ):
        connection = http.client.HTTPConnection(live.HOST, server.port, timeout=10)
        connection.request("GET", f"/page/{path}")
        answer = connection.getresponse()
        assert answer.status in (404, 405) and b"import" not in answer.read(), path
        connection.close()


def test_the_name_of_an_upload_is_only_shown(server, photos):
    image = conftest.encoded(conftest.draw((77, 77, 7), 91))
    form = [("image", ("../../../etc/passwd", image)), ("path", "..\\..//a\x00b/./c\n.png")]
    (id_,) = server.ask("/images", form=form, headers=WITH_KEY).json["ids"]
    assert server.ask(f"/images/{id_}").json["path"] == "ab/c.png"
    assert server.index.file_of(id_) is None
    inside = [("image", ("x", image)), ("path", "cherry/00.jpg")]
    (same,) = server.ask("/images", form=inside, headers=WITH_KEY).json["ids"]
    assert same == id_ and server.index.file_of(id_) is None
    assert server.ask(f"/images/{id_}", method="DELETE", headers=WITH_KEY).status == 200


def test_no_answer_tells_where_things_are_on_the_server(server, lime, photos):
    id_ = server.index.ids()[0]
    replies = [server.ask(path) for path in (
        "/", "/info", "/labels", "/images", f"/images/{id_}", "/healthz", "/metrics", "/nothing",
        "/openapi.json", "/docs", "/page/app.js", f"/images/{id_}/large",
    )]  # fmt: skip
    replies += [server.search(lime, top_k=50), server.search(id=id_), server.search(id="x")]
    replies += [server.search(content) for content, *_ in BAD_IMAGES.values()]
    replies += [
        server.search(lime, filter="path > '' and source is null"),
        server.search(lime[:99]),
    ]
    places = [
        photos.parent.name,
        str(photos.parent.parent),
        "site-packages",
        "/simsearch/",
        "lance:",
    ]
    for reply in replies:
        text = reply.body.decode("latin1") + str(reply.headers)
        assert not [place for place in places if place in text], text[:500]


def test_a_failure_of_the_server_is_one_line_without_its_code(server, lime, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr(server.index.embedder, "embed", fail)
    reply = server.search(lime)
    assert reply.status == 500 and "secret" not in reply.body.decode()
    assert reply.json == {"detail": "the server failed at this; its own messages say why"}
    monkeypatch.undo()
    assert server.search(lime).status == 200
    for _ in range(500):  # It is logged after it is answered.
        if "a secret of the server" in caplog.text:
            break
        time.sleep(0.01)
    assert "a secret of the server" in caplog.text


def test_every_answer_carries_the_security_headers(server, lime):
    replies = [server.ask(path) for path in ("/", "/docs", "/page/style.css", "/info", "/none")]
    replies += [server.search(lime), server.search(b"no image")]
    # Refused by its announced length, nothing of it sent.
    large = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": "2000000"}
    replies.append(server.ask("/search", method="POST", headers=large))
    replies.append(server.ask("/info", headers={"Host": "evil.example"}))
    assert [reply.status for reply in replies] == [200, 200, 200, 200, 404, 200, 415, 413, 421]
    for reply in replies:
        for name, value in security.HEADERS.items():
            assert reply.headers[name.lower()] == value
        assert "server" not in {name.lower() for name in reply.headers}


def test_other_origins_are_let_in_nowhere(server, lime):
    origin = {"Origin": "https://evil.example"}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    preflight = server.ask("/images", method="OPTIONS", headers=origin | asked)
    replies = [preflight, server.ask("/info", headers=origin)]
    assert preflight.status == 405
    for reply in replies:
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]
    foreign = {"Sec-Fetch-Site": "cross-site"}
    form = [("image", ("a", lime))]
    assert server.ask("/search", form=form, headers=foreign).status == 403


def test_the_page_and_its_description_load_nothing_from_elsewhere(server):
    for path in ("/", "/docs"):
        text = server.ask(path).body.decode()
        places = re.findall(r'(?:src|href)="([^"]*)"', text)
        assert places and not [place for place in places if place.startswith(("http", "//"))]
        assert "<style" not in text and "style=" not in text and "onclick" not in text


class Site(http.server.BaseHTTPRequestHandler):
    """A site with an image, and a redirect to another address of this machine."""

    image = b""

    def do_GET(self):
        self.server.seen.append(self.path)
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.2:{self.server.server_port}/image")
        else:
            self.send_response(200)
        body = self.image if self.path == "/image" else b"x" * 2_000_000
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def site(lime):
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    web.seen, Site.image = [], lime
    thread = threading.Thread(target=web.serve_forever, args=(0.01,))
    thread.start()
    yield web
    web.shutdown()
    thread.join()
    web.server_close()


def test_urls_are_not_fetched_unless_that_is_allowed(server, site):
    reply = server.search(url=f"http://127.0.0.1:{site.server_port}/image")
    assert reply.status == 403 and "fetches no images" in reply.json["detail"]
    assert site.seen == []


def test_urls_are_fetched_from_public_addresses_only(server, site, monkeypatch):
    base = f"http://127.0.0.1:{site.server_port}"
    options = {"embedder": server.index.embedder, "allow_url_queries": True}
    with live.serving(server.index.info.url, **options) as fetching:
        for url in (f"{base}/image", "http://[::ffff:127.0.0.1]/", "http://169.254.169.254/latest"):
            reply = fetching.search(url=url)
            assert reply.status == 400 and "private network" in reply.json["detail"], url
        for url in ("file:///etc/passwd", "ftp://example.org/a", "data:image/png;base64,AAAA"):
            assert fetching.search(url=url).status == 400
        assert site.seen == []
        monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.1")
        reply = fetching.search(url=f"{base}/image", top_k=1)
        assert reply.json["hits"][0]["path"] == "lime/01.jpg"
        assert fetching.search(url=f"{base}/away").status == 400
        large = fetching.search(url=f"{base}/large")
        assert large.status == 422 and "larger than 1 MB" in large.json["detail"]
        assert site.seen == ["/image", "/away", "/large"]
