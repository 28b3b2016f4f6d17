import pytest

from simsearch import errors
from simsearch.commands import shared


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
