"""`--mode=sweep`: many trainings that differ in some fields, and which of them was best."""

import os
import pathlib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from simsearch import errors, parallel, progress, runs, wiring
from simsearch.commands import sweep_trial, training
from simsearch.data import splits as splits_lib
from simsearch.sweeps import database, trials
from simsearch.sweeps import plan as plan_lib
from simsearch.sweeps import study as study_lib
from simsearch.training import loop, stop

# Trials that fail one after the other before the sweep ends, but for those whose loss stops being a
# number: it is not their values then.
_MAX_FAILURES = 3


class SweepResult(NamedTuple):
    """What a sweep found, and where it is kept.

    Attributes:
        rows: The trials, the best first.
        best: The best trial that went to its end; None where none did.
        json_path: The trials as JSON.
        picture_paths: The pictures.
    """

    rows: list[trials.Row]
    best: trials.Row | None
    json_path: pathlib.Path
    picture_paths: list[pathlib.Path]


def main(
    *, config: str | None, workdir: str | os.PathLike, overrides: Mapping[str, Any]
) -> SweepResult:
    """Runs, or goes on with, the sweep of a configuration file."""
    return sweep(plan_lib.load_sweep(config or "sweep", overrides), workdir=workdir)


def sweep(plan: plan_lib.Plan, *, workdir: str | os.PathLike = "runs") -> SweepResult:
    """Trains a version for each trial, prunes the bad ones, and says which was best.

    Called again it goes on: a trial that was running when the process ended is resumed.

    Args:
        plan: As `load_sweep` returns it.
        workdir: Folder of the versions; the study's database and pictures are put beside them.

    Raises:
        UsageError: Where the images, the devices or the database do not fit.
        RunError: Where training fails for another reason than a trial's values; what was found
            till then is told and kept all the same.
    """
    root = pathlib.Path(workdir)
    directory = root / f"sweep_{plan.settings.study}"
    with stop.on_signals() as stop_request:
        splits = training.prepare(plan.base)
        images = splits_lib.summary(splits)
        if not {"model.backbone", "model.weights"} & plan.space.keys():
            # What cannot be had is told before there is a study.
            wiring.network.read_weights(plan.base)
        if devices := plan.space.get("train.num_devices"):
            parallel.local_devices(max(devices.ends()))
        _make(directory, workdir)
        opened = database.open_study(
            plan,
            directory=directory,
            default_file=root / "sweep.db",
            num_validations=_num_validations(plan, len(splits["train"].labels)),
            images=images,
        )
        with opened as study:
            try:
                failure = _run_trials(study, plan, root, images, stop_request)
                rows = study.rows()
                importances = study.importances(seed=plan.settings.seed)
            except stop.Stopped as stopped:
                raise stopped.with_advice(f"go on with `{_command(plan, root)}`") from None
    result = _finish(plan, rows, importances, directory=directory, root=root)
    if failure:
        raise errors.RunError(f"{failure}; once mended, the same command goes on with the others")
    return result


def _command(plan: plan_lib.Plan, workdir: pathlib.Path) -> str:
    """Returns the command that goes on with a sweep, without its database's password."""
    shown = {"config.sweep.storage": database.without_password(plan.settings.storage)}
    flags = [
        shlex.quote(f"--{name}={shown.get(name, value)}") for name, value in plan.flags.items()
    ]
    return " ".join(["python main.py --mode=sweep", *flags, *runs.workdir_flags(workdir)])


def _make(directory: pathlib.Path, workdir: str | os.PathLike) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.UsageError(
            f"--workdir={workdir} must be a folder that can be written: {error.strerror}"
        ) from error


def _num_validations(plan: plan_lib.Plan, num_images: int) -> int:
    steps = loop.plan(plan.base, num_images)
    every = plan.base.train.eval_every_epochs * steps.steps_per_epoch
    return -(-steps.num_steps // every)


def _run_trials(
    study: study_lib.Study,
    plan: plan_lib.Plan,
    workdir: pathlib.Path,
    images: Mapping[str, Any],
    stop_request: stop.StopRequest,
) -> str:
    """Runs trials until none is left, and returns why it ended before, empty where it did not."""
    num_failures = 0
    while True:
        # Also of a trial that ended by its figures before it looked whether a signal had come.
        stop_request.end_deferral(outcome="what was trained so far is saved")
        if (trial := study.next_trial()) is None:
            return ""
        if trial.version is not None and not sweep_trial.find(trial, plan, workdir):
            progress.log.warning(
                "trial %d is begun anew: its version %d is gone from %s, or another training's now",
                trial.number,
                trial.version,
                workdir,
            )
            study.begin_anew(trial.number)
            continue
        verb = "begins" if trial.version is None else f"goes on, version {trial.version}"
        progress.log.info(
            "trial %d %s, %d in all: %s",
            trial.number,
            verb,
            plan.num_trials,
            plan_lib.described(trial.params),
        )
        with trial.alive():
            error = sweep_trial.run(trial, plan, workdir, images, stop_request)
        num_failures = num_failures + 1 if error else 0
        if num_failures == _MAX_FAILURES:
            return f"{num_failures} trials in a row failed, the last one: {error}"


def _finish(
    plan: plan_lib.Plan,
    rows: Sequence[trials.Row],
    importances: Mapping[str, float],
    *,
    directory: pathlib.Path,
    root: pathlib.Path,
) -> SweepResult:
    """Prints the table, draws the pictures, and says which trial was best."""
    # matplotlib takes a second to import, and only pictures need it.
    from simsearch.plots import sweep as sweep_plot

    monitor = plan.base.train.monitor
    progress.log.info("%s", trials.table(rows, monitor=monitor))
    best = next((row for row in rows if row.state == "finished"), None)
    content = {
        "study": plan.settings.study,
        "monitor": monitor,
        "importances": dict(importances),
        "trials": [trials.to_json(row) for row in rows],
    }
    json_path = directory / "trials.json"
    runs.write_json(json_path, content)
    paths = sweep_plot.draw_all(
        directory, rows, space=plan.space, importances=importances, monitor=monitor
    )
    for state, where in (("running", "in other processes' hands"), ("waiting", "to be begun")):
        if num_open := sum(row.state == state for row in rows):
            progress.log.info("%d trials are still %s", num_open, where)
    if best is None:
        progress.log.warning("no trial went to its end")
    else:
        _praise(best, plan, root)
    progress.log.info("trials: %s\npictures:", json_path)
    for path in paths:
        progress.log.info("  %s", path)
    return SweepResult(list(rows), best, json_path, paths)


def _praise(best: trials.Row, plan: plan_lib.Plan, root: pathlib.Path) -> None:
    version = sweep_trial.find(best, plan, root) if best.is_here else None
    removed = f", which is no longer in {root}" if version is None else ""
    progress.log.info(
        "best: trial %d, version %d%s: %s %.4f with %s",
        best.number,
        best.version,
        removed if best.is_here else " of another folder",
        plan.base.train.monitor,
        best.value,
        plan_lib.described(best.params),
    )
    if version is not None:
        progress.log.info("figures and pictures: python main.py --mode=eval %s", version.flags)
