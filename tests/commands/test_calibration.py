import types

import numpy as np
import pytest

from simsearch import config_files, runs
from simsearch.commands import calibration
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sources
from simsearch.retrieval import embed


@pytest.mark.parametrize(
    ("labels", "valid", "words"),
    [
        ([], [], "there are 0"),
        ([0], [True], "there is 1"),
        ([0, 0, 1], [False] * 3, "there are 0"),
        ([0, 0, 1], [False, False, True], "there is 1"),
        ([0, 0, 1], [True, False, True], "there are 0 and 2"),
        ([0, 0, 1], [True, True, False], "there are 2 and 0"),
    ],
)
def test_too_few_validation_images_give_no_calibration(
    labels, valid, words, tmp_path, monkeypatch, caplog
):
    def embed_cached(embedder, split, directory, *, corrupt):
        assert len(split.labels) > 1, "there is nothing to embed"
        return embed.Embedded(np.eye(3, dtype=np.float32), np.array(valid))

    monkeypatch.setattr(embed, "embed_cached", embed_cached)
    split = sources.Split(np.array(labels, np.int32), ("a", "b"), ["0", "1", "2"], bytes, "")
    config = config_files.load_config("train")
    found = calibration.of(
        runs.create(tmp_path, config),
        types.SimpleNamespace(fingerprint="one"),
        {"validation": split},
        config=config,
        corrupt=corrupt_lib.CorruptLog(),
    )
    assert found is None and "scores are shown without a probability: " in caplog.text
    assert words in caplog.text
