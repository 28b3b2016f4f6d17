import json
import shutil

import pytest

from simsearch import runs
from simsearch.retrieval import calibration, report
from simsearch.training import records
from tests import cli


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def trained(shapes, cache, tmp_path_factory):
    """A working directory with one trained version, and what the training printed."""
    workdir = tmp_path_factory.mktemp("work")
    done = cli.run(*cli.tiny(shapes, cache), "--workdir=runs", cwd=workdir)
    assert done.returncode == 0, done.stderr
    return workdir, done


def test_training_prints_what_happens_and_leaves_a_whole_version(trained):
    workdir, done = trained
    assert "30 train, 12 validation, 15 test images of 3 classes" in done.stdout
    assert "epoch 1/2" in done.stdout and "epoch 2/2" in done.stdout
    assert "validation map_at_r" in done.stdout
    assert "run: runs/version_0" in done.stdout
    assert done.stderr == ""
    version = runs.find(workdir / "runs", 0)
    assert version.config.model.embedding_size == 16
    found = records.read(version.metrics_file)
    assert {record["split"] for record in found} == {"train", "validation"}
    assert list((version.path / "tensorboard" / "train").iterdir())
    assert sorted(path.name for path in version.checkpoint_dir.iterdir())[-1] == "6"
    calibrated = calibration.load(version)
    assert calibrated.num_same + calibrated.num_different == 12 * 11


def test_eval_prints_writes_and_draws(trained):
    workdir, _ = trained
    flags = ["--mode=eval", "--query_index=3", "--num_show_similar=4", "--seed=1"]
    done = cli.run(*flags, cwd=workdir)
    assert done.returncode == 0, done.stderr
    folder = workdir / "runs" / "version_0" / "eval"
    stored = json.loads((folder / "eval.json").read_text())
    assert stored["num_queries"] == 15
    everything = {name for names in report.GROUPS.values() for name in names}
    assert everything - set(stored["metrics"]) <= {"classifier_accuracy"}
    for name, figure in stored["metrics"].items():
        if figure["low"] is not None:
            assert figure["low"] <= figure["value"] <= figure["high"]
        assert f"{figure['value']:.4f}" in done.stdout, name
    assert set(stored["per_class_recall_at_1"]) == {"circle", "square", "triangle"}
    for name in (
        "query_3",
        "random_queries",
        "curves",
        "confusion",
        "embedding_map",
        "reliability",
    ):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"{name}.png" in done.stdout
    # The colours alone tell the classes apart.
    assert stored["metrics"]["recall_at_1"]["value"] > 0.6


def test_eval_of_another_split_has_its_own_folder_and_embeds_nothing_twice(trained):
    workdir, _ = trained
    folder = workdir / "runs" / "version_0" / "eval"
    test = cli.run("--mode=eval", "--version=0", cwd=workdir)
    assert test.returncode == 0, test.stderr
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "cache").iterdir()}
    # The validation split was embedded when training ended.
    assert len(before) == 3
    done = cli.run("--mode=eval", "--split=validation", "--version=0", cwd=workdir)
    assert done.returncode == 0, done.stderr
    stored = json.loads((folder / "validation" / "eval.json").read_text())
    assert stored["num_queries"] == 12 and stored["split"] == "validation"
    after = {path.name: path.stat().st_mtime_ns for path in (folder / "cache").iterdir()}
    assert after == before


def test_a_finished_version_is_not_trained_again(trained):
    workdir, _ = trained
    before = sorted((workdir / "runs/version_0/checkpoints").iterdir())
    done = cli.run("--mode=train", "--version=0", cwd=workdir)
    assert done.returncode == 0 and "already trained" in done.stdout
    assert sorted((workdir / "runs/version_0/checkpoints").iterdir()) == before


def test_download_writes_folders_that_train_alike(trained, shapes, tmp_path):
    flags = ["--config.data.source=folder", f"--config.data.path={shapes}"]
    done = cli.run("--mode=download", *flags, f"--output={tmp_path / 'a copy'}")
    assert done.returncode == 0, done.stderr
    assert "57 images written" in done.stdout
    assert f"folder '--config.data.path={tmp_path / 'a copy'}'`" in done.stdout
    for path in shapes.rglob("*.png"):
        split = {"val": "val"}.get(path.parts[-3], path.parts[-3])
        copy = tmp_path / "a copy" / split / path.parent.name / path.name
        assert copy.read_bytes() == path.read_bytes()


def test_the_untrained_network_is_evaluated_and_unreadable_images_are_named(
    shapes, cache, tmp_path
):
    images = shutil.copytree(shapes, tmp_path / "images")
    (images / "val" / "circle" / "0.png").write_bytes(b"")
    (images / "test" / "square" / "text.jpg").write_text("not an image")
    flags = cli.tiny(images, cache, "--config.train.num_epochs=0")
    done = cli.run(*flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "WARNING: skipped 1 unreadable image: val/circle/0.png" in done.stdout
    done = cli.run("--mode=eval", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "test split, 15 queries" in done.stdout and "text.jpg" in done.stdout
    done = cli.run("--mode=eval", "--config.data.on_corrupt=fail", "--version=0", cwd=tmp_path)
    assert done.returncode == 1 and "text.jpg" in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_names_the_modes_and_flags():
    done = cli.run("--help")
    assert done.returncode == 0
    for word in ("--mode=eval", "--config.group.field=value", "num_show_similar", "--workdir"):
        assert word.removeprefix("--") in done.stdout
