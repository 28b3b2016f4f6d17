"""`--mode=average`: one network from several, the mean of their weights."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from simsearch import (
    checkpoints,
    config_files,
    errors,
    parallel,
    progress,
    runs,
    wiring,
    wiring_images,
    wiring_losses,
)
from simsearch.commands import measurable, shared, trained_images, training, validation
from simsearch.config import Config, differences
from simsearch.data import confusion as confusion_lib
from simsearch.data import corrupt as corrupt_lib
from simsearch.training import records as records_lib

# What versions may differ in and still be averaged: how they were trained, not what they are.
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
    "data.resize_size",
    "data.train_image_size",
)
# The mean has a discriminant of its own: those that are averaged may save the time for theirs.
_CHANGEABLE = (*shared.EVAL_FIELDS, "model.discriminant")


class _Member(NamedTuple):
    """The best checkpoint of a version."""

    variables: Any
    proxies: dict[str, Any]  # class vectors by loss
    step: int
    metrics: dict[str, float]  # on validation; empty where it was not validated


def main(
    *, versions: Sequence[str] | None, workdir: str | os.PathLike, overrides: Mapping[str, Any]
) -> runs.Version:
    """Averages the versions of `--versions`."""
    numbers = shared.version_numbers(versions)
    if len(numbers) < 2:
        raise errors.UsageError(
            "--mode=average needs --versions=A,B,…, the numbers of two or more different "
            f"versions, such as --versions=0,1,2; not {','.join(versions or ()) or 'nothing'}"
        )
    return average(numbers, workdir=workdir, overrides=overrides)


def average(
    versions: Sequence[int],
    *,
    workdir: str | os.PathLike = "runs",
    overrides: Mapping[str, Any] | None = None,
) -> runs.Version:
    """Makes a version whose weights are the mean of others', and returns it.

    Networks that were trained from the same first weights in different ways (images in another
    order, other augmentation, another learning rate) lie in one valley of the loss; their mean lies
    deeper in it. It is searched with at the cost of one network. Everything else, images and sizes
    among it, is as of the first version.

    Args:
        versions: Their numbers, two at least. Their best checkpoints are averaged.
        workdir: Folder of the versions.
        overrides: Fields of the first version's configuration to change, of those that an
            evaluation may (where the images lie by now, how many devices there are), and
            `model.discriminant`.

    Raises:
        UsageError: Where a version or its checkpoint is not there, or the networks did not start
            from the same weights.

    References:
        Wortsman et al., Model soups, 2022.
    """
    if len(set(versions)) < max(2, len(versions)):
        raise errors.UsageError(f"two or more different versions are needed, not {list(versions)}")
    found = [runs.find(workdir, number) for number in versions]
    config = shared.with_absolute_paths(
        config_files.override(found[0].config, overrides or {}, allowed=_CHANGEABLE)
    )
    facts = [version.read_facts() for version in found]
    for version, own in zip(found[1:], facts[1:], strict=True):
        _check_related(found[0], version, facts[0], own)
    shared.start_devices(config)
    splits = wiring_images.load_splits(config)
    trained_images.require_classes(found[0], splits)
    measurable.check_queries(splits, "validation")
    if not all(wiring.keeps_batch_norm(version.config) for version in found):
        progress.log.warning(
            "BatchNorm's statistics were trained (model.freeze_batch_norm=False), and their means "
            "do not fit the mean of the weights well"
        )
    members = [_read(version, len(splits["train"].class_names)) for version in found]
    trees = [(member.variables, member.proxies) for member in members]
    variables, proxies = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *trees)
    corrupt = corrupt_lib.CorruptLog()
    validate = validation.create(config, splits, corrupt, confusion=confusion_lib.Confusion())
    devices = parallel.local_devices(config.train.num_devices)
    metrics = validate(*parallel.replicate((variables, proxies), devices))
    origin = {"average_of": [version.number for version in found]}
    made = runs.create(workdir, config, facts=facts[0] | origin)
    trained_images.remember_all(made, found)
    step = max(member.step for member in members)
    store = checkpoints.Store(made.checkpoint_dir, monitor=config.train.monitor)
    store.save(
        step,
        variables=variables,
        proxies=proxies,
        training=None,
        about={"config": dataclasses.asdict(config)},
        metrics=metrics,
    )
    store.close()
    records = records_lib.Records(made, step=0)
    records.write("validation", step, metrics, epoch=0.0)
    records.close()
    training.complete(made, splits, corrupt=corrupt)
    shared.log_corrupt(corrupt)
    monitor = config.train.monitor
    for version, member in zip(found, members, strict=True):
        own = member.metrics.get(monitor)
        shown = "not measured" if own is None else f"{own:.4f}"
        progress.log.info("version %d: validation %s %s", version.number, monitor, shown)
    progress.log.info("their mean: validation %s %.4f", monitor, metrics[monitor])
    progress.log.info("version %d: %s", made.number, made.path)
    progress.log.info("figures and pictures: python main.py --mode=eval %s", made.flags)
    return made


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
    if facts.get("class_names") != own.get("class_names"):
        changes.append("their classes")
    elif _vectors(configs[0]) != _vectors(configs[1]):
        one, two = (", ".join(_vectors(each)) or "none" for each in configs)
        changes.append(f"their losses with class vectors: {one} -> {two}")
    if facts.get("weights") != own.get("weights"):
        changes.append("the weights that they started from")
    if changes:
        raise errors.UsageError(
            f"versions {first.number} and {other.number} cannot be averaged, for these differ: "
            f"{'; '.join(changes)}"
        )


def _vectors(config: Config) -> list[str]:
    return sorted(wiring_losses.initial_proxies(config, 2))


def _read(version: runs.Version, num_classes: int) -> _Member:
    config = version.config
    proxies = jax.eval_shape(lambda: wiring_losses.initial_proxies(config, num_classes))
    shapes = {"variables": wiring.abstract_variables(config), "proxies": proxies}
    with checkpoints.best_of(version) as (store, step):
        return _Member(**store.restore(step, **shapes), step=step, metrics=store.metrics(step))
