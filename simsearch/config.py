"""The configuration of a run: frozen dataclasses, checked once, all problems in one message.

`configs/train.py` gives the values and says what each field means; here stand the types and ranges.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

from simsearch import config_augment, config_loss, errors, monitors
from simsearch import config_checks as checks
from simsearch import config_serving as serving
from simsearch.config_checks import (
    Count,
    Decay,
    Fraction,
    NonNegative,
    Positive,
    PositiveInt,
    Seed,
    SplitFraction,
)

_MIN_PIXELS = 8


@dataclasses.dataclass(frozen=True)
class Data:
    """Where the images come from and how they are read."""

    source: str
    path: str
    image_column: str
    label_column: str
    valid_fraction: SplitFraction
    test_fraction: SplitFraction
    split: Literal["image", "class"]
    valid_class_fraction: SplitFraction
    test_class_fraction: SplitFraction
    valid_classes: str
    test_classes: str
    split_seed: Count
    drop_duplicates: bool
    image_size: Count
    resize_size: Count
    train_image_size: Count
    early_image_size: Count
    early_share: Annotated[float, checks.Range(above=0, below=1)]
    resize_mode: Literal["auto", "squash", "short_side", "both"]
    interpolation: Literal["auto", "bilinear", "bicubic"]
    image_mean: Annotated[tuple[float, ...], checks.Range(at_least=0, at_most=1)]
    image_std: Annotated[tuple[float, ...], checks.Range(above=0, at_most=1)]
    max_pixels: PositiveInt
    cache: Literal["none", "ram", "disk"]
    cache_dir: str
    on_corrupt: Literal["skip", "fail"]
    num_threads: Count
    prefetch_batches: PositiveInt


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Which images make a batch."""

    mode: Literal["classes_by_samples", "triplets", "class_balanced", "hard_classes"]
    samples_per_class: Annotated[int, checks.Range(at_least=2)]
    seed: Annotated[int, checks.Range(at_least=-1)]
    hard_fraction: Fraction


@dataclasses.dataclass(frozen=True)
class Model:
    """The embedding network."""

    backbone: str
    weights: str
    embedding_size: Annotated[int, checks.Range(at_least=2)]
    head: Literal["linear", "mlp", "none"]
    pooling: Literal["average", "max", "gem"]
    num_backbones: Annotated[int, checks.Range(at_least=1)]
    freeze: str
    freeze_batch_norm: bool
    padding: Literal["auto", "torch", "tensorflow"]
    dtype: Literal["float32", "bfloat16"]
    discriminant: bool
    mirror: bool


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """AdamW and its schedule."""

    learning_rate: Positive
    backbone_multiplier: Positive
    proxy_multiplier: Positive
    weight_decay: NonNegative
    warmup_epochs: NonNegative
    final_fraction: Fraction
    beta1: Decay
    beta2: Decay
    epsilon: Positive
    clip_norm: NonNegative


@dataclasses.dataclass(frozen=True)
class Train:
    """How long, how wide, and how often it reports."""

    num_epochs: Count
    num_steps: Count
    batch_size: Annotated[int, checks.Range(at_least=2)]
    num_devices: Count
    seed: Seed
    accumulate_steps: PositiveInt
    ema_decay: Decay
    log_every_steps: PositiveInt
    eval_every_epochs: PositiveInt
    checkpoint_every_steps: Count
    monitor: Literal[monitors.NAMES]
    patience: Count
    collapse_spread: Fraction


@dataclasses.dataclass(frozen=True)
class Eval:
    """How retrieval is measured."""

    batch_size: PositiveInt
    num_neighbors: PositiveInt
    temperature: Positive
    triplet_margin: Positive
    num_triplets: PositiveInt
    num_bootstrap: PositiveInt
    confidence: SplitFraction
    seed: Count
    max_pairs: PositiveInt
    max_clustered: Annotated[int, checks.Range(at_least=2)]
    open_set_folds: Annotated[int, checks.Range(at_least=2)]
    calibration: Literal["isotonic", "logistic"]
    false_match_rate: Annotated[float, checks.Range(at_least=0, below=1)]
    pixel_baseline: bool


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides a run. Fields and units: `configs/train.py`."""

    data: Data
    sampling: Sampling
    augment: config_augment.Augment
    model: Model
    loss: config_loss.Loss
    optimizer: Optimizer
    train: Train
    eval: Eval
    index: serving.Index
    serve: serving.Serve


def from_dict(values: Mapping[str, Any]) -> Config:
    """Returns the checked configuration.

    Args:
        values: Mapping from group to field to value, such as a ConfigDict's `to_dict()`. None in
            a field that `augment.preset` decides takes the preset's value.

    Raises:
        UsageError: With every unknown, missing, ill-typed or out-of-range field, and every
            contradiction between fields, in one message.
    """
    problems: list[str] = []
    groups = checks.checked_fields(Config, config_augment.resolve(values), problems=problems)
    if problems:
        raise errors.UsageError("; ".join(problems))
    config = Config(**groups)
    problems.extend(_contradictions(config))
    if problems:
        raise errors.UsageError("; ".join(problems))
    return config


def to_json(config: Config) -> str:
    """Returns the configuration as indented JSON, the text of a version's `config.json`."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(
    text: str,
    *,
    defaults: Mapping[str, Any] | None = None,
    upgrade: Callable[[Any], Any] = lambda values: values,
) -> Config:
    """Returns the configuration that `to_json` wrote.

    Args:
        text: What it wrote.
        defaults: Nested mappings of values for the fields that came after the text.
        upgrade: Puts fields where they stand today.

    Raises:
        UsageError: As `from_dict`, or where the text is not JSON.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise errors.UsageError(f"the stored configuration is not JSON: {error}") from error
    return from_dict(checks.filled(upgrade(values), defaults or {}))


def field_names() -> list[str]:
    """Returns every `group.field`, with the groups inside groups, in order."""
    return checks.field_names(Config)


def differences(old: Config, new: Config) -> list[str]:
    """Returns one `group.field: old -> new` for each field in which two configurations differ."""
    before, after = (checks.flat(dataclasses.asdict(config)) for config in (old, new))
    return [
        f"{name}: {value!r} -> {after[name]!r}"
        for name, value in before.items()
        if value != after[name]
    ]


def _contradictions(config: Config) -> Iterator[str]:
    """Yields what is wrong between fields that are each right."""
    data, sampling, train, model = config.data, config.sampling, config.train, config.model
    is_fixed = model.freeze == "all" and model.head == "none" and model.pooling != "gem"
    if is_fixed and (train.num_epochs or train.num_steps):
        yield "model.freeze=all with model.head=none leaves nothing to train"
    if data.source == "folder" and not data.path:
        yield "data.source=folder needs data.path, the folder of class folders"
    if data.source != "folder" and data.path:
        yield f"data.path={data.path!r} is read only with data.source=folder, not {data.source}"
    for name, size in (("image_size", data.image_size), ("resize_size", data.resize_size)):
        if 0 < size < _MIN_PIXELS:
            yield f"data.{name}={size} must be at least {_MIN_PIXELS}, or 0 for the weights' own"
    for name, values in (("image_mean", data.image_mean), ("image_std", data.image_std)):
        if len(values) not in (0, 3):
            yield f"data.{name}={values} must be three numbers, or () for the weights' own"
    if 0 < data.resize_size < data.image_size:
        yield (
            f"data.resize_size={data.resize_size} must be at least "
            f"data.image_size={data.image_size}, which is cropped from it"
        )
    for name, zero in (("train", "data.image_size"), ("early", "as in the other steps")):
        size = getattr(data, f"{name}_image_size")
        if 0 < data.resize_size < size or 0 < size < _MIN_PIXELS:
            yield (
                f"data.{name}_image_size={size} must be 0, for {zero}, or from {_MIN_PIXELS} to "
                f"data.resize_size={data.resize_size or 'that of the weights'}"
            )
    later = data.train_image_size or data.image_size
    if 0 < later < data.early_image_size:
        yield (
            f"data.early_image_size={data.early_image_size} must be at most the {later} pixels of "
            "the steps after it, or 0"
        )
    if data.valid_fraction + data.test_fraction >= 1:
        yield "data.valid_fraction + data.test_fraction must be under 1, or no image is left"
    if data.valid_class_fraction + data.test_class_fraction >= 1:
        yield (
            "data.valid_class_fraction + data.test_class_fraction must be under 1, or no class is "
            "left to train on"
        )
    if data.split == "image" and (data.valid_classes or data.test_classes):
        yield "data.valid_classes and data.test_classes are read only with data.split=class"
    if sampling.mode == "hard_classes" and data.split == "class":
        yield (
            "sampling.mode=hard_classes needs data.split=image: a validation on other classes "
            "tells nothing of those that are trained on"
        )
    yield from config_augment.contradictions(config.augment)
    yield from serving.contradictions(config.serve)
    yield from _of_batches(config.sampling, train.batch_size)
    yield from _of_losses(config)


def _of_batches(sampling: Sampling, batch_size: int) -> Iterator[str]:
    """Yields why no batches of a size can be made."""
    if sampling.mode == "triplets" and batch_size % 3:
        yield (
            f"train.batch_size={batch_size} counts images and sampling.mode=triplets takes "
            f"three for each triplet; try {max(3, batch_size // 3 * 3)}"
        )
    if sampling.mode in ("classes_by_samples", "hard_classes"):
        if batch_size % sampling.samples_per_class:
            yield (
                f"train.batch_size={batch_size} must be a multiple of "
                f"sampling.samples_per_class={sampling.samples_per_class}"
            )
        elif batch_size == sampling.samples_per_class:
            yield (
                f"train.batch_size={batch_size} with sampling.samples_per_class="
                f"{sampling.samples_per_class} makes batches of one class, which nothing is told "
                f"apart from; try train.batch_size={2 * sampling.samples_per_class} or more"
            )


def _of_losses(config: Config) -> Iterator[str]:
    """Yields what is wrong between the losses and how they are trained."""
    terms = config.loss.terms
    uses_own_triplets = terms.triplet and config.loss.triplet.miner == "none"
    if config.sampling.mode != "triplets" and uses_own_triplets:
        yield "loss.triplet.miner=none needs sampling.mode=triplets, or choose a miner"
    has_class_vectors = terms.proxy_anchor or terms.arcface or terms.normalised_softmax
    if config.train.monitor == "classifier_accuracy" and not has_class_vectors:
        yield (
            "train.monitor=classifier_accuracy needs a loss with class vectors, such as "
            "loss.terms.normalised_softmax=1; or choose another, such as map_at_r"
        )
    yield from config_loss.contradictions(config.loss)
