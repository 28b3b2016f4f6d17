import contextlib
import types

import numpy as np
import pytest

import simsearch
from simsearch.commands import discriminant
from simsearch.data import corrupt
from simsearch.retrieval import embed
from tests.commands import tiny
from tests.data import sets


def test_a_training_ends_with_it_and_going_on_does_not_fit_it_again(shapes, tmp_path, monkeypatch):
    fields = tiny.FIELDS | {"data.path": str(shapes), "data.cache_dir": str(tmp_path / "cache")}
    version = simsearch.train(simsearch.load_config("train", fields), workdir=tmp_path / "runs")
    written = version.discriminant_file.read_bytes()
    monkeypatch.setattr(
        discriminant.discriminant_lib, "fit", lambda *a, **b: pytest.fail("it is there already")
    )
    simsearch.resume(version.number, workdir=tmp_path / "runs")
    assert version.discriminant_file.read_bytes() == written


@pytest.mark.parametrize(
    "change",
    [
        {"model.discriminant": False},
        {"model.head": "none"},
        {"data.split": "class"},
        {"train.num_steps": 0, "train.num_epochs": 0},
    ],
)
def test_there_is_none_where_it_is_not_wanted_or_would_harm(change):
    fields = tiny.FIELDS | {"data.path": "images"}
    assert discriminant.is_wanted(simsearch.load_config("train", fields))
    assert not discriminant.is_wanted(simsearch.load_config("train", fields | change))


def test_of_many_images_some_are_drawn(shapes, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(discriminant, "_MAX_IMAGES", 7)
    fields = tiny.FIELDS | {"data.path": str(shapes), "data.cache_dir": str(tmp_path / "cache")}
    with caplog.at_level("INFO", "simsearch"):
        version = simsearch.train(simsearch.load_config("train", fields), workdir=tmp_path / "runs")
    assert "fitting the discriminant to 7 train images" in caplog.text
    assert version.discriminant_file.exists()


@pytest.mark.parametrize("most", [6, 3])
def test_what_is_fitted_to_are_the_readable_train_images(monkeypatch, most):
    seen = {}

    class Embedder:
        def __init__(self, config, variables):
            seen.update(size=config.model.embedding_size, variables=variables)

        def embed_split(self, split, *, corrupt):
            rows = np.array([int(name.split()[1]) for name in split.names])
            return embed.Embedded(rows[:, None], rows % 3 > 0)

    @contextlib.contextmanager
    def best_of(version):
        yield types.SimpleNamespace(restore_variables=lambda step: f"of step {step}"), 4

    fields = tiny.FIELDS | {"data.path": "images", "model.embedding_size": 2}
    version = types.SimpleNamespace(config=simsearch.load_config("train", fields))
    layer, library = np.ones((7, 2)), discriminant.discriminant_lib
    monkeypatch.setattr(discriminant, "_MAX_IMAGES", most)
    monkeypatch.setattr(discriminant.checkpoints, "best_of", best_of)
    monkeypatch.setattr(embed, "Embedder", Embedder)
    monkeypatch.setattr(library, "load", lambda version, *, step: None)
    monkeypatch.setattr(library, "features_of", lambda variables: (variables, layer))
    monkeypatch.setattr(library, "fit", lambda *data, **options: (data, options))
    monkeypatch.setattr(library, "save", lambda version, found: seen.update(found=found))
    splits = {"train": sets.make_split(6, 3), "test": sets.make_split(3, 3)}
    discriminant.store(version, splits, corrupt=corrupt.CorruptLog())
    (features, labels), options = seen.pop("found")
    assert seen == {"size": 7, "variables": "of step 4"}, "the layer before the last one's size"
    assert options == {"trained": layer, "num_classes": 3, "step": 4}
    rows = features[:, 0].tolist()
    assert set(rows) <= {1, 2, 4, 5} and most - 2 <= len(rows) <= most
    np.testing.assert_array_equal(labels, splits["train"].labels[rows])
