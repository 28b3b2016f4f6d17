"""The sweep's command: with a training of nothing but figures, and once as a user runs it."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import simsearch
from simsearch import config as config_lib
from simsearch import errors, runs, wiring
from simsearch.commands import training
from simsearch.config import files as config_files
from simsearch.sweeps import database, study
from simsearch.training import records as records_lib
from simsearch.training import stop
from tests import cli

OVERRIDES = {
    "data.source": "digits",
    "model.weights": "none",
    "sweep.sampler": "grid",
    "sweep.num_trials": 0,
    "sweep.pruner": "none",
    "sweep.space.optimizer.learning_rate": [1e-4, 1e-3, 1e-2],
    "sweep.space.optimizer.weight_decay": None,
    "sweep.space.sampling.samples_per_class": None,
}


@pytest.fixture
def trained(monkeypatch):
    """Lets a training be three validations at once, and returns what was asked of it."""
    asked = []

    def fit(version, after_validation, *, start):
        rate = version.config.optimizer.learning_rate
        records = records_lib.Records(version, step=start)
        try:
            for step in range(start + 1, 4):
                # The last is not the best.
                score = (0, 1 / 3, 1, 2 / 3)[step] * (min(rate, 1e-3) / max(rate, 1e-3))
                records.write("validation", step, {"map_at_r": score}, epoch=step)
                (version.path / "step").write_text(str(step))
                after_validation(records.validations[-1])
        finally:
            records.close()
        return version

    def train(config, *, workdir, on_splits, on_version, after_validation, stop_request):
        version = runs.create(workdir, config)
        on_version(version)
        asked.append(("train", version.number))
        return fit(version, after_validation, start=0)

    def resume(number, *, workdir, overrides, on_splits, after_validation, stop_request):
        version = runs.find(workdir, number)
        asked.append(("resume", number, overrides["data.path"]))
        return fit(version, after_validation, start=int((version.path / "step").read_text()))

    def kept(version):
        step = int((version.path / "step").read_text())
        return records_lib.validations(version.metrics_file, last_step=step)

    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(training, "resume", resume)
    monkeypatch.setattr(training, "kept_validations", kept)
    return asked


def plan(**changes):
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return simsearch.load_sweep("sweep", OVERRIDES | named)


def test_each_trial_is_a_version_that_differs_in_the_swept_fields(trained, tmp_path, caplog):
    both = plan(sweep__space__optimizer__weight_decay=[0.0, 1e-3])
    with caplog.at_level("INFO", "simsearch"):
        result = simsearch.sweep(both, workdir=tmp_path)
    assert trained == [("train", number) for number in range(6)]
    base = both.base
    for row in result.rows:
        config = runs.find(tmp_path, row.version).config
        changed = {line.split(":")[0] for line in config_lib.differences(base, config)}
        assert changed <= {"optimizer.learning_rate", "optimizer.weight_decay"}
        assert config.optimizer.learning_rate == row.params["optimizer.learning_rate"]
    assert result.best.value == 1.0 and result.best.params["optimizer.learning_rate"] == 1e-3
    stored = json.loads(result.json_path.read_text())
    assert [row["version"] for row in stored["trials"]] == [row.version for row in result.rows]
    assert stored["importances"]["optimizer.learning_rate"] > 0.9
    names = [path.name for path in result.picture_paths]
    assert names == ["parallel_coordinates.png", "importance.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in result.picture_paths)
    assert (
        f"best: trial {result.best.number}, version {result.best.version}: map_at_r" in caplog.text
    )
    simsearch.sweep(both, workdir=tmp_path)
    assert len(trained) == 6, "what is finished is only told again"


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["begun", "reported", "trained"])
def test_a_trial_that_was_cut_off_goes_on_and_counts_once(trained, tmp_path, monkeypatch, moment):
    name = {"begun": "begun", "reported": "report", "trained": "end"}[moment]
    original = getattr(study.Trial, name)
    calls = []

    def killed(*arguments, **options):
        calls.append(name)
        if len(calls) == 2:
            raise Killed
        return original(*arguments, **options)

    monkeypatch.setattr(study.Trial, name, killed)
    with pytest.raises(Killed):
        simsearch.sweep(plan(), workdir=tmp_path)
    result = simsearch.sweep(plan(), workdir=tmp_path)
    assert len(result.rows) == 3 and {row.state for row in result.rows} == {"finished"}
    assert {row.num_validations for row in result.rows} == {3}
    assert len({tuple(row.params.values()) for row in result.rows}) == 3


def test_a_signal_stops_the_sweep_and_says_how_to_go_on(trained, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise stop.Stopped(signal.SIGTERM, outcome="saved after step 2", advice="train it")

    monkeypatch.setattr(training, "train", stopped)
    opened = database._open(f"sqlite:///{tmp_path}/sweep.db")
    monkeypatch.setattr(database, "_open", lambda url: opened)
    with pytest.raises(stop.Stopped) as caught:
        simsearch.sweep(plan(sweep__storage="postgresql://me:SECRET@h/db"), workdir=tmp_path)
    assert re.fullmatch(
        r"stopped by SIGTERM: saved after step 2; go on with `python main.py --mode=sweep "
        r"--config=sweep .*'--config.sweep.storage=postgresql://me:\*\*\*@h/db' .*--workdir=\S+`",
        str(caught.value),
    )
    assert caught.value.exit_code == 128 + signal.SIGTERM


def test_a_signal_amid_a_validation_that_prunes_is_not_lost(trained, tmp_path, monkeypatch):
    train, report = training.train, study.Trial.report

    def deferring(config, *, stop_request, **options):
        stop_request.is_deferred = True
        return train(config, stop_request=stop_request, **options)

    def pruned(trial, *figures):
        report(trial, *figures)
        os.kill(os.getpid(), signal.SIGTERM)
        return True

    monkeypatch.setattr(training, "train", deferring)
    monkeypatch.setattr(study.Trial, "report", pruned)
    with pytest.raises(stop.Stopped, match="SIGTERM: what was trained so far is saved; go on with"):
        simsearch.sweep(plan(), workdir=tmp_path)
    assert len(list(tmp_path.glob("version_*"))) == 1


@pytest.mark.parametrize("others", [0, 1])
def test_a_trial_whose_version_was_removed_is_begun_anew(
    trained, tmp_path, monkeypatch, caplog, others
):
    report = study.Trial.report

    def killed(trial, index, value):
        report(trial, index, value)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(study.Trial, "report", killed)
        simsearch.sweep(plan(), workdir=tmp_path)
    shutil.rmtree(tmp_path / "version_0")
    for _ in range(others):
        # Another training takes the number, with figures that no trial has.
        other = runs.create(tmp_path, config_files.load_config("demo"))
        (other.path / "step").write_text("3")
    result = simsearch.sweep(plan(), workdir=tmp_path)
    assert "is begun anew: its version 0 is gone" in caplog.text
    assert trained[1:] == [("train", number) for number in range(others, others + 3)]
    assert [row.state for row in result.rows] == ["finished"] * 3
    assert {row.num_validations for row in result.rows} == {3}
    assert len({tuple(row.params.values()) for row in result.rows}) == 3


def test_the_best_trial_is_told_where_its_version_was_removed(trained, tmp_path, caplog):
    best = simsearch.sweep(plan(), workdir=tmp_path).best
    shutil.rmtree(tmp_path / f"version_{best.version}")
    caplog.clear()
    with caplog.at_level("INFO", "simsearch"):
        again = simsearch.sweep(plan(), workdir=tmp_path)
    assert again.best == best and f"version {best.version}, which is no longer in" in caplog.text
    assert "trials.json" in caplog.text and "--mode=eval" not in caplog.text


def test_devices_that_are_not_there_are_told_before_the_first_trial(trained, tmp_path):
    with pytest.raises(errors.UsageError, match="train.num_devices=9 but this machine has 2"):
        simsearch.sweep(plan(sweep__space__train__num_devices=[1, 9]), workdir=tmp_path)
    assert not trained and not (tmp_path / "sweep.db").exists()


@pytest.mark.parametrize("failure", [errors.NotFiniteError, errors.OutOfMemoryError])
def test_a_trial_whose_values_are_at_fault_fails_and_the_sweep_goes_on(
    trained, tmp_path, monkeypatch, failure
):
    train = training.train

    def failing(config, **options):
        if config.optimizer.learning_rate == 1e-2:
            raise failure("step 3 was too much")
        return train(config, **options)

    monkeypatch.setattr(training, "train", failing)
    result = simsearch.sweep(plan(), workdir=tmp_path)
    assert [row.state for row in result.rows] == ["finished"] * 2 + ["failed"]
    assert "step 3 was too much" in result.rows[-1].error


@pytest.fixture
def images(shapes, tmp_path):
    """Class folders of a test's own, and the fields that name them."""
    shutil.copytree(shapes, tmp_path / "images")
    fields = {"data.source": "folder", "data.path": str(tmp_path / "images")}
    return tmp_path / "images", fields | {"train.batch_size": 12}


def test_a_sweep_goes_on_with_images_that_were_moved_and_not_with_others(
    trained, images, tmp_path, monkeypatch
):
    path, fields = images

    def killed(*_, **__):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(study.Trial, "report", killed)
        simsearch.sweep(plan(**fields), workdir=tmp_path / "runs")
    moved = path.rename(tmp_path / "moved")
    fields["data.path"] = str(moved)
    result = simsearch.sweep(plan(**fields), workdir=tmp_path / "runs")
    assert [row.state for row in result.rows] == ["finished"] * 3
    assert trained == [("train", 0), ("resume", 0, str(moved)), ("train", 1), ("train", 2)]
    shutil.copy(moved / "train/circle/0.png", moved / "train/circle/more.png")
    with pytest.raises(errors.UsageError, match="other values: train images: 30 then, 31 now"):
        simsearch.sweep(plan(**fields), workdir=tmp_path / "runs")


@pytest.mark.parametrize(
    ("change", "failure", "words"),
    [
        (
            lambda path: shutil.copy(path / "val/circle/0.png", path / "val/circle/more.png"),
            errors.RunError,
            "images changed while the sweep ran: validation images: 12 then, 13 now",
        ),
        (lambda path: path.rename(path.with_name("gone")), errors.UsageError, "does not exist"),
    ],
)
def test_images_that_change_while_a_sweep_runs_end_it_and_no_trial_is_lost(
    trained, images, shapes, tmp_path, monkeypatch, change, failure, words
):
    path, fields = images
    train = training.train

    def looking(config, *, on_splits, **options):
        on_splits(wiring.images.load_splits(config))
        version = train(config, on_splits=on_splits, **options)
        if version.number == 0:
            change(path)
        return version

    monkeypatch.setattr(training, "train", looking)
    with pytest.raises(failure, match=words):
        simsearch.sweep(plan(**fields), workdir=tmp_path / "runs")
    assert trained == [("train", 0)]
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(shapes, path)
    result = simsearch.sweep(plan(**fields), workdir=tmp_path / "runs")
    assert [row.state for row in result.rows] == ["finished"] * 3


def test_trials_with_and_without_copies_are_of_one_sweep(trained, images, tmp_path, monkeypatch):
    path, fields = images
    shutil.copy(path / "test/circle/0.png", path / "train/circle/copy.png")
    train = training.train
    counts = []

    def looking(config, *, on_splits, **options):
        splits = wiring.images.load_splits(config)
        on_splits(splits)
        counts.append(len(splits["train"].labels))
        return train(config, on_splits=on_splits, **options)

    monkeypatch.setattr(training, "train", looking)
    swept = {
        "sweep.space.optimizer.learning_rate": None,
        "sweep.space.data.drop_duplicates": [True, False],
    }
    result = simsearch.sweep(plan(**fields, **swept), workdir=tmp_path / "runs")
    assert [row.state for row in result.rows] == ["finished"] * 2 and sorted(counts) == [30, 31]


def test_trials_that_all_fail_end_the_sweep_and_it_goes_on_with_the_others(
    trained, tmp_path, monkeypatch, caplog
):
    # None of these is the fault of the trial's values for certain.
    failures = [errors.UsageError, errors.OutOfMemoryError, errors.UsageError]

    def failing(*_, **__):
        raise failures.pop()("the GPU is on holiday")

    caplog.set_level("INFO", "simsearch")
    five = plan(sweep__space__optimizer__learning_rate=[1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
    with monkeypatch.context() as patch:
        patch.setattr(training, "train", failing)
        with pytest.raises(errors.RunError, match="3 trials in a row failed, the last one: the G"):
            simsearch.sweep(five, workdir=tmp_path)
    kept = json.loads((tmp_path / "sweep_sweep/trials.json").read_text())["trials"]
    assert [row["state"] for row in kept] == ["waiting"] * 2 + ["failed"] * 3
    assert "2 trials are still to be begun" in caplog.text
    again = simsearch.sweep(five, workdir=tmp_path)
    assert [row.state for row in again.rows] == ["finished"] * 2 + ["failed"] * 3


def test_however_many_trials_diverge_the_others_are_tried(trained, tmp_path, monkeypatch):
    train = training.train

    def diverging(config, **options):
        if config.optimizer.learning_rate == 10.0:
            raise errors.NotFiniteError("the loss of step 3 is nan")
        return train(config, **options)

    monkeypatch.setattr(training, "train", diverging)
    changes = {
        "sweep__space__optimizer__learning_rate": [10.0, 1e-3],
        "sweep__space__optimizer__weight_decay": [0.0, 1e-3, 1e-2],
    }
    result = simsearch.sweep(plan(**changes), workdir=tmp_path)
    assert [row.state for row in result.rows] == ["finished"] * 3 + ["failed"] * 3


def test_a_trial_without_a_figure_fails(trained, tmp_path, monkeypatch):
    def train(config, *, workdir, on_version, **_):
        version = runs.create(workdir, config)
        on_version(version)
        return version

    monkeypatch.setattr(training, "train", train)
    one = plan(sweep__space__optimizer__learning_rate=[1e-3, 1e-2])
    rows = simsearch.sweep(one, workdir=tmp_path).rows
    told = ("failed", "validation map_at_r was never a number")
    assert [(row.state, row.error) for row in rows] == [told] * 2


def test_bad_trials_are_pruned_by_their_validations(trained, tmp_path, caplog):
    pruned = plan(sweep__pruner="median", sweep__startup_trials=2, sweep__warmup_validations=1)
    with caplog.at_level("INFO", "simsearch"):
        result = simsearch.sweep(pruned, workdir=tmp_path)
    assert "trial 1 finished: map_at_r 1.0000" in caplog.messages
    assert "trial 2 pruned: other trials were better" in caplog.messages
    states = [row.state for row in result.rows]
    assert states == ["finished", "finished", "pruned"] and result.best.value == 1.0
    assert [row.num_validations for row in result.rows] == [3, 3, 2], "the warm-up is one"


@pytest.mark.parametrize(
    "end", [{"train.num_epochs": 3}, {"train.num_steps": 3}, {"train.patience": 1}]
)
def test_a_trial_at_its_end_is_not_pruned(trained, tmp_path, monkeypatch, end):
    report = study.Trial.report
    monkeypatch.setattr(
        study.Trial, "report", lambda trial, index, value: report(trial, index, value) or index == 3
    )
    result = simsearch.sweep(simsearch.load_sweep("sweep", OVERRIDES | end), workdir=tmp_path)
    assert {row.state for row in result.rows} == {"finished"}


@pytest.mark.parametrize("warmup", [0, 2])
def test_a_trial_that_was_killed_ends_as_without_a_kill(trained, tmp_path, monkeypatch, warmup):
    # The third trial is the worse one: ended at once, or bad at its last validation only.
    changes = {"sweep__pruner": "median", "sweep__startup_trials": 2, "train__num_epochs": 3}
    pruning = plan(**changes, sweep__warmup_validations=warmup)
    straight = simsearch.sweep(pruning, workdir=tmp_path / "straight")
    end = study.Trial.end

    def killed(trial, **outcome):
        if trial.number == 2:
            raise Killed
        return end(trial, **outcome)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(study.Trial, "end", killed)
        simsearch.sweep(pruning, workdir=tmp_path / "killed")
    again = simsearch.sweep(pruning, workdir=tmp_path / "killed")
    assert again.rows == straight.rows
    assert again.rows[-1].state == ("finished" if warmup else "pruned")
    # One that was judged bad before the kill is not trained again.
    assert ("resume" in {kind for kind, *_ in trained}) == bool(warmup)


def test_weights_that_cannot_be_had_are_told_before_there_is_a_study(trained, tmp_path):
    with pytest.raises(errors.UsageError, match="nowhere.npz"):
        simsearch.sweep(plan(model__weights="nowhere.npz"), workdir=tmp_path)
    assert simsearch.sweep(plan(), workdir=tmp_path).best.value == 1.0


SWEPT = (
    "--mode=sweep",
    "--config=sweep",
    "--config.sweep.sampler=grid",
    "--config.sweep.num_trials=0",
    "--config.sweep.pruner=none",
    "--config.sweep.space.optimizer.learning_rate=None",
    "--config.sweep.space.optimizer.weight_decay=None",
    "--config.sweep.space.sampling.samples_per_class=None",
    # Seeds, since what is compiled for one of them serves them all.
    "--config.sweep.space.train.seed=[0, 1]",
    "--config.model.freeze=all",
    "--config.train.patience=1",
    "--config.train.num_epochs=2",
)


def test_a_sweep_is_killed_and_stopped_and_ends_whole(shapes, tmp_path):
    flags = [*cli.tiny(shapes, tmp_path / "cache")[1:], *SWEPT]
    # Killed in the first trial, before its first step; stopped in the second one.
    for number, path in (
        (signal.SIGKILL, "version_0/metrics.jsonl"),
        (signal.SIGTERM, "version_1/facts.json"),
    ):
        process = subprocess.Popen(
            cli.command(*flags),
            cwd=tmp_path,
            env=cli.environment(),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        while process.poll() is None and not (tmp_path / "runs" / path).exists():
            time.sleep(0.05)
        process.send_signal(number)
        _, message = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM, message
    assert "go on with `python main.py --mode=sweep --config=sweep" in message
    assert message.count("\n") == 1
    done = cli.run(*flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "runs/version_2").exists(), "each trial goes on with its own version"
    trials = json.loads((tmp_path / "runs/sweep_sweep/trials.json").read_text())["trials"]
    assert sorted(trial["params"]["train.seed"] for trial in trials) == [0, 1]
    for trial in trials:
        assert trial["state"] == "finished"
        version = runs.find(tmp_path / "runs", trial["version"])
        validations = records_lib.validations(version.metrics_file)
        steps = [record["step"] for record in validations]
        assert steps == sorted(set(steps)) and trial["num_validations"] == len(steps)
        assert trial["value"] == max(record["map_at_r"] for record in validations)
        assert f"{trial['value']:.4f}" in done.stdout
    assert "parallel_coordinates.png" in done.stdout

    done = cli.run("--mode=compare", "--versions=0,1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "runs/compare_0_1/compare.json").read_text())["metrics"]
    assert f"{figures['map_at_r']['difference']:+.4f}" in done.stdout
    assert (tmp_path / "runs/compare_0_1/changed.png").exists()
