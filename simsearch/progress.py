"""What a person sees while they wait: a live bar on a terminal, a line now and then elsewhere."""

import io
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import tqdm

log = logging.getLogger("simsearch")

_LINE_SECONDS = 30


def epoch(number: float) -> str:
    """Returns an epoch in words: fractions of early ones, never an exponent."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


class _AboveTheBar(logging.Handler):
    """Writes messages to standard output, above the live bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname}: "
        tqdm.tqdm.write(prefix + record.getMessage(), file=sys.stdout)


def log_to_stdout() -> None:
    """Sends the package's messages to standard output; warnings say that they are."""
    # A file's name may hold bytes that no encoding knows: said with escapes rather than not at all.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    log.handlers = [_AboveTheBar()]
    log.setLevel(logging.INFO)
    log.propagate = False
    # Orbax warns of every checkpoint without metrics; those between validations have none.
    # A write that fails in the background comes back as an error; its threads would print it too.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.unraisablehook = lambda unraisable: log.debug("%r", unraisable.exc_value)


class _Lines(tqdm.tqdm):
    """The same as a line in the log every half minute, where there is no terminal to draw on."""

    monitor_interval = 0  # No thread of its own: lines come when something is done.

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **options,
            file=io.StringIO(),
            miniters=1,
            mininterval=_LINE_SECONDS,
            delay=_LINE_SECONDS,
            bar_format="{desc}: {n_fmt} of {total_fmt}, {remaining} left, {rate_fmt}{postfix}",
        )

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        if msg is None:
            self.desc = self.desc.removesuffix(": ")  # Which a new description ends with.
            log.info("%s", str(self))


def bar(*, total: int, description: str, unit: str, initial: int = 0) -> tqdm.tqdm:
    """Returns a bar with rate and time left: live on a terminal, elsewhere now and then a line."""
    options = {"total": total, "initial": initial, "desc": description, "unit": unit}
    options |= {"leave": False, "smoothing": 0}
    if sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns:
        return tqdm.tqdm(**options, dynamic_ncols=True)
    return _Lines(**options)


def restart(shown: tqdm.tqdm) -> None:
    """Starts the clock of a bar anew: what took its time until now comes once."""
    shown.initial = shown.n
    shown.start_t = shown.last_print_t = time.time()


def track(items: Iterable[Any], *, total: int, description: str, unit: str) -> Iterator[Any]:
    """Yields the items under a bar."""
    with bar(total=total, description=description, unit=unit) as shown:
        for item in items:
            yield item
            shown.update()
