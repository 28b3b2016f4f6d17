"""The groups of a configuration and their fields: types and ranges.

`configs/train.py` gives the values and says what each field means.
"""

import dataclasses
from typing import Annotated, Literal

from simsearch import monitors
from simsearch.config import augment as augment_group
from simsearch.config import checks, serving
from simsearch.config import loss as loss_group
from simsearch.config.checks import (
    Count,
    Decay,
    Fraction,
    NonNegative,
    Positive,
    PositiveInt,
    Seed,
    SplitFraction,
)


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
    augment: augment_group.Augment
    model: Model
    loss: loss_group.Loss
    optimizer: Optimizer
    train: Train
    eval: Eval
    index: serving.Index
    serve: serving.Serve
