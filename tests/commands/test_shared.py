import contextlib
import dataclasses

import pytest

from simsearch import errors, hardware, preprocessing, runs
from simsearch.commands import shared
from simsearch.config import files as config_files
from simsearch.data import corrupt as corrupt_lib

UNTRAINED = "resnet18, not trained, from weights"


def test_a_picture_needs_a_place(tmp_path):
    shared.check_output(tmp_path / "new" / "folder" / "a.PNG")
    (tmp_path / "file.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    shared.check_output(tmp_path / "file.png")
    for output, words in (
        ("a.jpg", "must end in .png"),
        ("file.png/a.png", "file.png is a file"),
        ("folder.png", "folder.png is a folder"),
    ):
        with pytest.raises(errors.UsageError, match=words):
            shared.check_output(tmp_path / output)


@pytest.mark.parametrize("on_corrupt", ["skip", "fail"])
def test_only_what_was_skipped_is_told_as_skipped(caplog, on_corrupt):
    log = corrupt_lib.CorruptLog()
    log.add("a.jpg", "empty")
    with contextlib.suppress(errors.RunError):
        log.check(on_corrupt)
    shared.log_corrupt(log)
    told = "skipped 1 unreadable image: a.jpg (empty)"
    assert caplog.messages == ([told] if on_corrupt == "skip" else [])


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, None),
        ({"average_of": [3, 4]}, "the mean of versions 3, 4"),
        ({"ensemble_of": [3, 4]}, "the ensemble of versions 3, 4"),
    ],
)
def test_what_a_version_was_made_of_is_told(facts, words):
    origin = shared.origin(facts)
    assert (origin and str(origin)) == words


@pytest.mark.parametrize(
    ("num_epochs", "num_steps", "head", "sha256", "told"),
    [
        (1, 0, "linear", "1f", ()),
        (0, 1, "linear", "1f", ()),
        (0, 0, "linear", "1f", (f"{UNTRAINED} a.npz, SHA-256 1f", "is random")),
        (0, 0, "linear", "", (f"{UNTRAINED} none (random)",)),
        (0, 0, "none", "1f", (f"{UNTRAINED} a.npz, SHA-256 1f",)),
    ],
)
def test_of_a_network_that_was_not_trained_that_is_told(
    caplog, tmp_path, num_epochs, num_steps, head, sha256, told
):
    fields = {"train.num_epochs": num_epochs, "train.num_steps": num_steps, "model.head": head}
    config = config_files.load_config("train", fields | {"model.backbone": "resnet18"})
    assert shared.is_trained(config) == (not told)
    facts = {"weights": {"source": "a.npz", "sha256": sha256}}
    with caplog.at_level("INFO", "simsearch"):
        shared.log_origin(runs.create(tmp_path, preprocessing.resolve(config), facts=facts))
    for words in ("not trained", "is random"):
        assert (words in caplog.text) == (words in " ".join(told))
    assert all(words in caplog.text for words in told)


def test_the_devices_are_told_and_compiled_programs_kept_with_the_rest(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(hardware, "enable_compilation_cache", seen.append)
    monkeypatch.setattr(hardware, "log_devices", seen.append)
    fields = {"data.cache_dir": str(tmp_path), "train.num_devices": 2}
    shared.start_devices(config_files.load_config("train", fields))
    assert seen == [str(tmp_path / "compiled"), 2]


def test_a_configuration_is_compared_with_what_it_should_be(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to("images")
    fields = {"data.source": "folder", "data.path": "images", "model.weights": "a.npz"}
    expected = config_files.load_config("train", fields | {"train.seed": 1})
    places = {"data.path": str(tmp_path / "link"), "model.weights": str(tmp_path / "a.npz")}
    own = preprocessing.resolve(config_files.load_config("train", fields | places))
    # A size that the expected one leaves to the weights.
    own = dataclasses.replace(own, data=dataclasses.replace(own.data, image_size=99))
    assert expected.data.image_size == 0
    assert shared.changes(own, expected) == ["train.seed: 0 -> 1"]
