"""What HTTP asks of every route: its methods, its conditions, its place behind a proxy."""

import urllib.parse

import pytest

from tests.serve import conftest, live

ID = "{id}"


@pytest.fixture(scope="module")
def id_(server):
    return server.index.ids("path = 'cherry/00.jpg'")[0]


def test_head_is_get_without_its_body(server, id_):
    described = server.ask("/openapi.json").json["paths"]
    paths = [path for path, methods in described.items() if "get" in methods]
    for path in [*paths, "/", "/docs", "/openapi.json", "/page/app.js"]:
        place = path.replace(ID, id_)
        got, head = server.ask(place), server.ask(place, method="HEAD")
        assert (got.status, head.status, head.body) == (200, 200, b""), path
        assert head.headers["content-type"] == got.headers["content-type"]
        if path != "/metrics":  # It counts what asks for it.
            assert int(head.headers["content-length"]) == len(got.body), path
    assert server.ask("/images/none", method="HEAD").status == 404
    assert all("head" not in methods for methods in described.values())
    line = 'simsearch_requests_total{method="HEAD",route="/images/{id}/large",status="200"} 1.0'
    assert line in server.ask("/metrics").body.decode()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/images", "GET, HEAD, POST"),
        ("OPTIONS", f"/images/{ID}", "GET, HEAD, DELETE"),
        ("DELETE", f"/images/{ID}/thumbnail", "GET, HEAD"),
        ("GET", "/search", "POST"),
        ("BREW", "/", "GET, HEAD"),
        ("POST", "/page/app.js", "GET, HEAD"),
    ],
)
def test_a_method_that_a_path_has_not_is_told_which_it_has(server, id_, method, path, allowed):
    reply = server.ask(path.replace(ID, id_), method=method)
    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    assert list(reply.json) == ["detail"]


def test_a_picture_that_a_client_has_is_not_sent_again_however_it_says_so(server, id_):
    path = f"/images/{id_}/thumbnail"
    tag = server.ask(path).headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", W/"more" ,{tag}', "*", f'{tag},"other"'):
        reply = server.ask(path, headers={"If-None-Match": known})
        assert (reply.status, reply.headers["etag"], reply.body) == (304, tag, b""), known
    for known in ('"other"', tag.strip('"'), "", '"*"'):
        assert server.ask(path, headers={"If-None-Match": known}).status == 200, known


def test_no_browser_keeps_an_old_file_of_the_page_beside_a_new_one(server):
    for path in ("/", "/docs", "/page/app.js", "/page/swagger/swagger-ui.css"):
        fresh = server.ask(path)
        assert (fresh.status, fresh.headers["cache-control"]) == (200, "no-cache"), path
    known = {"If-None-Match": fresh.headers["etag"]}
    same = server.ask(path, headers=known)
    assert (same.status, same.headers["cache-control"]) == (304, "no-cache")


def test_the_description_lies_where_the_api_is_whatever_a_proxy_puts_in_front(server):
    (place,) = server.ask("/openapi.json").json["servers"]
    described = "https://photos.example/similar/openapi.json"
    assert urllib.parse.urljoin(described, place["url"]) == "https://photos.example/similar/"


def test_nothing_is_sent_on_to_an_address_that_only_the_server_knows(server):
    for path in ("/images/", "/docs/", "/page"):
        reply = server.ask(path)
        assert reply.status == 404 and "location" not in reply.headers, path


def test_pictures_figures_and_files_are_described_with_types(server):
    paths = server.ask("/openapi.json").json["paths"]
    binary = {"type": "string", "format": "binary"}
    for name in ("thumbnail", "large"):
        content = paths[f"/images/{ID}/{name}"]["get"]["responses"]["200"]["content"]
        assert content == {"image/jpeg": {"schema": binary}}
    content = paths["/metrics"]["get"]["responses"]["200"]["content"]
    assert content == {"text/plain": {"schema": {"type": "string"}}}
    form = paths["/images"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["image"] == {"type": "array", "items": binary, "minItems": 1}


def test_what_is_refused_at_the_door_is_counted(server):
    def count():
        text = server.ask("/metrics").body.decode()
        return {
            status: sum(
                float(line.split()[-1])
                for line in text.splitlines()
                if line.startswith("simsearch_requests_total")
                and f'route="unknown",status="{status}"' in line
            )
            for status in (403, 413, 421)
        }

    before = count()
    form = conftest.encoded(conftest.draw((9, 9, 9), 1))
    large = {"Content-Type": "image/png", "Content-Length": "2000000"}
    replies = [
        server.ask("/info", headers={"Host": "evil.example"}),
        server.ask("/search", body=form, headers={"Sec-Fetch-Site": "cross-site"}),
        server.ask("/search", method="POST", headers=large),
    ]
    assert [reply.status for reply in replies] == [421, 403, 413]
    assert count() == {status: number + 1 for status, number in before.items()}


def test_a_probe_knows_an_address_and_no_name(server):
    options = {"bound_host": "0.0.0.0", "allowed_hosts": "photos.example, other.example"}
    with live.serving(
        server.index.info.url, embedder=server.index.embedder, **options
    ) as for_others:
        for host, status in {
            "10.1.2.3:8000": 200,
            "[fd00::7]:8000": 200,
            "photos.example.": 200,
            "other.example": 200,
            "localhost": 200,
            "evil.example": 421,
            "10.1.2.3.evil.example": 421,
        }.items():
            assert for_others.ask("/healthz", headers={"Host": host}).status == status, host
    for host in ("10.1.2.3:8000", "0.0.0.0"):
        assert server.ask("/healthz", headers={"Host": host}).status == 421, host
