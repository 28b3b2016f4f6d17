"""What a person sees while they wait: a live bar on a terminal, plain lines elsewhere."""

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import tqdm

log = logging.getLogger("simsearch")


class _AboveTheBar(logging.Handler):
    """Writes messages to standard output, above the live bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname}: "
        tqdm.tqdm.write(prefix + record.getMessage(), file=sys.stdout)


def log_to_stdout() -> None:
    """Sends the package's messages to standard output; warnings say that they are."""
    log.handlers = [_AboveTheBar()]
    log.setLevel(logging.INFO)
    log.propagate = False
    # Orbax warns of every checkpoint without metrics; those between validations have none.
    # A write that fails in the background comes back as an error; its threads would print it too.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.unraisablehook = lambda unraisable: log.debug("%r", unraisable.exc_value)


def bar(*, total: int, description: str, unit: str, initial: int = 0) -> tqdm.tqdm:
    """Returns a bar that is drawn on a terminal only, with rate and time left."""
    return tqdm.tqdm(
        total=total,
        initial=initial,
        desc=description,
        unit=unit,
        disable=not sys.stderr.isatty(),
        dynamic_ncols=True,
        leave=False,
        smoothing=0.05,
    )


def track(items: Iterable[Any], *, total: int, description: str, unit: str) -> Iterator[Any]:
    """Yields the items under a bar."""
    with bar(total=total, description=description, unit=unit) as shown:
        for item in items:
            yield item
            shown.update()
