"""A small HuggingFace hub on 127.0.0.1, enough for the real clients to load a set or a model.

with hub_server.serve([Repository("datasets", "org/name", {"main": {"README.md": b"…"}})]) as hub:
    environment["HF_ENDPOINT"] = hub.url   # before `datasets` or `huggingface_hub` is imported
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

DATE = "2024-01-01T00:00:00.000Z"


@dataclasses.dataclass(frozen=True)
class Repository:
    """One repository: its kind, "datasets" or "models", its name and its files by revision."""

    kind: str
    name: str
    revisions: Mapping[str, Mapping[str, bytes]]

    def commit(self, revision: str) -> str | None:
        """Returns the commit hash of a branch or hash, None where there is none."""
        for branch, files in self.revisions.items():
            content = sorted((path, hashlib.sha1(data).digest()) for path, data in files.items())
            commit = hashlib.sha1(repr((self.name, branch, content)).encode()).hexdigest()
            if revision in (branch, commit):
                return commit
        return None

    def files(self, revision: str) -> Mapping[str, bytes]:
        """Returns the files of a branch or hash."""
        commit = self.commit(revision)
        return next(files for key, files in self.revisions.items() if self.commit(key) == commit)


@dataclasses.dataclass
class Hub:
    """The running server: its address and the paths that were asked for, in order."""

    url: str
    requests: list[str] = dataclasses.field(default_factory=list)


@contextlib.contextmanager
def serve(repositories: Sequence[Repository]) -> Iterator[Hub]:
    """Serves the repositories until the block ends."""

    class Handler(_Handler):
        repos = {(repo.kind, repo.name): repo for repo in repositories}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Handler.hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Refused(Exception):
    """The request cannot be answered: status and the hub's error code."""


class _Handler(BaseHTTPRequestHandler):
    # HTTP/1.0: a kept-alive connection would be answered after the server was stopped.
    protocol_version = "HTTP/1.0"
    repos: Mapping[tuple[str, str], Repository]
    hub: Hub

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        try:
            if parts[0] == "api":
                self._send_json(self._api(parts[1:], body))
            else:
                self._send_file(parts)
        except _Refused as refusal:
            status, code = refusal.args
            self._send(b"", status=status, headers={"X-Error-Code": code, "X-Error-Message": code})

    def _api(self, parts: list[str], body: bytes) -> object:
        if len(parts) < 3:
            raise _Refused(404, "RepoNotFound")
        repo = self._repo(parts[0], parts[1:3])
        call, rest = (parts[3], parts[4:]) if len(parts) > 3 else ("revision", ["main"])
        revision = rest[0] if rest else "main"
        commit, files = self._revision(repo, revision)
        if call == "revision":
            return _repo_info(repo, commit, files)
        if call == "tree":
            query = parse_qs(urlsplit(self.path).query)
            recursive = query.get("recursive", ["False"])[0].lower() in ("true", "1")
            return _tree(files, "/".join(rest[1:]), recursive)
        if call == "paths-info":
            is_json = "json" in self.headers.get("Content-Type", "")
            wanted = json.loads(body)["paths"] if is_json else parse_qs(body.decode())["paths"]
            entries = _tree(files, "", recursive=True)
            return [entry for entry in entries if entry["path"] in wanted]
        raise _Refused(404, "EntryNotFound")

    def _send_file(self, parts: list[str]) -> None:
        kind, parts = ("datasets", parts[1:]) if parts[0] == "datasets" else ("models", parts)
        if len(parts) < 5 or parts[2] != "resolve":
            raise _Refused(404, "EntryNotFound")
        commit, files = self._revision(self._repo(kind, parts[:2]), parts[3])
        headers = {"X-Repo-Commit": commit}
        path = "/".join(parts[4:])
        if path not in files:
            headers |= {"X-Error-Code": "EntryNotFound", "X-Error-Message": "no such file"}
            self._send(b"", status=404, headers=headers)
            return
        content = files[path]
        headers |= {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "Accept-Ranges": "bytes"}
        span = self.headers.get("Range")
        if span is None:
            self._send(content, headers=headers)
            return
        first, last = span.removeprefix("bytes=").split("-")
        end = min(int(last) + 1, len(content)) if last else len(content)
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
        self._send(content[int(first) : end], status=206, headers=headers)

    def _repo(self, kind: str, name: list[str]) -> Repository:
        try:
            return self.repos[kind, "/".join(name)]
        except KeyError:
            raise _Refused(404, "RepoNotFound") from None

    def _revision(self, repo: Repository, revision: str) -> tuple[str, Mapping[str, bytes]]:
        commit = repo.commit(revision)
        if commit is None:
            raise _Refused(404, "RevisionNotFound")
        return commit, repo.files(revision)

    def _send_json(self, value: object) -> None:
        content = json.dumps(value).encode()
        self._send(content, headers={"Content-Type": "application/json"})

    def _send(self, content: bytes, *, headers: Mapping[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _repo_info(repo: Repository, commit: str, files: Mapping[str, bytes]) -> dict:
    return {
        "id": repo.name,
        "modelId": repo.name,
        "author": repo.name.split("/")[0],
        "sha": commit,
        "lastModified": DATE,
        "createdAt": DATE,
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [{"rfilename": path} for path in sorted(files)],
    }


def _tree(files: Mapping[str, bytes], folder: str, recursive: bool) -> list[dict]:
    inside = f"{folder}/" if folder else ""
    folders, entries = set(), []
    for path, content in sorted(files.items()):
        if not path.startswith(inside):
            continue
        below = path[len(inside) :].split("/")
        depth = len(below) if recursive else min(len(below), 2)
        folders.update(inside + "/".join(below[:i]) for i in range(1, depth))
        if recursive or len(below) == 1:
            oid = hashlib.sha1(content).hexdigest()
            entries.append({"type": "file", "path": path, "size": len(content), "oid": oid})
    if folder and not entries and not folders:
        raise _Refused(404, "EntryNotFound")
    for path in folders:
        oid = hashlib.sha1(path.encode()).hexdigest()
        entries.append({"type": "directory", "path": path, "size": 0, "oid": oid})
    return sorted(entries, key=lambda entry: entry["path"])
