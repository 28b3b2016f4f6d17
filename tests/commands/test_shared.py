import contextlib
import types

import pytest

from simsearch import errors, preprocessing
from simsearch.commands import shared
from simsearch.config import files as config_files
from simsearch.data import corrupt as corrupt_lib


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
    ("overrides", "sha256", "is_told"),
    [
        ({"train.num_epochs": 0}, "abc", True),
        ({"train.num_epochs": 0}, "", False),
        ({"train.num_epochs": 0, "model.head": "none"}, "abc", False),
        ({}, "abc", False),
    ],
)
def test_a_random_head_on_weights_is_told(caplog, overrides, sha256, is_told):
    config = preprocessing.resolve(config_files.load_config("train", overrides))
    facts = {"weights": {"source": "a.npz", "sha256": sha256}}
    caplog.set_level("INFO", "simsearch")
    shared.log_origin(types.SimpleNamespace(config=config, read_facts=lambda: facts))
    advice = "--mode=train --config.train.num_epochs=0 --config.model.head=none"
    assert (advice in caplog.text) == is_told
