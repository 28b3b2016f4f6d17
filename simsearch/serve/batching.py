"""Requests that wait at the same time become one call of the model."""

import collections
import concurrent.futures
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Busy(Exception):
    """More is waiting than the queue holds."""


class _Waiting(NamedTuple):
    item: Any
    answer: concurrent.futures.Future


class Batcher:
    """A thread that answers whatever waits, together.

    It never waits for a batch to fill: while one batch is computed the next one gathers, so that
    batches grow with the load and a lone request is answered at once.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Any]], Sequence[Any]],
        *,
        max_batch: int,
        max_waiting: int,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Starts the thread.

        Args:
            answer: From the items of a batch to one answer for each.
            max_batch: Most items of a batch.
            max_waiting: Items that may wait; `submit` refuses more.
            on_batch: Told the size of each batch.
        """
        self._answer = answer
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._on_batch = on_batch
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, items: Sequence[Any]) -> list[concurrent.futures.Future]:
        """Returns the futures of the answers to several items: all of them wait, or none.

        Raises:
            Busy: Where the queue has no room for them.
        """
        waiting = [_Waiting(item, concurrent.futures.Future()) for item in items]
        with self._changed:
            if self._is_closed or len(self._waiting) + len(items) > self._max_waiting:
                raise Busy
            self._waiting.extend(waiting)
            self._changed.notify()
        return [one.answer for one in waiting]

    def close(self) -> None:
        """Answers what waits, and ends the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._take():
            # Who has stopped waiting needs no answer.
            batch = [one for one in batch if one.answer.set_running_or_notify_cancel()]
            if not batch:
                continue
            self._on_batch(len(batch))
            try:
                answers = self._answer([one.item for one in batch])
            except Exception as error:  # Each of the waiting is told; the thread lives on.
                for one in batch:
                    one.answer.set_exception(error)
                continue
            for one, answer in zip(batch, answers, strict=True):
                if isinstance(answer, Exception):
                    one.answer.set_exception(answer)
                else:
                    one.answer.set_result(answer)

    def _take(self) -> list[_Waiting]:
        """Returns the next batch, in the order of arrival; an empty one at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            size = min(self._max_batch, len(self._waiting))
            return [self._waiting.popleft() for _ in range(size)]
