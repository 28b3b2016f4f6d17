import asyncio
import json

import pytest

from simsearch.serve import draining, metrics


def ask(*messages, is_stopping):
    """Returns what is sent for a request that is cancelled after some messages, and the figures."""
    sent = []

    async def application(scope, receive, send):
        for message in messages:
            await send(message)
        raise asyncio.CancelledError

    async def send(message):
        sent.append(message)

    figures = metrics.Metrics(count_images=lambda: 0, count_waiting=lambda: 0)
    drained = draining.Drained(application, is_stopping=lambda: is_stopping)
    observed = metrics.Observed(drained, figures, plain=())
    scope = {"type": "http", "method": "POST", "path": "/search"}
    try:
        asyncio.run(observed(scope, None, send))
    finally:
        ask.figures = figures.text().decode()
    return sent


def test_what_a_stopping_server_cancels_is_answered_and_counted():
    start, body = ask(is_stopping=True)
    assert start["status"] == 503 and (b"retry-after", b"5") in start["headers"]
    assert json.loads(body["body"])["detail"].startswith("the server stops")
    assert 'status="503"} 1.0' in ask.figures and 'status="500"' not in ask.figures


@pytest.mark.parametrize(
    ("messages", "is_stopping"),
    [((), False), (({"type": "http.response.start", "status": 200, "headers": []},), True)],
)
def test_other_cancellations_go_on(messages, is_stopping):
    with pytest.raises(asyncio.CancelledError):
        ask(*messages, is_stopping=is_stopping)
