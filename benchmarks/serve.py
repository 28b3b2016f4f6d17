"""Load on a real server over loopback: requests a second, latencies, and whether memory grows.

    python benchmarks/serve.py --index=lance:./index [--workdir=runs] [--images=DIR]
        [--clients=64] [--requests=10000]

Starts `main.py --mode=serve` on a free port and sends uploads from `--clients` connections that
each wait for their answer. Beside the batching server it measures the same one with a forward pass
for every request (`serve.max_batch=1`), the two in turn, over the same images.
"""

import argparse
import http.client
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import threading
import time
import uuid
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
EARLY = 1_000  # Requests after which memory is looked at first.


class Load(NamedTuple):
    """What so many requests took."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failures: int


class Server:
    """A process that serves an index."""

    def __init__(self, index, workdir, *flags):
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(ROOT / "main.py"),
                "--mode=serve",
                f"--index={index}",
                f"--workdir={workdir}",
                "--port=0",
                *flags,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for line in self.process.stdout:
            if match := re.match(r"open http://127\.0\.0\.1:(\d+) ", line):
                self.port = int(match[1])
                break
        else:
            sys.exit("the server did not start; its message is above")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def memory_mb(self):
        """Returns the resident memory, megabytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1000

    def stop(self):
        """Stops it and returns its exit code."""
        self.process.terminate()
        return self.process.wait(60)


def body_of(image):
    """Returns a form with an image, and its content type."""
    boundary = uuid.uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="q"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + image + f"\r\n--{boundary}--\r\n".encode(), boundary


def load(port, bodies, *, clients, requests):
    """Sends requests from several connections at once and returns what that took."""
    next_request, lock = iter(range(requests)), threading.Lock()
    seconds, failures = [], []

    def client():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while True:
            with lock:
                number = next(next_request, None)
            if number is None:
                return connection.close()
            body, boundary = bodies[number % len(bodies)]
            started = time.perf_counter()
            headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
            try:
                connection.request("POST", "/search", body, headers)
                answer = connection.getresponse()
                answer.read()
                is_answer = answer.status == 200
            except (OSError, http.client.HTTPException):
                connection.close()  # The next request opens it anew.
                is_answer = False
            took = time.perf_counter() - started
            (seconds if is_answer else failures).append(took)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = time.perf_counter() - started
    if not seconds:
        sys.exit(f"none of {requests} requests was answered")
    ranked = sorted(seconds)
    return Load(
        per_second=len(ranked) / total,
        p50_ms=1000 * statistics.median(ranked),
        p99_ms=1000 * ranked[int(0.99 * (len(ranked) - 1))],
        failures=len(failures),
    )


def compare(options, bodies):
    """Returns the median loads with and without batching, measured in turn."""
    loads = {"batched": [], "one by one": []}
    servers = {
        "batched": Server(options.index, options.workdir, *options.flags),
        "one by one": Server(
            options.index, options.workdir, *options.flags, "--config.serve.max_batch=1"
        ),
    }
    for _ in range(options.rounds):
        for name, server in servers.items():
            loads[name].append(
                load(server.port, bodies, clients=options.clients, requests=options.compared)
            )
    for server in servers.values():
        server.stop()
    return {
        name: Load(*(statistics.median(column) for column in zip(*found, strict=True)))
        for name, found in loads.items()
    }


def main():
    """Measures and prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", default="lance:./index")
    parser.add_argument("--workdir", default="runs")
    parser.add_argument("--images", required=True, help="folder with query images")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--compared", type=int, default=1_000, help="requests of a comparison")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("flags", nargs="*", help="further flags of the server, after --")
    options = parser.parse_args()
    if options.requests <= EARLY:
        parser.error(f"--requests must be above {EARLY}, after which memory is looked at first")
    paths = sorted(p for p in pathlib.Path(options.images).rglob("*") if p.is_file())[:200]
    bodies = [body_of(path.read_bytes()) for path in paths]
    print(f"{platform.processor() or platform.machine()}, {' '.join(sys.argv)}\n")
    print("| | requests/s | p50 ms | p99 ms | failed |\n|---|---|---|---|---|")
    if options.rounds:
        for name, found in compare(options, bodies).items():
            print(row(f"{options.clients} clients, {name}", found), flush=True)
    server = Server(options.index, options.workdir, *options.flags)
    first = load(server.port, bodies, clients=options.clients, requests=EARLY)
    early = server.memory_mb()
    print(row(f"{options.clients} clients, first {EARLY:,}", first), flush=True)
    rest = load(server.port, bodies, clients=options.clients, requests=options.requests - EARLY)
    late = server.memory_mb()
    print(row(f"{options.clients} clients, up to {options.requests:,}", rest))
    print(
        f"\nmemory {early:.1f} MB after {EARLY:,} requests, {late:.1f} MB after "
        f"{options.requests:,}: {100 * (late / early - 1):+.1f} %"
    )
    print(f"exit code after SIGTERM: {server.stop()}")


def row(name, found):
    """Returns a line of the table."""
    return (
        f"| {name} | {found.per_second:.1f} | {found.p50_ms:.0f} | {found.p99_ms:.0f} "
        f"| {found.failures:.0f} |"
    )


if __name__ == "__main__":
    main()
