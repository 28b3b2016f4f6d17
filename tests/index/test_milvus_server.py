import types

import pytest

from simsearch import errors
from simsearch.index import milvus_server
from simsearch.serve import service


@pytest.fixture
def library(monkeypatch):
    """Takes the place of pymilvus, and notes how its client is made."""
    made = []
    found = types.SimpleNamespace(MilvusClient=lambda **options: made.append(options))
    monkeypatch.setattr(milvus_server, "_library", lambda: (found, (OSError,)))
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
    server = milvus_server.Server(url)
    assert server.url == named and service.index_name(server.url) == name
    assert library[0]["token"] == ("me:secret" if "@" in url else "")


def test_a_collection_has_a_plain_name(library):
    with pytest.raises(errors.UsageError, match="must end in a collection's name"):
        milvus_server.Server("http://host:19530/a-b")
    assert not library
