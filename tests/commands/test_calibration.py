import types

import numpy as np
import pytest

from simsearch import runs
from simsearch.commands import calibration
from simsearch.config import files as config_files
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sources
from simsearch.retrieval import embed, embedding_cache
from tests.data import sets


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

    monkeypatch.setattr(embedding_cache, "embed_cached", embed_cached)
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


def test_what_could_be_read_is_calibrated_as_it_is_configured(tmp_path, monkeypatch):
    valid, seen = np.array([True, False, True, True]), {}

    def count(embeddings, labels, **options):
        seen.update(options, rows=embeddings.argmax(1).tolist(), labels=labels.tolist())

    def fit(counts, **options):
        seen.update(options)
        return types.SimpleNamespace(doubt=lambda rate: seen.update(rate=rate))

    embedded = embed.Embedded(np.eye(4, dtype=np.float32), valid)
    monkeypatch.setattr(embedding_cache, "embed_cached", lambda *_, **__: embedded)
    monkeypatch.setattr(calibration.pairs, "count", count)
    monkeypatch.setattr(calibration.calibration_lib, "fit", fit)
    fields = {"max_pairs": 77, "seed": 5, "calibration": "isotonic", "false_match_rate": 0.02}
    config = config_files.load_config("train", {f"eval.{n}": v for n, v in fields.items()})
    assert calibration.of(
        runs.create(tmp_path, config),
        types.SimpleNamespace(fingerprint="one"),
        {"validation": sets.make_split(4, num_classes=2)},
        config=config,
        corrupt=corrupt_lib.CorruptLog(),
    )
    assert seen == {
        "rows": [0, 2, 3],
        "labels": [0, 1, 1],
        "max_pairs": 77,
        "seed": 5,
        "method": "isotonic",
        "weights": "one",
        "rate": 0.02,
    }
