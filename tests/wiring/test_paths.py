import pathlib

import pytest

from simsearch import wiring
from simsearch.config import files as config_files


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "expected"), [("", ".cache/simsearch"), ("~/kept", "kept"), ("kept", "kept")]
)
def test_each_kind_of_what_is_kept_has_its_folder(home, given, expected):
    config = config_files.load_config("train", {"data.cache_dir": given})
    found = wiring.paths.cache_dir(config, "weights")
    assert pathlib.Path(found).absolute() == home / expected / "weights"


def test_a_path_means_the_same_from_every_folder_and_none_stays_none(home):
    assert wiring.paths.absolute("~/a") == wiring.paths.absolute("a") == str(home / "a")
    assert wiring.paths.absolute("") == ""
