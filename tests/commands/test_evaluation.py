import json
import os
import types

import numpy as np
import pytest

import main
import simsearch
from simsearch import errors, runs
from simsearch.commands import evaluation, shared
from simsearch.data import splits as splits_lib
from simsearch.plots import pictures
from simsearch.retrieval import embed, embedding_cache, figures
from tests.data import sets


@pytest.fixture
def evaluate(shapes, tmp_path, monkeypatch):
    """Returns the function that evaluates a version on the shapes, and what it stored.

    Its vectors lie around its classes; of the pictures that of the query alone is made.
    """
    overrides = {"data.source": "folder", "data.path": str(shapes), "eval.num_bootstrap": 20}
    config = simsearch.load_config("train", overrides | {"model.discriminant": False})
    version = runs.create(tmp_path / "runs", config)
    embedder = types.SimpleNamespace(fingerprint="one")

    def embed_cached(embedder, split, directory, *, corrupt):
        vectors = np.eye(4)[split.labels]
        vectors += np.random.default_rng(0).normal(size=vectors.shape)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return embed.Embedded(vectors.astype(np.float32), np.ones(len(vectors), bool))

    def draw_all(directory, *, query_index, **_):
        (directory / f"query_{query_index}.png").write_bytes(b"")
        return []

    monkeypatch.setattr(embed.Embedder, "from_version", lambda version, *, config: embedder)
    monkeypatch.setattr(embedding_cache, "embed_cached", embed_cached)
    monkeypatch.setattr(shared, "log_origin", lambda version: None)
    monkeypatch.setattr(evaluation, "_class_vectors", lambda version, images: None)
    monkeypatch.setattr(pictures, "draw_all", draw_all)

    def call(query_index=0, *, path=None, weights="one", fields=(), **options):
        embedder.fingerprint = weights
        given = dict(fields) | ({} if path is None else {"data.path": str(path)})
        result = simsearch.evaluate(
            workdir=tmp_path / "runs", query_index=query_index, overrides=given, **options
        )
        drawn = sorted(picture.name for picture in result.json_path.parent.glob("*.png"))
        return json.loads(result.json_path.read_text()), drawn

    call.folder = version.eval_dir
    return call


def copy_of(shapes, folder):
    """Returns a folder of the same images, written anew."""
    for path in shapes.rglob("*.png"):
        copy = folder / path.relative_to(shapes)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
        os.utime(copy, ns=(0, 0))
    return folder


def test_figures_say_which_images_they_are_of(evaluate, shapes, tmp_path, caplog):
    stored, _ = evaluate(split="validation")
    images = stored["images"]
    assert (images["source"], images["path"]) == ("folder", str(shapes))
    assert stored["split"] == "validation" and not any("images of" in n for n in stored["notes"])
    assert evaluate(path=os.path.relpath(shapes), split="validation")[0] == stored
    other = copy_of(shapes, tmp_path / "other")
    with caplog.at_level("INFO", "simsearch"):
        stored, _ = evaluate(path=other, split="validation")
    assert stored["images"]["path"] == str(other)
    assert stored["images"]["fingerprint"] != images["fingerprint"]
    note = f"images of {other}, not of the version's own data.path={shapes}"
    assert note in stored["notes"] and note in caplog.text


def test_a_set_that_lies_in_no_folder_has_no_path():
    config = simsearch.load_config("demo")
    assert evaluation._source(config) == {"source": "digits", "path": None}


def test_queries_stay_until_their_rows_mean_others(evaluate, shapes, tmp_path):
    evaluate(3)
    assert evaluate(4)[1] == ["query_3.png", "query_4.png"]
    assert evaluate(5, split="train")[1] == ["query_5.png"]
    other = copy_of(shapes, tmp_path / "other")
    assert evaluate(6, path=other)[1] == ["query_6.png"]
    assert evaluate(7, path=other, weights="two")[1] == ["query_7.png"]
    for text in ("{", "[]", '{"weights": "two"}'):
        (evaluate.folder / "eval.json").write_text(text)
        assert evaluate(8, path=other, weights="two")[1] == ["query_8.png"]
    assert (evaluate.folder / "train" / "query_5.png").exists()


def test_a_split_is_read_once_since_other_images_may_fail_the_next_time(evaluate, monkeypatch):
    read = []

    def spied(name, embedding):
        def call(first, split, *rest, **options):
            read.append((name, split.fingerprint))
            return embedding(first, split, *rest, **options)

        return call

    for module, name in ((embedding_cache, "embed_cached"), (embed, "embed_pixels")):
        monkeypatch.setattr(module, name, spied(name, getattr(module, name)))
    evaluate(split="train", fields={"eval.pixel_baseline": "True"})
    # Of the train and of the validation split, whose pixels are not measured.
    assert [name for name, _ in read] == ["embed_cached", "embed_cached", "embed_pixels"]
    assert len(set(read)) == 3


def test_what_needs_no_model_is_checked_before_one_is_loaded(evaluate, monkeypatch):
    monkeypatch.setattr(embed.Embedder, "from_version", None)
    for options, words in (
        ({"split": "val"}, "--split=val must be one of train, validation, test"),
        ({"query_index": 99}, "--query_index=99 must be from 0 to 14"),
    ):
        with pytest.raises(errors.UsageError, match=words):
            evaluate(**options)


def test_too_many_similar_images_are_refused_before_work(tmp_path):
    for number in (0, evaluation.MAX_SIMILAR + 1):
        with pytest.raises(errors.UsageError, match=f"={number} must be from 1 to 100"):
            simsearch.evaluate(workdir=tmp_path / "none", num_show_similar=number)
    parser = main.FLAGS["num_show_similar"].parser
    assert (parser.lower_bound, parser.upper_bound) == (1, evaluation.MAX_SIMILAR)


@pytest.mark.parametrize(
    ("num_left_out", "words"),
    [
        (0, "8 queries"),
        (1, "8 queries (1 image is alone in its class)"),
        (2, "8 queries (2 images are alone in their class)"),
    ],
)
def test_images_that_are_no_queries_are_told(num_left_out, words):
    found = figures.Figures({}, {}, None, None, 8, num_left_out, {})
    assert evaluation._queries(found) == words


def test_images_that_could_not_be_read_are_neither_queries_nor_found():
    fields = {"eval.num_bootstrap": 5, "eval.num_triplets": 50}
    config = simsearch.load_config("train", fields)
    splits = {"test": sets.make_split(18), "train": sets.make_split(24)}

    def figures(splits, valid):
        embedded = {}
        for name, split in splits.items():
            rows = np.array([int(each.removeprefix("image ")) for each in split.names])
            vectors = np.random.default_rng(len(name)).normal(size=(24, 4))[rows]
            vectors += 2 * np.eye(4)[split.labels]
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            embedded[name] = embed.Embedded(vectors.astype(np.float32), valid(name, rows))
        return [
            evaluation._figures(config, embedded, splits=splits, split=name).metrics
            for name in splits
        ]

    def is_read(name, rows):
        return ~np.isin(rows, (1, 7, 13) if name == "test" else (0, 9))

    read = {
        name: splits_lib.pick(split, np.flatnonzero(is_read(name, np.arange(len(split.labels)))))
        for name, split in splits.items()
    }
    found = figures(splits, is_read)
    assert found == figures(read, lambda name, rows: np.ones(len(rows), bool))
    # Of the train images themselves none finds itself.
    assert all(metrics["knn_accuracy"].value < 1 for metrics in found)
