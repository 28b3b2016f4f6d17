"""What the command line can do, one function each: wires the parts, and is the Python API."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from simsearch import config_files, errors, hardware, parallel, progress, runs, wiring
from simsearch.config import Config, differences
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import download as download_lib
from simsearch.data import sources
from simsearch.retrieval import embed, pictures
from simsearch.retrieval import evaluate as evaluate_lib
from simsearch.training import records as records_lib
from simsearch.training import run, stop, summary

# What an evaluation may change without making another model of the version.
_EVAL_FIELDS = ("eval.", "data.path", "data.cache_dir", "data.num_threads", "data.on_corrupt")


def train(config: Config, *, workdir: str | os.PathLike = "runs") -> runs.Version:
    """Trains a new version and returns it.

    Args:
        config: As `load_config` returns it.
        workdir: Folder of the versions.

    Raises:
        UsageError: Where the configuration does not fit the images, the devices or the weights.
        RunError: Where the run could not be finished.
    """
    config = _with_absolute_paths(config)
    with stop.on_signals() as stop_request:
        splits = _prepare(config)
        initial = wiring.initial_variables(config)
        version = runs.create(workdir, config)
        version.write_facts(wiring.facts(splits, initial.weights))
        progress.log.info("version %d: %s", version.number, version.path)
        return _fit(version, splits, initial, stop_request)


def resume(
    version: int,
    *,
    workdir: str | os.PathLike = "runs",
    config_name: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> runs.Version:
    """Goes on with a version that was stopped; ends as if it never had been.

    Args:
        version: Its number.
        workdir: Folder of the versions.
        config_name: The configuration that the caller has in mind, where it should be checked.
        overrides: Fields of it, likewise.

    Raises:
        UsageError: Where there is no such version, or its own configuration is another one.
        RunError: Where the run could not be finished.
    """
    found = runs.find(workdir, version)
    if config_name is None:
        expected = config_files.override(found.config, overrides or {})
    else:
        expected = config_files.load_config(config_name, overrides)
    changes = differences(found.config, _with_absolute_paths(expected))
    if changes:
        raise errors.UsageError(
            f"version {found.number} goes on with its own configuration, and these differ: "
            f"{'; '.join(changes)}; leave them out, or train a new version"
        )
    with stop.on_signals() as stop_request:
        splits = _prepare(found.config)
        return _fit(found, splits, None, stop_request)


class Evaluation(NamedTuple):
    """What an evaluation found, and where it is kept."""

    figures: evaluate_lib.Figures
    json_path: pathlib.Path
    picture_paths: list[pathlib.Path]


def evaluate(
    version: int | None = None,
    *,
    workdir: str | os.PathLike = "runs",
    split: str = "test",
    num_show_similar: int = 8,
    query_index: int | None = None,
    seed: int | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Measures and draws what a version's best checkpoint retrieves.

    Args:
        version: Its number; None: the newest.
        workdir: Folder of the versions.
        split: "train", "validation" or "test".
        num_show_similar: Similar images in the pictures.
        query_index: Row of the query to draw; None: a random one.
        seed: Of the random queries; None: another choice each time.
        overrides: Fields of the stored configuration to change: those that change no model.

    Raises:
        UsageError: Where the version, its checkpoint, its images or the query are not there.
    """
    found = runs.find(workdir, version)
    config = config_files.override(found.config, overrides or {}, allowed=_EVAL_FIELDS)
    hardware.enable_compilation_cache(os.path.join(wiring.cache_dir(config), "compiled"))
    hardware.log_devices(config.train.num_devices)
    embedder = embed.Embedder.from_version(found, config=config)
    splits = wiring.load_splits(config)
    _check_queries(splits, split)
    images = splits[split]
    if query_index is not None and not 0 <= query_index < len(images.labels):
        raise errors.UsageError(
            f"--query_index={query_index} must be from 0 to {len(images.labels) - 1}, a row of "
            f"the {split} split"
        )
    corrupt = corrupt_lib.CorruptLog()
    cache = found.eval_dir / "cache"
    queries, gallery = (
        embed.embed_cached(embedder, splits[name], cache, corrupt=corrupt)
        for name in (split, "train")
    )
    figures = _figures(config, queries, gallery, splits=splits, split=split)
    progress.log.info(
        "%s split, %d queries, version %d:\n%s",
        split,
        figures.num_queries,
        found.number,
        evaluate_lib.table(figures.metrics, _pixel_figures(config, splits, split, corrupt)),
    )
    directory = found.eval_dir if split == "test" else found.eval_dir / split
    directory.mkdir(parents=True, exist_ok=True)
    json_path = directory / "eval.json"
    context = {"version": found.number, "split": split, "weights": embedder.fingerprint}
    runs.write_text(
        json_path, json.dumps(evaluate_lib.to_json(figures, **context), indent=2) + "\n"
    )
    paths = pictures.draw_all(
        directory,
        split=images,
        embedded=queries,
        figures=figures,
        records=records_lib.read(found.metrics_file),
        monitor=config.train.monitor,
        num_similar=num_show_similar,
        query_index=query_index,
        seed=seed,
        max_pixels=config.data.max_pixels,
    )
    _log_corrupt(corrupt)
    progress.log.info("figures: %s\npictures:", json_path)
    for path in paths:
        progress.log.info("  %s", path)
    return Evaluation(figures, json_path, paths)


def download(config: Config, *, output: str | os.PathLike) -> dict[str, int]:
    """Writes a source's images as split and class folders, and returns how many were "written".

    Args:
        config: As `load_config` returns it; only its data group is read.
        output: Folder to write to; run again, it goes on where it was.
    """
    splits = wiring.load_splits(config)
    corrupt = corrupt_lib.CorruptLog()
    counts = download_lib.download(splits, output, progress=progress.track, corrupt=corrupt)
    _log_corrupt(corrupt)
    progress.log.info(
        "%d images written, %d were there, in %s; train on them with "
        "`--config.data.source=folder --config.data.path=%s`",
        counts["written"],
        counts["kept"],
        output,
        output,
    )
    return counts


def _prepare(config: Config) -> dict[str, sources.Split]:
    """Returns the images, after every check that can be made before work starts."""
    hardware.enable_compilation_cache(os.path.join(wiring.cache_dir(config), "compiled"))
    hardware.log_devices(config.train.num_devices)
    devices = parallel.local_devices(config.train.num_devices)
    parallel.check_divisible(
        config.train.batch_size,
        len(devices),
        name="train.batch_size",
        multiple=3 if config.sampling.mode == "triplets" else 1,
    )
    splits = wiring.load_splits(config)
    _check_queries(splits, "validation")
    wiring.sample_rows(config, splits["train"].labels)(0)
    counts = ", ".join(f"{len(part.labels)} {name}" for name, part in splits.items())
    progress.log.info("%s images of %d classes", counts, len(splits["train"].class_names))
    return splits


def _fit(
    version: runs.Version,
    splits: dict[str, sources.Split],
    initial: wiring.Initial | None,
    stop_request: stop.StopRequest,
) -> runs.Version:
    config = version.config
    corrupt = corrupt_lib.CorruptLog()
    try:
        run.fit_version(
            version,
            splits["train"],
            initial=initial,
            evaluate=_validation(config, splits["validation"], corrupt),
            corrupt=corrupt,
            stop_request=stop_request,
        )
    finally:
        _log_corrupt(corrupt)
    progress.log.info("%s", summary.best_and_last(records_lib.read(version.metrics_file)))
    progress.log.info("run: %s", version.path)
    progress.log.info("figures and pictures: python main.py --mode=eval %s", version.flags)
    return version


def _validation(
    config: Config, split: sources.Split, corrupt: corrupt_lib.CorruptLog
) -> Callable[[Any], dict[str, float]]:
    """Returns the function from variables to validation figures that the loop calls."""
    embed_function = embed.create_embed_function(config)
    devices = parallel.local_devices(config.train.num_devices)

    def validate(variables: Any) -> dict[str, float]:
        embedded = embed.embed_batches(
            embed_function,
            variables,
            batches=wiring.eval_batches(config, split, corrupt=corrupt),
            devices=devices,
            num_rows=len(split.labels),
        )
        kept = embedded.valid
        return evaluate_lib.retrieval_means(embedded.embeddings[kept], split.labels[kept])

    return validate


def _figures(
    config: Config,
    queries: embed.Embedded,
    gallery: embed.Embedded,
    *,
    splits: dict[str, sources.Split],
    split: str,
) -> evaluate_lib.Figures:
    """Returns the figures of one split, images that could not be read left out."""
    options = dataclasses.asdict(config.eval)
    del options["batch_size"], options["pixel_baseline"]
    return evaluate_lib.measure(
        queries.embeddings[queries.valid],
        splits[split].labels[queries.valid],
        gallery=gallery.embeddings[gallery.valid],
        gallery_labels=splits["train"].labels[gallery.valid],
        class_names=splits[split].class_names,
        **options,
    )


def _pixel_figures(
    config: Config,
    splits: dict[str, sources.Split],
    split: str,
    corrupt: corrupt_lib.CorruptLog,
) -> dict[str, evaluate_lib.Interval] | None:
    """Returns the same figures of the raw pixels, where they are asked for."""
    if not config.eval.pixel_baseline:
        return None
    queries, gallery = (
        embed.embed_pixels(config, splits[name], corrupt=corrupt) for name in (split, "train")
    )
    return _figures(config, queries, gallery, splits=splits, split=split).metrics


def _check_queries(splits: dict[str, sources.Split], name: str) -> None:
    counts = np.bincount(splits[name].labels)
    if not np.any(counts > 1):
        raise errors.UsageError(
            f"the {name} split has {len(splits[name].labels)} images and no class with two of "
            "them, so nothing can be retrieved; add images or raise its fraction"
        )


def _log_corrupt(corrupt: corrupt_lib.CorruptLog) -> None:
    if len(corrupt):
        progress.log.warning("%s", corrupt.summary())


def _with_absolute_paths(config: Config) -> Config:
    """Returns the configuration with paths that mean the same from every working directory."""
    data = dataclasses.replace(
        config.data,
        path=wiring.absolute(config.data.path),
        cache_dir=wiring.absolute(config.data.cache_dir),
    )
    return dataclasses.replace(config, data=data)
