"""A polite end: SIGTERM and Ctrl-C ask the loop to save and stop, a second one ends at once."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator

from simsearch import progress


class Stopped(KeyboardInterrupt):
    """The process was asked to end, and saved what could be saved first.

    No error: like its base class it passes by whoever catches `Exception`.
    """

    def __init__(self, number: int, *, outcome: str, advice: str = "") -> None:
        """Says which signal came.

        Args:
            number: The signal's number.
            outcome: What was saved.
            advice: What to do next.
        """
        text = f"{outcome}; {advice}" if advice else outcome
        super().__init__(f"stopped by {signal.Signals(number).name}: {text}")
        self.number = number
        self.outcome = outcome
        self.exit_code = 128 + number

    def with_advice(self, advice: str) -> "Stopped":
        """Returns the same, with what to do next in place of what was said of it before."""
        return Stopped(self.number, outcome=self.outcome, advice=advice)


class StopRequest:
    """Whether a signal came.

    Attributes:
        number: The signal's number; None as long as none came.
        is_deferred: Whether somebody looks at `number`; else a signal ends the work at once.
        outcome: What is said to be saved where a signal ends the work at once.
    """

    number: int | None = None
    is_deferred: bool = False
    outcome: str = "before the first step, so there was nothing to save"

    def __bool__(self) -> bool:
        return self.number is not None

    def end_deferral(self, *, outcome: str) -> None:
        """Says that nobody looks any more, and ends the work where a signal came till now.

        Args:
            outcome: What is saved by now.
        """
        self.is_deferred, self.outcome = False, outcome
        if self.number is not None:
            raise Stopped(self.number, outcome=outcome)


@contextlib.contextmanager
def on_signals(outer: StopRequest | None = None) -> Iterator[StopRequest]:
    """Yields a request that turns true on SIGTERM or SIGINT; the old handlers come back after.

    Args:
        outer: The request of whoever called and listens already; it is yielded, so that a signal
            that this block leaves unanswered is not lost with it. None: nobody does.
    """
    if outer is not None:
        yield outer
        return
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def ask(number: int, frame: object) -> None:
        # Noted whatever is raised: Python drops what is raised amid a destructor or a callback of
        # a weak reference, and whoever looks next finds it here.
        is_again, request.number = bool(request), request.number or number
        if not request.is_deferred:
            raise Stopped(number, outcome=request.outcome)
        if is_again:
            raise Stopped(number, outcome="again, at once and without saving")

    with _acknowledged(request):
        numbers = (signal.SIGTERM, signal.SIGINT)
        previous = {number: signal.signal(number, ask) for number in numbers}
        try:
            yield request
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _acknowledged(request: StopRequest) -> Iterator[None]:
    """Says at once that a deferred signal came.

    Python calls no handler as long as the main thread is in a compilation, half a minute of silence
    in which a person would press again. The number of a signal reaches a socket without it.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def tell() -> None:
        while reader.recv(1):
            if request.is_deferred:
                progress.log.info(
                    "stopping: what is under way is finished and saved first; again: at once"
                )
                return

    thread = threading.Thread(target=tell, name="signals", daemon=True)
    thread.start()
    previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        writer.close()
        thread.join()
        reader.close()
