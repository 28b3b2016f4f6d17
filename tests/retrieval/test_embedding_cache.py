import dataclasses

import numpy as np
import pytest

from simsearch import errors
from simsearch.data import corrupt as corrupt_lib
from simsearch.data.decoding import images
from simsearch.retrieval import embed, embedding_cache
from tests.data import sets
from tests.retrieval.test_embed import CONFIG, VARIABLES


@pytest.fixture(scope="module")
def embedder():
    return embed.Embedder(CONFIG, VARIABLES)


def test_what_was_embedded_is_read_back_with_what_could_not_be_read(embedder, tmp_path):
    split = sets.make_split(5, broken=(1,))
    logs = [corrupt_lib.CorruptLog() for _ in range(3)]
    first = embedding_cache.embed_cached(embedder, split, tmp_path, corrupt=logs[0])
    (path,) = tmp_path.iterdir()
    stamp = path.stat().st_mtime_ns
    again = embedding_cache.embed_cached(embedder, split, tmp_path, corrupt=logs[1])
    assert path.stat().st_mtime_ns == stamp
    np.testing.assert_array_equal(first.embeddings, again.embeddings)
    assert logs[0].reasons == logs[1].reasons != {}
    embedding_cache.embed_cached(embedder, sets.make_split(6), tmp_path, corrupt=logs[2])
    assert len(list(tmp_path.iterdir())) == 2


def test_an_image_that_could_not_be_read_once_is_embedded_the_next_time(embedder, tmp_path):
    whole = sets.make_split(5)

    def read(row):
        if row == 1:
            raise images.UnreadFile("cannot be read: Stale file handle")
        return whole.read(row)

    logs = [corrupt_lib.CorruptLog() for _ in range(2)]
    stale = dataclasses.replace(whole, read=read)
    found = embedding_cache.embed_cached(embedder, stale, tmp_path, corrupt=logs[0])
    assert found.valid.tolist() == [True, False, True, True, True] and logs[0].may_pass
    found = embedding_cache.embed_cached(embedder, whole, tmp_path, corrupt=logs[1])
    assert found.valid.all() and not len(logs[1])


class Counted:
    """Takes an `Embedder`'s place, and counts how often it is asked to embed a split."""

    def __init__(self, fingerprint="f", **data):
        self.fingerprint, self.num_embedded = fingerprint, 0
        self.config = dataclasses.replace(CONFIG, data=dataclasses.replace(CONFIG.data, **data))

    def embed_split(self, split, *, corrupt):
        self.num_embedded += 1
        corrupt.add("image 1", "not an image")
        return embed.Embedded(np.zeros((2, 3), np.float32), np.array([True, False]))


def test_what_another_model_or_way_embedded_is_not_read_back(tmp_path):
    split = sets.make_split(2)
    for i, other in enumerate(
        ({}, {"fingerprint": "e"}, {"interpolation": "bilinear"}, {"max_pixels": 9})
    ):
        for num_embedded in (1, 0):
            model = Counted(**other)
            embedding_cache.embed_cached(model, split, tmp_path, corrupt=corrupt_lib.CorruptLog())
            assert model.num_embedded == num_embedded
        assert len(list(tmp_path.iterdir())) == i + 1


def test_what_is_read_back_may_not_have_been_skipped_where_that_is_a_failure(tmp_path):
    split = sets.make_split(2)
    embedding_cache.embed_cached(Counted(), split, tmp_path, corrupt=corrupt_lib.CorruptLog())
    strict = Counted(on_corrupt="fail")
    with pytest.raises(errors.RunError, match=r"image 1 \(not an image\)"):
        embedding_cache.embed_cached(strict, split, tmp_path, corrupt=corrupt_lib.CorruptLog())
    assert not strict.num_embedded


@pytest.mark.parametrize("left", [0, 100])
def test_embeddings_that_were_cut_off_are_computed_anew(embedder, tmp_path, left):
    split, log = sets.make_split(3), corrupt_lib.CorruptLog()
    first = embedding_cache.embed_cached(embedder, split, tmp_path, corrupt=log)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:left])
    again = embedding_cache.embed_cached(embedder, split, tmp_path, corrupt=log)
    np.testing.assert_array_equal(first.embeddings, again.embeddings)
