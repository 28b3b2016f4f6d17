"""`--mode=train`: a new version, or on with one that was stopped."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from simsearch import checkpoints, errors, parallel, preprocessing, progress, runs, wiring
from simsearch.commands import (
    calibration,
    discriminant,
    measurable,
    shared,
    trained_images,
    validation,
)
from simsearch.config import Config
from simsearch.config import files as config_files
from simsearch.data import confusion as confusion_lib
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sources
from simsearch.training import loop, run, stop, summary
from simsearch.training import records as records_lib

# What an out-of-memory error ends with.
_LESS_MEMORY = (
    "lower eval.batch_size, with which a version can go on too, or in a new one train.batch_size "
    "(train.accumulate_steps makes up for it) or data.image_size"
)


def main(
    *,
    config: str | None,
    version: int | None,
    workdir: str | os.PathLike,
    overrides: Mapping[str, Any],
) -> runs.Version:
    """Trains a new version, or goes on with the one that is named."""
    if version is None:
        return train(config_files.load_config(config or "train", overrides), workdir=workdir)
    return resume(version, workdir=workdir, config_name=config, overrides=overrides)


def train(
    config: Config,
    *,
    workdir: str | os.PathLike = "runs",
    on_splits: Callable[[Mapping[str, sources.Split]], None] = lambda splits: None,
    on_version: Callable[[runs.Version], None] = lambda version: None,
    after_validation: Callable[[Mapping[str, Any]], None] = lambda record: None,
    stop_request: stop.StopRequest | None = None,
) -> runs.Version:
    """Trains a new version and returns it.

    Args:
        config: As `load_config` returns it.
        workdir: Folder of the versions.
        on_splits: Gets the images before anything is made of them; what it raises ends the run.
        on_version: Gets the version when its folder is there, before the first step.
        after_validation: Gets each validation's record; what it raises ends the run there.
        stop_request: How a caller that listens to signals itself ends the run; None: this function
            listens.

    Raises:
        UsageError: Where the configuration does not fit the images, the devices or the weights.
        OutOfMemoryError: Where the memory does not suffice.
        RunError: Where the run could not be finished.
    """
    config = shared.with_absolute_paths(config)
    with errors.out_of_memory(_LESS_MEMORY), stop.on_signals(stop_request) as stop_request:
        wiring.network.check(config)
        splits = prepare(config)
        on_splits(splits)
        weights = wiring.network.read_weights(config)
        config = preprocessing.resolve(config, weights.preprocessing)
        initial = wiring.network.initial_variables(config, weights)
        facts = wiring.facts.collect(config, splits, initial.weights)
        # A version that nobody remembers would be begun again as another one.
        stop_request.is_deferred = True
        version = runs.create(workdir, config, facts=facts)
        on_version(version)
        stop_request.end_deferral(outcome=stop_request.outcome)
        progress.log.info("version %d: %s", version.number, version.path)
        shared.log_origin(version)
        trained_images.remember(version, splits)
        return _fit(version, splits, initial, stop_request, after_validation)


def resume(
    version: int,
    *,
    workdir: str | os.PathLike = "runs",
    config_name: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    on_splits: Callable[[Mapping[str, sources.Split]], None] = lambda splits: None,
    after_validation: Callable[[Mapping[str, Any]], None] = lambda record: None,
    stop_request: stop.StopRequest | None = None,
) -> runs.Version:
    """Goes on with a version that was stopped; ends as if it never had been.

    Args:
        version: Its number.
        workdir: Folder of the versions.
        config_name: Name of the configuration that the version is expected to have; None: its own.
        overrides: Fields to change in that configuration. The result must be the version's own, but
            for the fields that say where the images lie on this machine, how they are read and how
            many are embedded at a time (`runs.LOCAL_FIELDS`): these may be others, and are the
            version's from then on, where the images are the same.
        on_splits: Gets the images before the training goes on; what it raises ends the run.
        after_validation: Gets each validation's record; what it raises ends the run there.
        stop_request: How a caller that listens to signals itself ends the run; None: this function
            listens.

    Raises:
        UsageError: Where there is no such version, or its own configuration is another one.
        OutOfMemoryError: Where the memory does not suffice.
        RunError: Where the run could not be finished.
    """
    found = runs.find(workdir, version)
    config = _own_config(found, config_name, overrides or {})
    if origin := shared.origin(found.read_facts()):
        return _complete_merged(found, config, origin)
    with errors.out_of_memory(_LESS_MEMORY), stop.on_signals(stop_request) as stop_request:
        splits = prepare(config)
        on_splits(splits)
        trained_images.remember(found, splits)
        found.move(config)
        return _fit(found, splits, None, stop_request, after_validation)


def _own_config(
    version: runs.Version, config_name: str | None, overrides: Mapping[str, Any]
) -> Config:
    """Returns what a version goes on with: what it began with, and its images where they lie now.

    Raises:
        UsageError: Where the caller has another configuration in mind.
    """
    own = version.config
    if config_name is None:
        expected = config_files.override(own, overrides)
    else:
        expected = config_files.load_config(config_name, overrides)
    changes = shared.changes(own, expected)
    if refused := [change for change in changes if not change.startswith(runs.LOCAL_FIELDS)]:
        raise errors.UsageError(
            f"version {version.number} goes on with its own configuration, and these differ: "
            f"{'; '.join(refused)}; leave them out, or train a new version"
        )
    if not changes:
        return own
    return config_files.override(own, runs.local_fields(shared.with_absolute_paths(expected)))


def prepare(config: Config) -> dict[str, sources.Split]:
    """Returns the images, after every check that can be made before work starts."""
    shared.start_devices(config)
    devices = parallel.local_devices(config.train.num_devices)
    parallel.check_divisible(
        config.train.batch_size,
        len(devices),
        name="train.batch_size",
        multiple=3 if config.sampling.mode == "triplets" else 1,
    )
    splits = wiring.images.load_splits(config, for_training=True)
    measurable.check_new_queries(splits, config)
    _check_monitor(config, splits)
    wiring.images.sample_rows(config, splits["train"].labels)(0)
    loop.plan(config, len(splits["train"].labels))
    progress.log.info("%s", wiring.images.describe_splits(config, splits))
    return splits


def _check_monitor(config: Config, splits: Mapping[str, sources.Split]) -> None:
    if config.train.monitor == "classifier_accuracy" and not validation.has_train_classes(splits):
        raise errors.UsageError(
            "train.monitor=classifier_accuracy needs validation images of the classes that are "
            "trained on, and there are none; choose another, such as map_at_r"
        )


def kept_validations(version: runs.Version) -> list[dict[str, Any]]:
    """Returns the records of the validations up to the checkpoint that training goes on from."""
    newest = _newest_step(version)
    if newest is None:
        return []
    return records_lib.validations(version.metrics_file, last_step=newest)


def _newest_step(version: runs.Version) -> int | None:
    """Returns the step of a version's newest checkpoint, None where it has none."""
    if not version.checkpoint_dir.is_dir():
        return None
    monitor = version.config.train.monitor
    store = checkpoints.Store(version.checkpoint_dir, monitor=monitor, read_only=True)
    step = store.newest_step()
    store.close()
    return step


def _fit(
    version: runs.Version,
    splits: dict[str, sources.Split],
    initial: wiring.network.Initial | None,
    stop_request: stop.StopRequest,
    after_validation: Callable[[Mapping[str, Any]], None],
) -> runs.Version:
    config = version.config
    corrupt = corrupt_lib.CorruptLog()
    confusion = confusion_lib.Confusion()
    try:
        run.fit_version(
            version,
            splits["train"],
            initial=initial,
            evaluate=validation.create(config, splits, corrupt, confusion=confusion),
            confusion=confusion,
            corrupt=corrupt,
            stop_request=stop_request,
            after_validation=after_validation,
        )
        # What a signal asked for during the last step or validation is not forgotten.
        stop_request.end_deferral(outcome="after the last step, which was saved")
        complete(version, splits, corrupt=corrupt)
    except stop.Stopped as stopped:
        raise stopped.with_advice(
            f"go on with `python main.py --mode=train {version.flags}`"
        ) from None
    finally:
        shared.log_corrupt(corrupt)
    progress.log.info("%s", summary.best_and_last(records_lib.read(version.metrics_file)))
    discriminant.tell_of_figures(config)
    progress.log.info("run: %s", version.path)
    progress.log.info("figures and pictures: python main.py --mode=eval %s", version.flags)
    return version


def complete(
    version: runs.Version,
    splits: Mapping[str, sources.Split],
    *,
    corrupt: corrupt_lib.CorruptLog,
) -> None:
    """Adds to a version that has its weights what is fitted to them, where it is missing."""
    discriminant.store(version, splits, corrupt=corrupt)
    calibration.store(version, splits, corrupt=corrupt)


def _complete_merged(version: runs.Version, config: Config, origin: shared.Origin) -> runs.Version:
    """Adds to what was made of other versions what is missing where its making was stopped."""
    if _newest_step(version) is None:
        raise errors.UsageError(
            f"version {version.number} was to be {origin} and has no weights; make another with "
            f"`python main.py --mode={origin.mode} --versions={','.join(map(str, origin.numbers))}`"
        )
    shared.start_devices(config)
    corrupt = corrupt_lib.CorruptLog()
    splits = wiring.images.load_splits(config)
    trained_images.require_classes(version, splits)
    version.move(config)
    complete(version, splits, corrupt=corrupt)
    shared.log_corrupt(corrupt)
    progress.log.info("version %d, %s, is whole; there is nothing to train", version.number, origin)
    return version
