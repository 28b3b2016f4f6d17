import asyncio
import json

import pytest

from simsearch.serve import security


async def application(scope, receive, send):
    """Reads the whole body and answers with its length."""
    length, is_over = 0, False
    while not is_over:
        message = await receive()
        length += len(message.get("body", b""))
        is_over = not message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % length})


class Asked:
    """One request to a guard: what came back, and how much of the body was read."""

    def __init__(self, *, method="POST", headers=None, parts=(b"",), pause=0.0, **options):
        self.parts_read, self.status, self.headers, self.body = 0, None, {}, b""
        self.read_when_answered = None
        self._parts, self._pause = list(parts), pause
        settings = {"hosts": None, "any_address": False, "max_bytes": 100, "body_timeout": 5.0}
        settings |= options
        guard = security.Guard(application, **settings)
        named = {"host": "localhost:8000"} | (headers or {})
        scope = {
            "type": "http",
            "method": method,
            "path": "/search",
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        }
        self.error = None
        try:
            asyncio.run(guard(scope, self._receive, self._send))
        except Exception as error:
            self.error = error

    async def _receive(self):
        await asyncio.sleep(self._pause)
        part = self._parts[self.parts_read]
        self.parts_read += 1
        is_more = self.parts_read < len(self._parts)
        return {"type": "http.request", "body": part, "more_body": is_more}

    async def _send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode().lower(): v.decode() for k, v in message["headers"]}
        else:
            self.body += message["body"]
            if message["body"]:
                self.read_when_answered = self.parts_read


def test_a_body_within_the_limit_passes_with_all_headers():
    asked = Asked(parts=[b"x" * 60, b"y" * 40], headers={"content-length": "100"})
    assert (asked.status, asked.body) == (200, b"100")
    for name, value in security.HEADERS.items():
        assert asked.headers[name.lower()] == value
    policy = asked.headers["content-security-policy"]
    of = dict(part.split(maxsplit=1) for part in policy.split(";"))
    assert of.pop("img-src") == "'self' blob: data:" and of["default-src"] == "'none'"
    assert set(of.values()) == {"'none'", "'self'"} and of["frame-ancestors"] == "'none'"
    assert asked.headers["x-frame-options"] == "DENY"
    assert asked.headers["x-content-type-options"] == "nosniff"
    assert not any(name.startswith("access-control") for name in asked.headers)


def test_an_announced_length_over_the_limit_is_refused_before_anything_is_read():
    asked = Asked(parts=[b"x" * 50] * 4, headers={"content-length": "101"})
    assert (asked.status, asked.read_when_answered) == (413, 0)
    assert asked.parts_read == 4, "thrown away, or the connection is reset"
    assert json.loads(asked.body) == {"detail": "the request is larger than 0.0001 MB"}
    assert asked.headers["connection"] == "close"
    assert asked.headers["x-content-type-options"] == "nosniff"


def test_a_length_that_nobody_announced_is_refused_as_soon_as_it_is_known():
    asked = Asked(parts=[b"x" * 60] * 1000)
    assert asked.error.status_code == 413 and asked.parts_read == 2


def test_the_rest_of_a_refused_body_is_not_waited_for_without_end():
    asked = Asked(
        parts=[b"x"] * 1000, headers={"content-length": "1000"}, pause=0.02, body_timeout=0.1
    )
    assert (asked.status, asked.read_when_answered) == (413, 0) and asked.parts_read < 20


def test_a_length_that_is_no_number_is_refused():
    assert Asked(headers={"content-length": "many"}).status == 400


def test_a_body_that_drips_is_given_up():
    asked = Asked(parts=[b"x"] * 100, pause=0.02, body_timeout=0.1)
    assert asked.error.status_code == 408 and asked.parts_read < 20


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("LOCALHOST:8000", 200),
        ("search.example", 200),
        ("search.example.:8000", 200),
        ("search.example..", 421),
        ("192.168.1.2:8000", 421),
        ("evil.example", 421),
        ("evil.example:8000", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ],
)
def test_a_name_that_points_here_from_elsewhere_is_refused(host, status):
    hosts = security.allowed_hosts("127.0.0.1", ["Search.example."])
    assert Asked(method="GET", headers={"host": host}, hosts=hosts).status == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("192.168.1.2", 200),
        ("192.168.1.2:8000", 200),
        ("[fe80::1%eth0]:8000", 200),
        ("0.0.0.0:8000", 200),
        ("search.example", 200),
        ("evil.example", 421),
        ("192.168.1.2.evil.example", 421),
        ("[evil.example]", 421),
        ("3232235778", 421),
        ("", 421),
    ],
)
def test_a_server_for_the_network_can_be_asked_by_any_address(host, status):
    hosts = security.allowed_hosts("0.0.0.0", ["search.example"])
    asked = Asked(method="GET", headers={"host": host}, hosts=hosts, any_address=True)
    assert asked.status == status


def test_a_server_for_the_network_answers_to_any_name_unless_told_which():
    assert security.allowed_hosts("0.0.0.0", []) is None
    assert "search.example" in security.allowed_hosts("0.0.0.0", ["search.example"])
    assert "localhost" in security.allowed_hosts("127.0.0.1", [])


@pytest.mark.parametrize(
    ("method", "site", "status"),
    [
        ("POST", "cross-site", 403),
        ("DELETE", "cross-site", 403),
        ("GET", "cross-site", 200),
        ("POST", "same-origin", 200),
        ("POST", "none", 200),
    ],
)
def test_pages_of_other_sites_cannot_post(method, site, status):
    assert Asked(method=method, headers={"sec-fetch-site": site}).status == status


def test_loopback_is_told_from_the_network():
    assert all(map(security.is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    assert not any(map(security.is_loopback, ["0.0.0.0", "::", "192.168.1.2", "example.org"]))


def test_keys_are_compared_by_digests_of_equal_length(monkeypatch):
    compared = []
    real = security.hmac.compare_digest

    def compare(first, second):
        compared.append((len(first), len(second)))
        return real(first, second)

    monkeypatch.setattr(security.hmac, "compare_digest", compare)
    assert security.is_key("schlüssel", "schlüssel")
    assert not security.is_key("schlüsse", "schlüssel") and not security.is_key("", "schlüssel")
    assert not security.is_key("\udcff", "schlüssel")
    assert set(compared) == {(32, 32)} and len(compared) == 4
