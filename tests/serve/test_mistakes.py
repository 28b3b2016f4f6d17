"""What a client gets wrong is told to it in one line, and never counted as the server's failure."""

import pytest


@pytest.fixture(scope="module")
def plum(photos):
    return (photos / "plum's" / "02.jpg").read_bytes()


def test_a_filter_compares_with_so_many_values_and_no_more(server, plum):
    many = ", ".join(map(repr, map(str, range(199))))
    allowed = f"label in ({many}) or label = 'lime'"
    assert len(server.search(plum, filter=allowed).json["hits"]) == 8
    for longer in (f"{allowed} or size > 3", f"not label in ({many}, 'a', 'b')"):
        reply = server.search(plum, filter=longer)
        assert reply.status == 422 and "at most 200 values" in reply.json["detail"]
