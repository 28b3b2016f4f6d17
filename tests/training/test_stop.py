import hashlib
import logging
import os
import signal
import threading
import weakref

import pytest

from simsearch import progress
from simsearch.training import stop


def test_a_signal_is_kept_until_somebody_looks():
    before = signal.getsignal(signal.SIGTERM)
    with stop.on_signals() as request:
        request.is_deferred = True
        assert not request
        os.kill(os.getpid(), signal.SIGTERM)
        assert request and request.number == signal.SIGTERM
        with pytest.raises(stop.Stopped, match="SIGINT: again"):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_came_while_it_was_deferred_is_not_forgotten():
    with stop.on_signals() as request:
        request.is_deferred = True
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(stop.Stopped, match="SIGTERM: all is saved"):
            request.end_deferral(outcome="all is saved")
    with stop.on_signals() as request:
        request.is_deferred = True
        request.end_deferral(outcome="all is saved")
        with pytest.raises(stop.Stopped, match="SIGINT: all is saved"):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_is_acknowledged_amid_a_call_that_no_handler_interrupts():
    """As while a step compiles."""
    seen = []
    with stop.on_signals() as request:
        request.is_deferred = True
        handler = logging.Handler()
        handler.emit = lambda record: seen.append((record.getMessage(), request.number))
        progress.log.addHandler(handler)
        level = progress.log.level
        progress.log.setLevel(logging.INFO)
        try:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            hashlib.pbkdf2_hmac("sha256", b"", b"", 5_000_000)
            assert request.number == signal.SIGINT
        finally:
            progress.log.setLevel(level)
            progress.log.removeHandler(handler)
    # The handler had not run yet.
    assert seen == [
        ("stopping: what is under way is finished and saved first; again: at once", None)
    ]


class Something:
    pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_python_drops_amid_a_callback_is_not_forgotten():
    with stop.on_signals() as request:
        something = Something()
        dropped = weakref.ref(something, lambda _: os.kill(os.getpid(), signal.SIGINT))
        del something
        assert dropped() is None and request.number == signal.SIGINT
        request.is_deferred = True
        with pytest.raises(stop.Stopped, match="SIGINT: nothing yet"):
            request.end_deferral(outcome="nothing yet")


def test_a_request_of_the_caller_is_what_a_block_inside_gets():
    with stop.on_signals() as outer:
        with stop.on_signals(outer) as request:
            request.is_deferred = True
            os.kill(os.getpid(), signal.SIGTERM)
        assert outer.number == signal.SIGTERM


def test_before_the_first_step_a_signal_ends_the_work_at_once():
    with stop.on_signals():
        with pytest.raises(stop.Stopped, match="stopped by SIGTERM: .*nothing to save") as caught:
            os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.exit_code == 143


def test_outside_the_main_thread_no_handler_is_set():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work():
        with stop.on_signals() as request:
            seen.append((bool(request), signal.getsignal(signal.SIGTERM) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, True)]
