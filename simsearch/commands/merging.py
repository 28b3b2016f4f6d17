"""One version from several trained ones: what `--mode=average` and `--mode=ensemble` share."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from simsearch import checkpoints, errors, monitors, parallel, preprocessing, progress, runs, wiring
from simsearch.commands import (
    discriminant,
    measurable,
    shared,
    trained_images,
    training,
    validation,
)
from simsearch.config import Config, differences
from simsearch.config import files as config_files
from simsearch.data import confusion as confusion_lib
from simsearch.data import corrupt as corrupt_lib
from simsearch.losses import terms as terms_lib
from simsearch.training import records as records_lib

# What versions may differ in and still be merged: how they were trained, not what they are.
_FREE = (
    "augment.",
    "eval.",
    "index.",
    "loss.",
    "optimizer.",
    "sampling.",
    "serve.",
    "train.",
    "model.discriminant",
    "model.freeze",
    "data.cache",
    "data.early_image_size",
    "data.early_share",
    "data.image_size",
    "data.num_threads",
    "data.on_corrupt",
    "data.path",
    "data.prefetch_batches",
    "data.resize_mode",
    "data.resize_size",
    "data.train_image_size",
)
# The result has a discriminant and views of its own: those that it is made of may save the time
# for theirs.
_CHANGEABLE = (*shared.EVAL_FIELDS, "data.resize_mode", "model.discriminant")


class Member(NamedTuple):
    """The best checkpoint of a version."""

    config: Config
    variables: Any
    proxies: dict[str, Any]  # class vectors by loss
    step: int
    metrics: dict[str, float]  # on validation; empty where it was not validated


class Kind(NamedTuple):
    """A way to make one network of several.

    Attributes:
        mode: The mode that does it.
        result: What it makes, in words.
        configure: From the versions' configurations and the first's, with what the caller
            overrides, to that of the result. Raises UsageError where there can be none.
        combine: From the members and a function that yields augmented train images to the
            variables and class vectors of the result.
    """

    mode: str
    result: str
    configure: Callable[[Sequence[Config], Config], Config]
    combine: Callable[
        [Sequence[Member], Callable[[], Iterator[np.ndarray]]], tuple[Any, dict[str, Any]]
    ]


def main(
    kind: Kind,
    *,
    versions: Sequence[str] | None,
    workdir: str | os.PathLike,
    overrides: Mapping[str, Any],
) -> runs.Version:
    """Merges the versions of `--versions`."""
    numbers = shared.version_numbers(versions)
    if len(numbers) < 2:
        raise errors.UsageError(
            f"--mode={kind.mode} needs --versions=A,B,…, the numbers of two or more different "
            f"versions, such as --versions=0,1,2; not {','.join(versions or ()) or 'nothing'}"
        )
    return merge(kind, numbers, workdir=workdir, overrides=overrides)


def merge(
    kind: Kind,
    versions: Sequence[int],
    *,
    workdir: str | os.PathLike,
    overrides: Mapping[str, Any] | None,
) -> runs.Version:
    """Makes a version of others, and returns it.

    Args:
        kind: How the networks become one.
        versions: Their numbers, two at least. Their best checkpoints are taken.
        workdir: Folder of the versions.
        overrides: Fields of the first version's configuration to change, of those that an
            evaluation may (where the images lie by now, how many devices there are), and
            `data.resize_mode` and `model.discriminant`.

    Raises:
        UsageError: Where a version or its checkpoint is not there, or the networks did not start
            from the same weights.
    """
    if len(set(versions)) < max(2, len(versions)):
        raise errors.UsageError(f"two or more different versions are needed, not {list(versions)}")
    found = runs.find_all(workdir, versions)
    config = config_files.override(found[0].config, overrides or {}, allowed=_CHANGEABLE)
    config = shared.with_absolute_paths(preprocessing.resolve_as(config, found[0].config))
    facts = [version.read_facts() for version in found]
    for version, own in zip(found[1:], facts[1:], strict=True):
        _check_related(found[0], version, facts[0], own)
    config = kind.configure([version.config for version in found], config)
    shared.start_devices(config)
    splits = wiring.images.load_splits(config)
    trained_images.require_classes(found[0], splits)
    measurable.check_queries(splits, "validation", advice="add images to it")
    members = [_read(version, len(splits["train"].class_names)) for version in found]
    corrupt = corrupt_lib.CorruptLog()
    first_images = functools.partial(
        wiring.images.first_images, config, splits["train"], corrupt=corrupt
    )
    variables, proxies = kind.combine(members, first_images)
    validate = validation.create(config, splits, corrupt, confusion=confusion_lib.Confusion())
    devices = parallel.local_devices(config.train.num_devices)
    metrics = validate(*parallel.replicate((variables, proxies), devices))
    # What the first version was made of itself is not what this one is.
    kept = {name: value for name, value in facts[0].items() if not name.endswith("_of")}
    made_of = {f"{kind.mode}_of": [version.number for version in found]}
    made = runs.create(workdir, config, facts=kept | made_of)
    trained_images.remember_all(made, found)
    _save(made, variables, proxies, step=max(member.step for member in members), metrics=metrics)
    training.complete(made, splits, corrupt=corrupt)
    shared.log_corrupt(corrupt)
    _tell_figures(kind, found, members, config=config, metrics=metrics)
    progress.log.info("version %d: %s", made.number, made.path)
    progress.log.info("figures and pictures: python main.py --mode=eval %s", made.flags)
    return made


def _tell_figures(
    kind: Kind,
    found: Sequence[runs.Version],
    members: Sequence[Member],
    *,
    config: Config,
    metrics: Mapping[str, float],
) -> None:
    """Says how good the network is beside those that it was made of."""
    monitor = config.train.monitor
    for version, member in zip(found, members, strict=True):
        own = member.metrics.get(monitor)
        shown = "not measured" if own is None else f"{own:.4f}"
        progress.log.info("version %d: validation %s %s", version.number, monitor, shown)
    progress.log.info("%s: validation %s %.4f", kind.result, monitor, metrics[monitor])
    ranks = [monitors.rank(monitor, member.metrics) for member in members]
    if max(ranks) > monitors.rank(monitor, metrics):
        best = found[ranks.index(max(ranks))].number
        progress.log.info("version %d by itself is better in it", best)
    discriminant.tell_of_figures(config)


def _save(
    made: runs.Version,
    variables: Any,
    proxies: Mapping[str, Any],
    *,
    step: int,
    metrics: Mapping[str, float],
) -> None:
    """Writes the only checkpoint and validation of a version."""
    monitor = made.config.train.monitor
    with contextlib.closing(checkpoints.Store(made.checkpoint_dir, monitor=monitor)) as store:
        store.save(
            step,
            variables=variables,
            proxies=proxies,
            training=None,
            about={"config": dataclasses.asdict(made.config)},
            metrics=metrics,
        )
    with contextlib.closing(records_lib.Records(made, step=0)) as records:
        records.write("validation", step, metrics, epoch=0.0)


def _check_related(
    first: runs.Version, other: runs.Version, facts: Mapping[str, Any], own: Mapping[str, Any]
) -> None:
    """Raises UsageError where two versions did not start from the same network."""
    configs = first.config, other.config
    changes = [line for line in differences(*configs) if not line.startswith(_FREE)]
    model = configs[0].model
    is_random = model.head != "none" or model.weights == "none" or bool(_vectors(configs[0]))
    if configs[0].train.seed != configs[1].train.seed and is_random:
        changes.append(
            f"train.seed: {configs[0].train.seed} -> {configs[1].train.seed}, so that they started "
            "from different random weights; vary sampling.seed instead"
        )
    if facts.get("random_generator") != own.get("random_generator") and is_random:
        changes.append("the generator of the random weights that they started from")
    if facts.get("class_names") != own.get("class_names"):
        changes.append("their classes")
    elif _vectors(configs[0]) != _vectors(configs[1]):
        one, two = (", ".join(_vectors(each)) or "none" for each in configs)
        changes.append(f"their losses with class vectors: {one} -> {two}")
    if facts.get("weights") != own.get("weights"):
        changes.append("the weights that they started from")
    if changes:
        raise errors.UsageError(
            f"versions {first.number} and {other.number} cannot be merged, for these differ: "
            f"{'; '.join(changes)}"
        )


def _vectors(config: Config) -> list[str]:
    terms = wiring.losses.terms(config)
    return sorted(term.name for term in terms if terms_lib.has_proxies(term.name))


def _read(version: runs.Version, num_classes: int) -> Member:
    config = version.config
    proxies = jax.eval_shape(lambda: wiring.losses.initial_proxies(config, num_classes))
    shapes = {"variables": wiring.network.abstract_variables(config), "proxies": proxies}
    with checkpoints.best_of(version) as (store, step):
        restored = store.restore(step, **shapes)
        return Member(config, **restored, step=step, metrics=store.metrics(step))
