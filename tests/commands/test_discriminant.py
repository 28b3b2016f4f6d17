import pytest

import simsearch
from simsearch.commands import discriminant
from tests.commands import tiny


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
