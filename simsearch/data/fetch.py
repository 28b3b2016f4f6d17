"""Bytes behind a URL that a stranger may have chosen: public addresses only, limited, pinned."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import queue
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator

from simsearch import errors

_PORTS = {"http": 80, "https": 443}
_MAX_REDIRECTS = 4
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 1 << 16
_HEADERS = {
    "User-Agent": "simsearch",
    "Accept": "image/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
}
# IPv6 addresses that carry an IPv4 address in their last 32 bits: NAT64, and the old compatible
# form. Mapped, 6to4 and Teredo addresses are unwrapped by the ipaddress module.
_CARRIERS = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))
# What not every Python's table knows: local translators (RFC 8215, RFC 7915), documentation,
# providers' own segments (RFC 9602), dummies (RFC 9780), what once led to 6to4 (RFC 7526), and a
# block of single services on one's own way (RFC 6890).
_LOCAL = tuple(
    map(
        ipaddress.ip_network,
        """64:ff9b:1::/48 ::ffff:0:0:0/96 3fff::/20 5f00::/16 100:0:0:1::/64
        192.88.99.0/24 192.0.0.0/24""".split(),
    )
)


class RefusedUrl(errors.UsageError):
    """A URL that is not asked for: another scheme, a private address, or no URL at all."""


class FailedFetch(errors.RunError):
    """A URL that gave no bytes: unreachable, too slow, too large, or an error of its server."""


def read_url(url: str, *, max_bytes: int, timeout: float, allow_private: bool = False) -> bytes:
    """Returns the bytes behind an http or https URL.

    The name is resolved once and the connection goes to that very address, so that a name which
    changes its mind between check and use gains nothing. Every redirect is checked the same way.
    Proxies of the environment are not used: they would resolve the name themselves.

    Args:
        url: What to read.
        max_bytes: A longer answer is given up as soon as it is known to be longer.
        timeout: Seconds for everything: names, redirects, and the last byte.
        allow_private: Whether addresses of this machine and its own network may be asked, as for
            a person at their own command line.

    Raises:
        RefusedUrl: The URL, or one it redirects to, may not be asked for.
        FailedFetch: Nothing, too much or an error came back.
    """
    deadline = time.monotonic() + timeout
    for _ in range(_MAX_REDIRECTS + 1):
        parts = _parts(url)
        host, port = parts.hostname, parts.port or _PORTS[parts.scheme]
        try:
            addresses = _resolve(host, port, deadline=deadline)
            if not allow_private and not all(map(is_public, addresses)):
                raise RefusedUrl(
                    f"{host} is an address of this machine or of a private network; "
                    "give the URL of a public image"
                )
            redirect, content = _get(parts, addresses, deadline=deadline, max_bytes=max_bytes)
        except TimeoutError as error:
            raise FailedFetch(f"{host} gave no whole answer within {timeout:g} seconds") from error
        except (OSError, http.client.HTTPException) as error:
            raise FailedFetch(f"{host} could not be read: {_reason(error)}") from error
        if redirect is None:
            return content
        url = _joined(url, redirect)
    raise FailedFetch(f"{host} redirects more than {_MAX_REDIRECTS} times")


def is_public(address: str) -> bool:
    """Returns whether an IP address, IPv4 or IPv6, belongs to the public Internet.

    Addresses that carry another one inside (mapped, NAT64, 6to4, Teredo) are judged by both.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # An IPv6 address with a zone, such as fe80::1%eth0, is link-local.
        return False
    inner = [parsed]
    if isinstance(parsed, ipaddress.IPv6Address):
        inner += [parsed.ipv4_mapped, parsed.sixtofour, *(parsed.teredo or ())]
        if any(parsed in network for network in _CARRIERS):
            inner.append(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF))
        if parsed.ipv4_mapped or parsed in _CARRIERS[0]:
            inner.remove(parsed)  # The carrier itself is reserved; what counts is inside.
    return all(map(_is_global, filter(None, inner)))


def _is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if any(address in network for network in _LOCAL):
        return False
    is_site_local = getattr(address, "is_site_local", False)
    return address.is_global and not address.is_multicast and not is_site_local


def _joined(url: str, redirect: str) -> str:
    try:
        return urllib.parse.urljoin(url, redirect)
    except ValueError as error:
        raise RefusedUrl(f"this redirects to no URL: {error}") from error


def _parts(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url.strip())
        _ = parts.port  # Parsed here: a port that is no number raises.
        url.encode()  # As does a byte of the command line that is no UTF-8.
    except ValueError as error:
        raise RefusedUrl(f"this is no URL: {error}") from error
    if parts.scheme not in _PORTS:
        raise RefusedUrl(f"a URL must begin with http:// or https://, not {url[:30]!r}")
    if not parts.hostname or parts.username is not None or parts.password is not None:
        raise RefusedUrl("a URL must name a host, and no user or password")
    return parts


def _resolve(host: str, port: int, *, deadline: float) -> list[str]:
    """Returns the addresses of a name; a thread does it, since nothing else ends a slow one."""
    answers: queue.SimpleQueue = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put(list(dict.fromkeys(entry[4][0] for entry in found)))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=_left(deadline))
    except queue.Empty as error:
        raise TimeoutError from error
    if isinstance(answer, Exception):
        raise OSError("the name is not known") from answer
    return answer


def _get(
    parts: urllib.parse.SplitResult, addresses: list[str], *, deadline: float, max_bytes: int
) -> tuple[str | None, bytes]:
    """Returns where the answer redirects to, None where it does not, and the content."""
    connected = _connect(addresses, parts.port or _PORTS[parts.scheme], deadline=deadline)
    # A server that drips a byte now and then never lets a socket's own timeout end.
    with _cut_at(deadline, connected) as is_cut:
        try:
            return _exchange(parts, connected, max_bytes=max_bytes)
        except (OSError, http.client.HTTPException) as error:
            if is_cut():
                raise TimeoutError from error
            raise
        finally:
            connected.close()


def _exchange(
    parts: urllib.parse.SplitResult, connected: socket.socket, *, max_bytes: int
) -> tuple[str | None, bytes]:
    connection = http.client.HTTPConnection(parts.hostname, parts.port or _PORTS[parts.scheme])
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connected = context.wrap_socket(connected, server_hostname=parts.hostname)
    connection.sock = connected
    target = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = f"{host}:{parts.port}" if parts.port else host
    with contextlib.closing(connection):
        headers = _HEADERS | {"Host": netloc.encode("idna").decode() if host[0] != "[" else netloc}
        connection.request("GET", target + (f"?{query}" if query else ""), headers=headers)
        with contextlib.closing(connection.getresponse()) as answer:
            if answer.status in _REDIRECTS and answer.getheader("Location"):
                return answer.getheader("Location"), b""
            if answer.status != 200:
                raise FailedFetch(f"{parts.hostname} answered {answer.status}")
            return None, _read(answer, parts.hostname, max_bytes)


def _read(answer: http.client.HTTPResponse, host: str, max_bytes: int) -> bytes:
    too_large = FailedFetch(f"the file at {host} is larger than {max_bytes / 1e6:g} MB")
    if answer.length is not None and answer.length > max_bytes:
        raise too_large
    parts, size = [], 0
    while chunk := answer.read1(_CHUNK):
        size += len(chunk)
        if size > max_bytes:
            raise too_large
        parts.append(chunk)
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)
    return b"".join(parts)


def _connect(addresses: list[str], port: int, *, deadline: float) -> socket.socket:
    failure: OSError = OSError("it has no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=_left(deadline))
        except OSError as error:
            failure = error
    raise failure


@contextlib.contextmanager
def _cut_at(deadline: float, connected: socket.socket) -> Iterator[Callable[[], bool]]:
    """Shuts a socket down at a moment; gives the function that says whether it did."""
    fired = threading.Event()
    # Another handle on the same connection: wrapping the first one in TLS detaches it.
    handle = connected.dup()

    def cut() -> None:
        fired.set()
        with contextlib.suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(_left(deadline), cut)
    timer.daemon = True
    timer.start()
    try:
        yield fired.is_set
    finally:
        timer.cancel()
        handle.close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "its certificate or TLS is not accepted"
    if isinstance(error, http.client.HTTPException):
        return "it does not speak HTTP, or broke off"
    return error.strerror or str(error) or type(error).__name__
