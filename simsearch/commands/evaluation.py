"""`--mode=eval`: figures and pictures of what a version retrieves."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from simsearch import errors, progress, runs, wiring
from simsearch.commands import calibration, discriminant, measurable, shared, trained_images
from simsearch.config import Config
from simsearch.config import files as config_files
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sources
from simsearch.retrieval import bootstrap, classifier, embed, report
from simsearch.retrieval import calibration as calibration_lib
from simsearch.retrieval import evaluate as evaluate_lib
from simsearch.retrieval import figures as figures_lib
from simsearch.training import records as records_lib

# More similar images to a query make pictures of a hundred megapixels, which nobody looks through.
MAX_SIMILAR = 100


class Evaluation(NamedTuple):
    """What an evaluation found, and where it is kept."""

    figures: figures_lib.Figures
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
        num_show_similar: Similar images in the pictures, `MAX_SIMILAR` at most.
        query_index: Row of the query to draw; None: a random one.
        seed: Of the random queries; None: another choice each time.
        overrides: Fields of the stored configuration to change: those that change no model.

    Raises:
        UsageError: Where the version, its checkpoint, its images or the query are not there, or
            too many similar images are to be drawn.
    """
    shared.check_split(split)
    if not 1 <= num_show_similar <= MAX_SIMILAR:
        raise errors.UsageError(
            f"--num_show_similar={num_show_similar} must be from 1 to {MAX_SIMILAR}"
        )
    found = runs.find(workdir, version)
    config = config_files.override(found.config, overrides or {}, allowed=shared.EVAL_FIELDS)
    shared.start_devices(config)
    shared.log_origin(found)
    discriminant.warn(found)
    splits = wiring.images.load_splits(config)
    measurable.check_queries(splits, split)
    images = splits[split]
    _check_query(query_index, len(images.labels), split)
    trained_images.warn(found, images, split)
    embedder = embed.Embedder.from_version(found, config=config)
    corrupt = corrupt_lib.CorruptLog()
    embedded = measurable.embed_both(found, embedder, splits, split, corrupt=corrupt)
    calibrated = calibration.of(found, embedder, splits, config=config, corrupt=corrupt)
    figures = _figures(
        config,
        embedded,
        splits=splits,
        split=split,
        class_vectors=_class_vectors(found, images),
        calibrated=calibrated,
    )
    figures = figures._replace(notes=_source_notes(found, config) + figures.notes)
    progress.log.info(
        "%s split, %s, version %d:\n%s",
        split,
        _queries(figures),
        found.number,
        report.table(figures, _pixel_figures(config, splits, split, corrupt)),
    )
    directory = found.eval_dir if split == "test" else found.eval_dir / split
    from_where = _source(config) | {"fingerprint": images.fingerprint}
    context = {"version": found.number, "split": split, "images": from_where}
    json_path = _store(directory, figures, context | {"weights": embedder.fingerprint})
    # matplotlib takes a second to import, and only pictures need it.
    from simsearch.plots import pictures

    paths = pictures.draw_all(
        directory,
        split=images,
        embedded=embedded[split],
        figures=figures,
        records=records_lib.read(found.metrics_file),
        monitor=config.train.monitor,
        num_similar=num_show_similar,
        query_index=query_index,
        seed=seed,
        max_pixels=config.data.max_pixels,
    )
    shared.log_corrupt(corrupt)
    progress.log.info("figures: %s\npictures:", json_path)
    for path in paths:
        progress.log.info("  %s", path)
    return Evaluation(figures, json_path, paths)


def _check_query(query_index: int | None, num_images: int, split: str) -> None:
    if query_index is not None and not 0 <= query_index < num_images:
        raise errors.UsageError(
            f"--query_index={query_index} must be from 0 to {num_images - 1}, a row of the {split} "
            "split"
        )


def _source(config: Config) -> dict[str, str | None]:
    """Returns where images come from: the set's name, and the folder where they lie in one."""
    data = shared.with_absolute_paths(config).data
    return {"source": data.source, "path": data.path or None}


def _source_notes(version: runs.Version, config: Config) -> tuple[str, ...]:
    """Returns the note that the images are not those that a version was configured with."""
    own, here = _source(version.config), _source(config)
    if own == here:
        return ()
    return (f"images of {here['path']}, not of the version's own data.path={own['path']}",)


def _store(
    directory: pathlib.Path, figures: figures_lib.Figures, context: Mapping[str, Any]
) -> pathlib.Path:
    """Writes the figures, perhaps in place of an earlier evaluation's, and returns the file."""
    directory.mkdir(parents=True, exist_ok=True)
    _remove_others(directory, context)
    path = directory / "eval.json"
    runs.write_json(path, figures_lib.to_json(figures, **context))
    return path


def _remove_others(directory: pathlib.Path, context: Mapping[str, Any]) -> None:
    """Removes the pictures of single queries of other images or weights: a row means another now.

    Args:
        directory: Where an earlier evaluation may lie.
        context: What is stored with the new evaluation's figures.
    """

    def identity(stored: Mapping[str, Any]) -> tuple[str, str]:
        return stored["weights"], stored["images"]["fingerprint"]

    try:
        before = identity(json.loads((directory / "eval.json").read_text()))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        before = None  # There is none, or it is of an earlier time and does not tell.
    if before != identity(context):
        for picture in directory.glob("query_*.png"):
            picture.unlink()


def _queries(figures: figures_lib.Figures) -> str:
    words = f"{figures.num_queries} queries"
    if not figures.num_left_out:
        return words
    alone = "image is alone in its" if figures.num_left_out == 1 else "images are alone in their"
    return f"{words} ({figures.num_left_out} {alone} class)"


def _class_vectors(version: runs.Version, images: sources.Split) -> np.ndarray | None:
    """Returns a version's class vectors, where its classes are those of the images."""
    if trained_images.knows_classes(version, images.class_names):
        return classifier.load(version)
    progress.log.warning(
        "these images are of other classes than version %d was trained on: its class vectors' "
        "accuracy is left out",
        version.number,
    )
    return None


def _figures(
    config: Config,
    embedded: Mapping[str, embed.Embedded],
    *,
    splits: dict[str, sources.Split],
    split: str,
    class_vectors: np.ndarray | None = None,
    calibrated: calibration_lib.Calibration | None = None,
) -> figures_lib.Figures:
    """Returns the figures of one split, images that could not be read left out.

    Args:
        config: Says how they are computed.
        embedded: The split and the train split, by name.
        splits: The images.
        split: Name of the one.
        class_vectors: The classes' vectors that the network was trained with, L2-normalised,
            float32 [C, D]; None: no `classifier_accuracy`.
        calibrated: The version's calibration; None: no figures of it.
    """
    queries, gallery = embedded[split], embedded["train"]
    return evaluate_lib.measure(
        queries.embeddings[queries.valid],
        splits[split].labels[queries.valid],
        gallery=gallery.embeddings[gallery.valid],
        gallery_labels=splits["train"].labels[gallery.valid],
        class_names=splits[split].class_names,
        own_rows=np.arange(np.sum(queries.valid)) if gallery is queries else None,
        options=evaluate_lib.Options.of(config.eval),
        class_vectors=class_vectors,
        calibration=calibrated,
    )


def _pixel_figures(
    config: Config,
    splits: dict[str, sources.Split],
    split: str,
    corrupt: corrupt_lib.CorruptLog,
) -> dict[str, bootstrap.Interval] | None:
    """Returns the same figures of the raw pixels, where they are asked for."""
    if not config.eval.pixel_baseline:
        return None
    embedded = {
        name: embed.embed_pixels(config, splits[name], corrupt=corrupt)
        for name in dict.fromkeys((split, "train"))
    }
    return _figures(config, embedded, splits=splits, split=split).metrics
