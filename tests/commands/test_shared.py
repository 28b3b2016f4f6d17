import contextlib

import pytest

from simsearch import errors
from simsearch.commands import shared
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
