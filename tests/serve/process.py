"""A server as a user starts it: a process of its own, which can be stopped and killed."""

import contextlib
import re
import subprocess
from typing import NamedTuple

from tests import cli
from tests.serve import live


class Started(NamedTuple):
    """A process that serves; asks like `live.Running`."""

    process: subprocess.Popen
    port: int

    url = live.Running.url
    ask = live.Running.ask
    search = live.Running.search


def start(url, workdir, *flags, **environment):
    """Starts a server and returns the process, which may not serve yet."""
    return subprocess.Popen(
        cli.command("--mode=serve", f"--index={url}", f"--workdir={workdir}", "--port=0", *flags),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=cli.environment(**environment),
    )


def port_of(process):
    """Returns the port that a server says it listens on, once it does."""
    for line in process.stdout:
        if match := re.match(r"open http://127\.0\.0\.1:(\d+) ", line):
            return int(match[1])
    raise AssertionError(process.stderr.read())


@contextlib.contextmanager
def serving(url, workdir, *flags, **environment):
    """Gives a server that answers, and kills it in the end."""
    with start(url, workdir, *flags, **environment) as process:
        try:
            yield Started(process, port_of(process))
        finally:
            process.kill()
