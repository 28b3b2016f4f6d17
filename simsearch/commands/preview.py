"""`--mode=preview`: a page of training images, drawn from the very batches of a training."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from simsearch import errors, preprocessing, progress, wiring
from simsearch.commands import shared
from simsearch.config import Config
from simsearch.config import files as config_files
from simsearch.data import batch as batch_lib
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sources
from simsearch.data import splits as splits_lib
from simsearch.data.decoding import images as images_lib

_NAME = "preview.png"
OUTPUT = f"runs/{_NAME}"
_NUM_ROWS, _NUM_AGAIN = 6, 5


def main(
    *,
    config: str | None,
    workdir: str | os.PathLike,
    output: str | None,
    overrides: Mapping[str, Any],
) -> pathlib.Path:
    """Draws the page of the configuration that is named."""
    loaded = config_files.load_config(config or "train", overrides)
    return preview(loaded, output=output or os.path.join(workdir, _NAME))


def preview(config: Config, *, output: str | os.PathLike = OUTPUT) -> pathlib.Path:
    """Draws triplets of a training's first batch, and their anchors augmented again.

    Args:
        config: As `load_config` returns it; nothing is trained, and no version is made.
        output: PNG to write.

    Returns:
        The path of the PNG.

    Raises:
        UsageError: Where the configuration does not fit the images.
        RunError: Where the images cannot be read.
    """
    shared.check_output(output)
    config = _as_in_training(_with_preprocessing(config))
    splits = wiring.images.load_splits(config)
    progress.log.info("%s", wiring.images.describe_splits(config, splits))
    train, corrupt = splits["train"], corrupt_lib.CorruptLog()
    draw = _Drawer(config, train, corrupt)
    rows = wiring.images.sample_rows(config, train.labels)(0)
    batch = draw(lambda step: rows, step=0)
    places = _triplets(config, batch)[:_NUM_ROWS]
    if not places:
        raise errors.RunError(f"no anchor of the batch can be read: {corrupt.summary()}")
    anchors = rows[[anchor for anchor, _, _ in places]]
    plain = draw.plain(anchors)
    again = draw(lambda step: np.repeat(anchors, _NUM_AGAIN), step=1)
    path = _save(output, config, train, batch, places=places, plain=plain, again=again)
    shared.log_corrupt(corrupt)
    progress.log.info("preview: %s", path)
    return path


class _Drawer:
    """Draws batches of chosen rows through the training's own pipeline."""

    def __init__(
        self, config: Config, split: sources.Split, corrupt: corrupt_lib.CorruptLog
    ) -> None:
        self._config, self._split, self._corrupt = config, split, corrupt
        self._load = wiring.images.image_loader(config, split)
        self._image_size = wiring.images.train_image_sizes(config)[0]

    def __call__(self, rows_of_step: Callable[[int], np.ndarray], *, step: int) -> batch_lib.Batch:
        batches = wiring.images.train_batches(
            self._config,
            self._split,
            rows_of_step=rows_of_step,
            start_step=step,
            end_step=step + 1,
            image_size=self._image_size,
            load=self._load,
            corrupt=self._corrupt,
        )
        return next(iter(batches))

    def plain(self, rows: np.ndarray) -> batch_lib.Batch:
        picked = splits_lib.pick(self._split, rows)
        whole = dataclasses.replace(self._config.eval, batch_size=len(rows))
        config = dataclasses.replace(self._config, eval=whole)
        return next(iter(wiring.images.eval_batches(config, picked, corrupt=self._corrupt)))


def _triplets(config: Config, batch: batch_lib.Batch) -> list[tuple[int, int | None, int | None]]:
    """Returns places of readable images: anchor, positive and negative; None where there is none.

    They are the sampler's own triplets, those whose anchor can be read, or one of each class; the
    whole ones come first.
    """
    if config.sampling.mode == "triplets":
        drawn = np.arange(len(batch.labels)).reshape(-1, 3).tolist()
        found = [tuple(i if batch.valid[i] else None for i in places) for places in drawn]
        return sorted((places for places in found if places[0] is not None), key=_num_missing)
    rng, readable = np.random.default_rng(config.train.seed), np.flatnonzero(batch.valid)
    labels = batch.labels[readable]
    found = []
    for label in dict.fromkeys(labels.tolist()):
        own, others = readable[labels == label], readable[labels != label]
        positive = int(own[1]) if len(own) > 1 else None
        negative = int(rng.choice(others)) if len(others) else None
        found.append((int(own[0]), positive, negative))
    return sorted(found, key=_num_missing)


def _num_missing(places: tuple[int | None, ...]) -> int:
    return places.count(None)


def _save(
    output: str | os.PathLike,
    config: Config,
    split: sources.Split,
    batch: batch_lib.Batch,
    *,
    places: list[tuple[int, int | None, int | None]],
    plain: batch_lib.Batch,
    again: batch_lib.Batch,
) -> pathlib.Path:
    from simsearch.plots import preview as plot

    def tile(source: batch_lib.Batch, place: int | None) -> plot.Tile | None:
        if place is None:
            return None
        return plot.Tile(
            source.images[place],
            split.class_names[source.labels[place]],
            _mixed_in(source, place, split.class_names),
        )

    def again_tile(place: int) -> plot.Tile:
        return plot.Tile(again.images[place], "", _mixed_in(again, place, split.class_names))

    rows = [
        plot.Row(
            *(tile(batch, place) for place in triplet),
            plain=tile(plain, i),
            again=[again_tile(i * _NUM_AGAIN + j) for j in range(_NUM_AGAIN)],
        )
        for i, triplet in enumerate(places)
    ]
    num_classes, side = len(set(split.labels.tolist())), batch.images.shape[1]
    return plot.draw(
        output,
        rows,
        title="What the network sees in its first step",
        subtitle=(
            f"{config.data.source} {config.data.path}".rstrip()
            + f": {len(split.labels)} train images of "
            f"{num_classes} classes",
            f"{_sampling(config, num_classes)}, {side} x {side} pixels from "
            f"{config.data.resize_size} ({config.data.resize_mode}), "
            f"seed {wiring.images.sampling_seed(config)}",
            _augmentation(config),
        ),
    )


def _mixed_in(batch: batch_lib.Batch, place: int, class_names: tuple[str, ...]) -> str:
    """Returns such as "+ 20% cake"; nothing where nothing was mixed in."""
    if batch.mix_weights is None or batch.mix_weights[place] == 1:
        return ""
    from simsearch.plots import style

    share = style.percent(1 - float(batch.mix_weights[place]))
    return f"+ {share} {class_names[batch.mixed_labels[place]]}"


def _sampling(config: Config, num_classes: int) -> str:
    sampling, size = config.sampling, config.train.batch_size
    if sampling.mode in ("classes_by_samples", "hard_classes"):
        count = sampling.samples_per_class
        slots = size // count
        often = ", classes come again" if slots > num_classes else ""
        return f"batches of {slots} classes x {count} images ({sampling.mode}{often})"
    return f"batches of {size} images ({sampling.mode})"


def _augmentation(config: Config) -> str:
    """Returns the strengths that change anything, in the words of the configuration."""
    values = dict(vars(config.augment))
    off = {"crop_scale_min": 1.0, "crop_ratio_max": 1.0, "policy": "none"}
    if values["policy"] == "none":
        values = {name: value for name, value in values.items() if "policy_" not in name}
    if not values["erase_probability"]:
        values = {name: value for name, value in values.items() if "erase_" not in name}
    shown = [
        f"{name} {value if isinstance(value, str) else f'{value:.3g}'}"
        for name, value in values.items()
        if name != "preset" and (value != off.get(name, 0) or name.startswith("policy_"))
    ]
    return f"preset {config.augment.preset}: " + (", ".join(shown) or "nothing is changed")


def _as_in_training(config: Config) -> Config:
    """Returns the configuration with the one view of an image that training is made of."""
    view = images_lib.training_view(config.data.resize_mode)
    return dataclasses.replace(config, data=dataclasses.replace(config.data, resize_mode=view))


def _with_preprocessing(config: Config) -> Config:
    """Returns the configuration with the preprocessing of its weights, where they can be read."""
    is_open = any(
        getattr(getattr(config, group), name) == value
        for (group, name), value in preprocessing.OPEN.items()
    )
    if not is_open:
        return config
    try:
        return preprocessing.resolve(config, wiring.network.read_weights(config).preprocessing)
    except errors.RunError as error:
        progress.log.warning("drawn with the usual preprocessing, since %s", error)
        return preprocessing.resolve(config)
