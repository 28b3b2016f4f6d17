import types

import pytest

from simsearch import errors
from simsearch.index.milvus import engine as milvus
from simsearch.index.milvus import server as server_lib
from simsearch.serve import service


@pytest.fixture
def library(monkeypatch):
    """Takes the place of pymilvus, and notes how its client is made."""
    made = []
    found = types.SimpleNamespace(MilvusClient=lambda **options: made.append(options))
    monkeypatch.setattr(server_lib, "_library", lambda: (found, (OSError,)))
    return made


@pytest.mark.parametrize(
    ("url", "named", "name"),
    [
        ("http://host:19530", "milvus:http://host:19530/simsearch", "simsearch"),
        ("http://host:19530/", "milvus:http://host:19530/simsearch", "simsearch"),
        ("https://me:secret@host/fruits", "milvus:https://host/fruits", "fruits"),
    ],
)
def test_an_index_is_named_by_its_collection_and_without_credentials(library, url, named, name):
    server = server_lib.Server(url)
    assert server.url == named and service.index_name(server.url) == name
    assert library[0]["token"] == ("me:secret" if "@" in url else "")


def test_a_collection_has_a_plain_name(library):
    with pytest.raises(errors.UsageError, match="must end in a collection's name"):
        server_lib.Server("http://host:19530/a-b")
    assert not library


def segment(number, rows, index=""):
    return types.SimpleNamespace(segment_id=number, num_rows=rows, index_name=index)


class Building:
    """A client of a server that builds an index: what it says at each look."""

    looks = [  # Rows that wait for the index, and the segments that searches read.
        (3000, []),
        (0, []),
        (0, [segment(1, 2000)]),
        (0, [segment(1, 2000, "vector")]),
        (0, [segment(1, 2000, "vector"), segment(2, 1024, "vector")]),
    ]

    def __init__(self, **options):
        self.num_looks = 0

    def flush(self, table, *, timeout):
        pass

    def describe_index(self, table, *, index_name, timeout):
        self.num_looks += 1
        return {"state": "Finished", "pending_index_rows": self.looks[self.num_looks - 1][0]}

    def list_loaded_segments(self, table, *, timeout):
        return self.looks[self.num_looks - 1][1]

    def list_persistent_segments(self, table, *, timeout):
        return [segment(1, 2000), segment(2, 1024), segment(3, 1023)]


def test_a_built_index_is_waited_for_until_it_is_searched(monkeypatch):
    clients = []

    def client(**options):
        clients.append(Building())
        return clients[-1]

    library = types.SimpleNamespace(MilvusClient=client)
    monkeypatch.setattr(server_lib, "_library", lambda: (library, (OSError,)))
    monkeypatch.setattr(milvus.time, "sleep", lambda seconds: None)
    assert milvus.MilvusEngine("http://host:19530").build_index("hnsw") == "HNSW"
    assert clients[0].num_looks == len(Building.looks)
