"""How images are made ready for the network: the checkpoint's way, where the user names no other.

The size, the resizing, the statistics and the padding that weights were trained with belong to the
weights. A configuration leaves them open; a training fills them in and stores them with its
version, so that every other mode does the same.
"""

import dataclasses
import math
from typing import Any

from simsearch import config as config_lib
from simsearch.config import Config
from simsearch.data.decoding import images
from simsearch.models import backbone as backbone_lib

# Fields that may be left open, by the value that does so.
OPEN = {
    ("data", "image_size"): 0,
    ("data", "resize_size"): 0,
    ("data", "resize_mode"): "auto",
    ("data", "interpolation"): "auto",
    ("data", "image_mean"): (),
    ("data", "image_std"): (),
    ("model", "padding"): "auto",
}
_KEYED = {"squash": "squashed", "short_side": "shorter side resized"}
_USUAL = backbone_lib.Preprocessing()


def resolve(config: Config, checkpoint: backbone_lib.Preprocessing = _USUAL) -> Config:
    """Returns the configuration with what it leaves open filled in.

    Args:
        config: The configuration; what it says itself stays.
        checkpoint: Of the weights; where there are none, the usual way.

    Raises:
        UsageError: Where what was filled in contradicts what the configuration says.
    """
    size = config.data.image_size or checkpoint.image_size
    return _filled(
        config,
        {
            ("data", "image_size"): size,
            ("data", "resize_size"): math.floor(size / checkpoint.crop_ratio),
            ("data", "resize_mode"): checkpoint.resize_mode,
            ("data", "interpolation"): checkpoint.interpolation,
            ("data", "image_mean"): checkpoint.image_mean,
            ("data", "image_std"): checkpoint.image_std,
            ("model", "padding"): "tensorflow" if checkpoint.same_padding else "torch",
        },
    )


def resolve_as(config: Config, stored: Config) -> Config:
    """Returns the configuration with what it leaves open taken from a stored one."""
    return _filled(config, {field: _get(stored, field) for field in OPEN})


def describe(config: Config) -> str:
    """Returns a resolved configuration's way in one line, for people."""
    return key(config)  # Other words would be written here, and leave the key as it is.


def key(config: Config) -> str:
    """Returns what two resolved configurations share where their embeddings may be compared.

    Indexes and embeddings on disk are known by it, so that its form never changes: another word
    would make each of them another model's.
    """
    data = config.data
    views = " and ".join(_KEYED[view] for view in images.VIEWS[data.resize_mode])
    mean, std = (
        ", ".join(f"{value:g}" for value in values) for values in (data.image_mean, data.image_std)
    )
    padding = ", padded as in TensorFlow" if config.model.padding == "tensorflow" else ""
    mirror = ", together with their mirror images" if config.model.mirror else ""
    return (
        f"{data.image_size} x {data.image_size} pixels, {views} to {data.resize_size} "
        f"({data.interpolation}), mean {mean}, std {std}{padding}{mirror}"
    )


def _filled(config: Config, values: dict[tuple[str, str], Any]) -> Config:
    groups = dataclasses.asdict(config)
    for (group, name), value in values.items():
        if groups[group][name] == OPEN[group, name]:
            groups[group][name] = value
    return config_lib.from_dict(groups)


def _get(config: Config, field: tuple[str, str]) -> Any:
    group, name = field
    return getattr(getattr(config, group), name)
