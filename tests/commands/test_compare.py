import dataclasses
import json
import types

import numpy as np
import pytest

import simsearch
from simsearch import errors, runs, wiring
from simsearch.commands import compare, discriminant, trained_images
from simsearch.data import splits as splits_lib
from simsearch.data.decoding import images
from simsearch.plots import changed
from simsearch.retrieval import comparison, embed, embedding_cache


@pytest.fixture
def versions(shapes, tmp_path, monkeypatch):
    """Three versions on the shapes; the vectors of one are around its classes, version by noise."""
    overrides = {
        "data.source": "folder",
        "data.path": str(shapes),
        "eval.num_bootstrap": 100,
        "model.discriminant": False,
    }
    other = {"data.path": str(shapes / "train"), "data.split_seed": 3, "data.test_fraction": 0.2}
    for more in ({}, {}, other):
        runs.create(tmp_path / "runs", simsearch.load_config("train", overrides | more))

    def embed_cached(version, split, directory, *, corrupt):
        corrupt.add("bad.png", "empty")
        rng = np.random.default_rng(0)
        noise = 0.3 if version.number else 0.9
        vectors = np.eye(4)[split.labels] + noise * rng.normal(size=(len(split.labels), 4))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return embed.Embedded(vectors.astype(np.float32), np.ones(len(vectors), bool))

    def from_version(version, *, config):
        return types.SimpleNamespace(number=version.number, fingerprint=str(version.number))

    monkeypatch.setattr(embed.Embedder, "from_version", from_version)
    monkeypatch.setattr(embedding_cache, "embed_cached", embed_cached)
    return tmp_path / "runs"


def test_two_versions_are_compared_printed_drawn_and_stored(versions, caplog, monkeypatch):
    blocks, real = [], changed.draw
    monkeypatch.setattr(
        changed, "draw", lambda path, b, **o: blocks.extend(b) or real(path, b, **o)
    )
    with caplog.at_level("INFO", "simsearch"):
        result = simsearch.compare(0, 1, workdir=versions)
    assert result.json_path == versions / "compare_0_1" / "compare.json"
    stored = json.loads(result.json_path.read_text())
    assert (stored["versions"], stored["split"], stored["num_queries"]) == ([0, 1], "test", 15)
    figure = stored["metrics"]["map_at_r"]
    assert figure["difference"] > 0 and figure["low"] <= figure["difference"] <= figure["high"]
    assert f"{figure['difference']:+.4f}" in caplog.text
    assert "queries right by version 1 alone: " in caplog.text
    assert "skipped 1 unreadable image: bad.png (empty)" in caplog.text
    assert len(stored["won"]) == stored["metrics"]["recall_at_1"]["num_won"] > 0
    assert all(change["query"].startswith("test/") for change in stored["won"])
    assert result.picture_path.read_bytes().startswith(b"\x89PNG")
    shown = [each for block in blocks for change in block.changes for each in change.results]
    assert shown and all(0 <= each.probability <= 1 for each in shown)
    assert min(each.score for each in shown) > 0.5, "the nearest of a few classes are near"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_each_version_finds_for_the_queries_that_changed_is_drawn(
    versions, monkeypatch, order
):
    blocks = []
    monkeypatch.setattr(changed, "draw", lambda path, found, **_: blocks.extend(found))
    stored = json.loads(simsearch.compare(*order, workdir=versions).json_path.read_text())
    for block, kind, right in zip(blocks, ("won", "lost"), (1, 0), strict=True):
        listed, count = stored[kind][:8], len(stored[kind])
        told = f"{count}, 8 shown" if count > 8 else str(count)
        assert block.heading == f"{kind}: only version {order[right]} is right ({told})"
        for change, one in zip(block.changes, listed, strict=True):
            assert change.caption == one["query"].split("/")[1]
            found = [one[f"version {number}"].split("/")[1] for number in order]
            assert [each.caption for each in change.results] == found
            assert [each.correct for each in change.results] == [right == 0, right == 1]
    assert blocks[0].changes or blocks[1].changes


def test_each_version_is_looked_at_and_measured_with_its_own_train_images(versions, monkeypatch):
    config = runs.find(versions, 1).config
    copies = dataclasses.replace(config.data, drop_duplicates=not config.data.drop_duplicates)
    runs.create(versions, dataclasses.replace(config, data=copies))
    load, measure = wiring.images.load_splits, comparison.measure

    def load_splits(config):
        splits = load(config)
        rows = np.arange(27 if config.data == copies else 30)
        return splits | {"train": splits_lib.pick(splits["train"], rows)}

    seen = []
    monkeypatch.setattr(wiring.images, "load_splits", load_splits)
    monkeypatch.setattr(discriminant, "warn", lambda version: seen.append(version.number))

    def warn(version, part, split):
        if split == "test":  # The calibration looks at its own.
            seen.append((version.number, len(part.labels)))

    monkeypatch.setattr(trained_images, "warn", warn)

    def measured(*sides, **options):
        seen.extend(len(side.gallery_labels) for side in sides)
        return measure(*sides, **options)

    monkeypatch.setattr(comparison, "measure", measured)
    simsearch.compare(1, 3, workdir=versions)
    assert seen == [1, (1, 15), 3, (3, 15), 30, 27]


def test_another_split_has_a_folder_of_its_own(versions):
    result = simsearch.compare(1, 0, workdir=versions, split="validation")
    assert result.json_path == versions / "compare_1_0" / "validation" / "compare.json"
    assert result.comparison.figures["map_at_r"].difference < 0


def test_versions_with_different_images_are_refused(versions):
    with pytest.raises(errors.UsageError) as caught:
        simsearch.compare(0, 2, workdir=versions)
    message = str(caught.value)
    assert "have different test images, 15 and 6 of them" in message
    assert "data.split_seed: 0 -> 3" in message and "\n" not in message
    assert "data.path: " in message and "data.test_fraction: 0.1 -> 0.2" in message


@pytest.mark.parametrize("given", [None, [], ["3"], ["3", "03"], ["3", "²"], ["1", "2", "3"]])
def test_two_different_numbers_are_needed(given, tmp_path):
    with pytest.raises(errors.UsageError, match="needs --versions=A,B, .* two different versions"):
        compare.main(versions=given, workdir=tmp_path, split="test", overrides={})


def test_what_both_could_read_must_be_of_two_classes(versions, monkeypatch):
    embed_cached = embedding_cache.embed_cached

    def partly(version, split, *rest, **options):
        valid = (split.labels == 0) | (split.labels == 1 + version.number)
        return embed_cached(version, split, *rest, **options)._replace(valid=valid)

    monkeypatch.setattr(embedding_cache, "embed_cached", partly)
    with pytest.raises(errors.RunError, match="the class 'circle' alone"):
        simsearch.compare(0, 1, workdir=versions)


def test_an_image_that_cannot_be_read_any_more_is_grey(versions, monkeypatch):
    blocks, load = [], wiring.images.load_splits
    monkeypatch.setattr(changed, "draw", lambda path, b, **o: blocks.extend(b))

    def unread(row):
        raise images.UnreadFile("cannot be read: no such file")

    def unread_splits(config):
        return {n: dataclasses.replace(s, read=unread) for n, s in load(config).items()}

    monkeypatch.setattr(wiring.images, "load_splits", unread_splits)
    simsearch.compare(0, 1, workdir=versions)
    assert blocks[0].changes and np.ptp(blocks[0].changes[0].image) == 0


def test_what_is_not_there_is_told(versions):
    with pytest.raises(errors.UsageError, match="--split=val must be one of train"):
        simsearch.compare(0, 1, workdir=versions, split="val")
    with pytest.raises(errors.UsageError, match="two different versions are needed, not 1 twice"):
        simsearch.compare(1, 1, workdir=versions)
    with pytest.raises(errors.UsageError, match="--versions=0,9: 9 is not in"):
        simsearch.compare(0, 9, workdir=versions)
    with pytest.raises(errors.UsageError, match="cannot be changed here"):
        simsearch.compare(0, 1, workdir=versions, overrides={"model.backbone": "resnet18"})
