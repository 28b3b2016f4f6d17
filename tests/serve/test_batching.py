import threading
import time
from concurrent import futures

import pytest

from simsearch.serve import batching


class Gated:
    """Doubles numbers, batch by batch, and waits for leave before each batch but the first."""

    def __init__(self):
        self.batches = []
        self.has_begun = threading.Event()
        self.may_go_on = threading.Event()

    def __call__(self, items):
        self.batches.append(list(items))
        self.has_begun.set()
        assert self.may_go_on.wait(5)
        if "bad" in items:
            raise ValueError("bad item")
        return [2 * item for item in items]


@pytest.fixture
def gated():
    return Gated()


@pytest.fixture
def make():
    made = []

    def call(answer, *, max_batch=4, max_waiting=6, **options):
        made.append(
            batching.Batcher(answer, max_batch=max_batch, max_waiting=max_waiting, **options)
        )
        return made[-1]

    yield call
    for one in made:
        one.close()


def values(waiting):
    return [one.result(5) for one in waiting]


def test_an_answer_that_is_an_error_fails_for_its_item_alone(make):
    batcher = make(lambda items: [ValueError(item) if item == 2 else item for item in items])
    one, two, three = batcher.submit([1, 2, 3])
    assert (one.result(5), three.result(5)) == (1, 3)
    with pytest.raises(ValueError, match="2"):
        two.result(5)


def test_a_lone_item_is_answered_without_waiting_for_others(make, gated):
    gated.may_go_on.set()
    assert values(make(gated).submit([3])) == [6]
    assert gated.batches == [[3]]


def test_what_gathers_while_a_batch_is_computed_goes_together(make, gated):
    sizes = []
    batcher = make(gated, on_batch=sizes.append)
    first = batcher.submit([0])
    assert gated.has_begun.wait(5)
    others = [batcher.submit([i])[0] for i in range(1, 6)]
    assert len(batcher) == 5
    gated.may_go_on.set()
    assert values(first) + values(others) == [0, 2, 4, 6, 8, 10]
    assert gated.batches == [[0], [1, 2, 3, 4], [5]] and sizes == [1, 4, 1]


def test_a_full_queue_takes_all_of_a_request_or_nothing(make, gated):
    batcher = make(gated, max_waiting=3)
    first = batcher.submit([0])
    assert gated.has_begun.wait(5)
    kept = batcher.submit([1, 2])
    with pytest.raises(batching.Busy):
        batcher.submit([3, 4])
    kept += batcher.submit([5])
    with pytest.raises(batching.Busy):
        batcher.submit([6])
    gated.may_go_on.set()
    assert values(first + kept) == [0, 2, 4, 10]
    assert sum(gated.batches, []) == [0, 1, 2, 5]


def test_an_error_reaches_those_of_its_batch_and_nobody_else(make, gated):
    gated.may_go_on.set()
    batcher = make(gated)
    with pytest.raises(ValueError, match="bad item"):
        values(batcher.submit(["bad", "good"]))
    assert values(batcher.submit([1])) == [2]


def test_who_went_away_is_not_computed_for(make, gated):
    batcher = make(gated)
    first = batcher.submit([0])
    assert gated.has_begun.wait(5)
    gone, kept = batcher.submit([1, 2])
    assert gone.cancel()
    gated.may_go_on.set()
    assert values([*first, kept]) == [0, 4]
    assert gated.batches == [[0], [2]]
    with pytest.raises(futures.CancelledError):
        gone.result(5)


def test_closing_answers_what_waits_and_takes_nothing_more(gated):
    batcher = batching.Batcher(gated, max_batch=1, max_waiting=9)
    waiting = batcher.submit([1, 2, 3])
    closing = threading.Thread(target=batcher.close)
    closing.start()
    while not batcher._is_closed:
        time.sleep(0.001)
    with pytest.raises(batching.Busy):
        batcher.submit([4])
    gated.may_go_on.set()
    closing.join(5)
    assert values(waiting) == [2, 4, 6]
