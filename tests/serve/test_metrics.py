import asyncio
import time

import pytest

from simsearch.serve import metrics


@pytest.fixture
def figures():
    return metrics.Metrics(count_images=lambda: 7, count_waiting=lambda: 3)


def lines(figures):
    return figures.text().decode().splitlines()


def test_each_figure_is_of_what_its_name_says(figures):
    for status, seconds in ((200, 0.03), (503, 0.3)):
        started = time.perf_counter() - seconds
        figures.observe_request(method="GET", route="/a", status=status, started=started)
    found = lines(figures)
    for line in (
        "simsearch_images 7.0",
        "simsearch_waiting 3.0",
        "simsearch_refused_busy_total 1.0",
        'simsearch_request_seconds_bucket{le="0.02",route="/a"} 0.0',
        'simsearch_request_seconds_bucket{le="0.2",route="/a"} 1.0',
        'simsearch_request_seconds_count{route="/a"} 2.0',
    ):
        assert line in found


def test_a_request_without_an_answer_is_counted_as_a_failure(figures):
    async def application(scope, receive, send):
        raise RuntimeError

    observed = metrics.Observed(application, figures, plain=())
    with pytest.raises(RuntimeError):
        asyncio.run(observed({"type": "http", "method": "GET", "path": "/"}, None, None))
    line = 'simsearch_requests_total{method="GET",route="unknown",status="500"} 1.0'
    assert line in lines(figures)
