from concurrent import futures

from simsearch.data import corrupt


def test_each_name_counts_once_with_its_first_reason():
    log = corrupt.CorruptLog()
    log.add("b.jpg", "truncated")
    log.add("b.jpg", "something else")
    log.add("a.jpg", "empty")
    assert len(log) == 2
    assert log.reasons == {"a.jpg": "empty", "b.jpg": "truncated"}
    assert log.summary() == "skipped 2 unreadable images: a.jpg (empty), b.jpg (truncated)"


def test_one_image_that_may_be_readable_the_next_time_is_remembered():
    log = corrupt.CorruptLog()
    assert not log.may_pass
    for name, may_pass in (("a.jpg", False), ("b.jpg", True), ("c.jpg", False)):
        log.add(name, "gone", may_pass=may_pass)
    assert log.may_pass


def test_the_summary_stays_one_short_line():
    log = corrupt.CorruptLog()
    assert log.summary() == "no unreadable images"
    for i in range(9):
        log.add(f"{i}.jpg", "empty")
    assert log.summary(num_named=1) == "skipped 9 unreadable images: 0.jpg (empty), and 8 more"


def test_threads_can_add_side_by_side():
    log = corrupt.CorruptLog()
    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: log.add(str(i % 100), "empty"), range(2000)))
    assert len(log) == 100
