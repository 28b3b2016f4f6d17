import errno
import json
import pathlib
import stat
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from simsearch import errors, runs
from simsearch.config import files as config_files

CONFIG = config_files.load_config("demo")


def test_versions_count_up_and_hold_their_configuration(tmp_path):
    first, second = (runs.create(tmp_path / "runs", CONFIG) for _ in range(2))
    assert (first.number, second.number) == (0, 1)
    assert second.path == tmp_path / "runs" / "version_1"
    assert second.config == CONFIG
    assert runs.find(tmp_path / "runs") == second
    assert runs.find(tmp_path / "runs", 0) == first


def test_processes_that_start_together_get_different_versions(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: runs.create(tmp_path, CONFIG).number, range(16)))
    assert sorted(made) == list(range(16))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"version_{i}" for i in range(16)
    )


def test_a_missing_version_says_which_there_are(tmp_path):
    with pytest.raises(errors.UsageError, match=f"found.*--config train --workdir={tmp_path}/no"):
        runs.find(tmp_path / "nowhere")
    runs.create(tmp_path, CONFIG)
    with pytest.raises(errors.UsageError, match="--version=3 is not in .*; there: 0"):
        runs.find(tmp_path, 3)


def test_what_is_missing_of_several_versions_is_told_by_their_own_flag(tmp_path):
    with pytest.raises(errors.UsageError, match="no version found"):
        runs.find_all(tmp_path / "nowhere", [0, 1])
    made = [runs.create(tmp_path, CONFIG) for _ in range(2)]
    assert runs.find_all(tmp_path, [1, 0]) == made[::-1]
    with pytest.raises(errors.UsageError, match="^--versions=0,9: 9 is not in .*; there: 0, 1$"):
        runs.find_all(tmp_path, [0, 9])
    with pytest.raises(errors.UsageError, match="--versions=7,0,9: 7, 9 are not in"):
        runs.find_all(tmp_path, [7, 0, 9])


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.UsageError, match="must be a folder that can be written"):
        runs.create(tmp_path / "file" / "runs", CONFIG)


def test_a_version_is_trained_by_one_process_at_a_time(tmp_path):
    version = runs.create(tmp_path, CONFIG)
    with version.lock():
        with pytest.raises(errors.UsageError, match="another process"):
            with version.lock():
                pass
    with version.lock():
        assert version.path.exists()


def test_written_text_is_whole_and_leaves_nothing_beside_it(tmp_path):
    path = pathlib.Path(tmp_path) / "a.json"
    runs.write_text(path, "one")
    runs.write_text(path, "two")
    assert path.read_text() == "two"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("left", [0, 30, 200])
def test_arrays_that_were_cut_off_are_told_in_one_line(tmp_path, left):
    path = tmp_path / "a.npz"
    options = {"names": ["a"], "advice": "delete it"}
    assert runs.read_arrays(path, **options) is None
    runs.write_arrays(path, a=np.arange(5), b=np.ones(3))
    assert sorted(runs.read_arrays(path, **options)) == ["a", "b"]
    with pytest.raises(errors.RunError, match="a.npz is of another release .*; delete it"):
        runs.read_arrays(path, ["c"], advice="delete it")
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(errors.RunError, match="a.npz is damaged; delete it"):
        runs.read_arrays(path, **options)


def test_what_the_disk_would_not_give_is_not_called_damaged(tmp_path, monkeypatch):
    runs.write_arrays(tmp_path / "a.npz", a=np.arange(5))

    def failing(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("builtins.open", failing)
    with pytest.raises(errors.RunError, match="a.npz cannot be read: Input/output error$"):
        runs.read_arrays(tmp_path / "a.npz", ["a"], advice="delete it")


def test_a_write_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        runs.write_text(tmp_path / "a.json", "\ud800")
    assert list(tmp_path.iterdir()) == []


def test_only_names_that_are_given_are_versions(tmp_path):
    for name in ("version_007", "version_-1", "version_3a", "version_2"):
        (tmp_path / name).mkdir()
    assert runs.find(tmp_path).path == tmp_path / "version_2"


def test_others_may_read_a_version(tmp_path):
    mode = runs.create(tmp_path, CONFIG).path.stat().st_mode
    assert mode & stat.S_IROTH


def test_other_local_fields_are_stored_and_numbers_that_are_none_are_not(tmp_path):
    version = runs.create(tmp_path, CONFIG)
    moved = config_files.override(CONFIG, {"data.num_threads": CONFIG.data.num_threads + 3})
    version.move(moved)
    assert version.config == moved != CONFIG
    with pytest.raises(ValueError, match="not JSON compliant"):
        runs.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_facts_are_kept(tmp_path):
    assert runs.create(tmp_path, CONFIG).read_facts() == {}
    facts = {"class_names": ["a"]}
    assert runs.create(tmp_path, CONFIG, facts=facts).read_facts() == facts


def test_a_version_tells_the_flags_that_name_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert runs.create("runs", CONFIG).flags == "--version=0"
    assert runs.create("other", CONFIG).flags == "--workdir=other --version=0"
    assert runs.create("my runs", CONFIG).flags == "--workdir='my runs' --version=0"


def test_a_version_from_before_a_field_has_its_default(tmp_path):
    version = runs.create(tmp_path, CONFIG)
    path = version.path / "config.json"
    stored = json.loads(path.read_text())
    del stored["optimizer"]["backbone_multiplier"], stored["eval"]
    path.write_text(json.dumps(stored))
    assert version.config.optimizer.backbone_multiplier == 1.0
    assert version.config.eval == config_files.load_config("train").eval
    assert version.config.model == CONFIG.model
    del stored["train"]["ema_decay"], stored["augment"]["erase_probability"]
    stored["loss"] = {"name": "triplet", "miner": "semi_hard", "margin": 0.3}
    path.write_text(json.dumps(stored))
    loss = version.config.loss
    weights = {name: weight for name, weight in vars(loss.terms).items() if weight}
    assert weights == {"triplet": 1.0}
    assert (loss.triplet.miner, loss.triplet.margin) == ("semi_hard", 0.3)
    assert version.config.train.ema_decay == version.config.augment.erase_probability == 0.0
    del stored["data"]["drop_duplicates"], stored["train"]["patience"]
    del stored["model"]["discriminant"], stored["model"]["padding"]
    path.write_text(json.dumps(stored))
    found = version.config
    assert (found.data.drop_duplicates, found.train.patience) == (False, 0)
    assert (found.model.discriminant, found.model.padding) == (False, "torch")
    path.write_text("[]")
    with pytest.raises(errors.UsageError, match="must be a group"):
        _ = version.config
