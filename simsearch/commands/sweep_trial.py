"""One trial of a sweep: its version is trained, or gone on with, and the study told what came."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from simsearch import errors, progress, runs, wiring
from simsearch.commands import shared, training
from simsearch.config import Config
from simsearch.data import sources
from simsearch.data import splits as splits_lib
from simsearch.sweeps import plan as plan_lib
from simsearch.sweeps import study as study_lib
from simsearch.sweeps import trials
from simsearch.training import patience, stop
from simsearch.training import records as records_lib


class _Pruned(Exception):
    """Ends a training whose figures are worse than those of other trials."""


def find(
    trial: study_lib.Trial | trials.Row, plan: plan_lib.Plan, workdir: pathlib.Path
) -> runs.Version | None:
    """Returns a trial's version, None where it was removed, whatever has its number since."""
    if not runs.exists(workdir, trial.version):
        return None
    version = runs.find(workdir, trial.version)
    changes = shared.changes(version.config, plan.configure(trial.params))
    is_own = all(change.startswith(runs.LOCAL_FIELDS) for change in changes)
    return version if is_own else None


def run(
    trial: study_lib.Trial,
    plan: plan_lib.Plan,
    workdir: pathlib.Path,
    images: Mapping[str, Any],
    stop_request: stop.StopRequest,
) -> str:
    """Trains a trial's version to its end, and returns why it failed.

    Empty where it did not, and where its own values are the cause for certain.
    """
    monitor = plan.base.train.monitor
    error, pruned, value, is_its_own = "", False, None, False
    try:
        version = _train(trial, plan, workdir, images, stop_request)
        best = patience.standing(
            records_lib.validations(version.metrics_file), monitor=monitor
        ).best
        value = None if best is None else best[monitor]
        if best is None:
            error = f"validation {monitor} was never a number"
    except _Pruned:
        pruned = True
    except (errors.NotFiniteError, errors.OutOfMemoryError) as failure:
        error, is_its_own = str(failure), isinstance(failure, errors.NotFiniteError)
    except errors.UsageError as failure:
        # Images that are gone are the fault of no trial: this raises then.
        wiring.images.load_splits(plan.base)
        error = str(failure)
    if not trial.end(value=value, pruned=pruned, error=error):
        progress.log.warning(
            "trial %d was given up as lost and begun anew elsewhere; this one does not count",
            trial.number,
        )
    elif pruned:
        progress.log.info("trial %d pruned: other trials were better", trial.number)
    elif error:
        progress.log.warning("trial %d failed: %s", trial.number, error)
    else:
        progress.log.info("trial %d finished: %s %.4f", trial.number, monitor, value)
    return "" if is_its_own else error


def _train(
    trial: study_lib.Trial,
    plan: plan_lib.Plan,
    workdir: pathlib.Path,
    images: Mapping[str, Any],
    stop_request: stop.StopRequest,
) -> runs.Version:
    """Trains a trial's version, or goes on with it.

    Raises:
        _Pruned: Where the trial should not go on.
        RunError: Where its images are not those of the other trials.
    """
    config = plan.configure(trial.params)
    monitor = config.train.monitor
    validations: list[Mapping[str, Any]] = []

    def report(record: Mapping[str, Any]) -> None:
        validations.append(record)
        is_bad = trial.report(len(validations), record[monitor])
        # One that has come to its end has cost all that it could.
        if is_bad and not _is_at_its_end(config, validations):
            raise _Pruned

    def check(splits: Mapping[str, sources.Split]) -> None:
        now = splits_lib.summary(splits)
        if "data.drop_duplicates" in plan.space:
            # Trials with copies are measured on the same images as those without.
            now["train images"] = images["train images"]
        if changes := splits_lib.changes(images, now):
            raise errors.RunError(
                f"the images changed while the sweep ran: {'; '.join(changes)}; bring them back "
                "and start it again, or begin another study with --config.sweep.study=NAME"
            )

    options = {"workdir": workdir, "on_splits": check}
    options |= {"after_validation": report, "stop_request": stop_request}
    if trial.version is None:
        return training.train(
            config,
            on_version=lambda version: trial.begun(version.number),
            **options,
        )
    # What was validated and saved is not validated again, and may not have been reported.
    version = runs.find(workdir, trial.version)
    for record in training.kept_validations(version):
        report(record)
    return training.resume(trial.version, overrides=runs.local_fields(config), **options)


def _is_at_its_end(config: Config, validations: Sequence[Mapping[str, Any]]) -> bool:
    """Returns whether a training with these validations goes no further."""
    options, last = config.train, validations[-1]
    is_whole = (
        last["step"] >= options.num_steps
        if options.num_steps
        else last["epoch"] >= options.num_epochs
    )
    return is_whole or patience.is_exhausted(
        validations, monitor=options.monitor, patience=options.patience
    )
