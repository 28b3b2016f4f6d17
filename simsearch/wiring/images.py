"""From a configuration to the images that it names, and to the batches that are made of them."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from simsearch import cores, preprocessing
from simsearch.config import Config
from simsearch.data import balanced, class_splits, duplicates, sampling, sources
from simsearch.data import batch as batch_lib
from simsearch.data import confusion as confusion_lib
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import eval_batches as eval_batches_lib
from simsearch.data.decoding import images
from simsearch.wiring import paths

# Batches whose images stand for all of a training.
_NUM_FIRST = 16


def load_splits(config: Config, *, for_training: bool = False) -> dict[str, sources.Split]:
    """Returns the splits "train", "validation" and "test" of the configured images.

    Args:
        config: The run's configuration.
        for_training: Whether to stop where it may be that others are found the next time.

    Raises:
        UsageError: Where there are no such images.
        RunError: Where it stops.
    """
    splits = source_splits(config)
    if not config.data.drop_duplicates:
        return splits
    folder = paths.cache_dir(config, "duplicates")
    return duplicates.drop_from_train(splits, cache_dir=folder, must_be_final=for_training)


def source_splits(config: Config) -> dict[str, sources.Split]:
    """Returns the same with every image of the source, copies of held-out ones included."""
    data = config.data
    found = sources.load(
        data.source,
        path=data.path,
        valid_fraction=data.valid_fraction,
        test_fraction=data.test_fraction,
        split_seed=data.split_seed,
        image_column=data.image_column,
        label_column=data.label_column,
        cache_dir=paths.cache_dir(config, "datasets"),
    )
    if data.split == "image":
        return found
    class_names = found["train"].class_names
    return class_splits.by_class(
        found,
        valid_class_fraction=data.valid_class_fraction,
        test_class_fraction=data.test_class_fraction,
        valid_classes=_names(data.valid_classes, class_names),
        test_classes=_names(data.test_classes, class_names),
        split_seed=data.split_seed,
    )


def describe_splits(config: Config, splits: Mapping[str, sources.Split]) -> str:
    """Returns one line: images and classes of each split, and whether classes are shared."""
    return class_splits.describe(splits, config.data.split)


def _names(text: str, class_names: Sequence[str]) -> list[str]:
    """Returns the names between commas; of those that have commas themselves, the longest."""
    known = set(class_names)
    longest = 1 + max((name.count(",") for name in known), default=0)
    names, parts = [], text.split(",")
    while parts:
        joined = [",".join(parts[:size]).strip() for size in range(longest, 0, -1)]
        name = next((name for name in joined if name in known), joined[-1])
        names += [name] if name else []
        parts = parts[1 + name.count(",") :]
    return names


def sample_rows(
    config: Config, labels: np.ndarray, *, confusion: confusion_lib.Counts | None = None
) -> Callable[[int], np.ndarray]:
    """Returns the function from a step to the rows of its batch.

    Args:
        config: The run's configuration.
        labels: Classes of the training images, int [N].
        confusion: Of the last validation; read by sampling.mode=hard_classes alone.
    """
    options = {"seed": sampling_seed(config), "batch_size": config.train.batch_size}
    per_class = {"samples_per_class": config.sampling.samples_per_class}
    match config.sampling.mode:
        case "triplets":
            return sampling.triplets(labels, **options)
        case "class_balanced":
            return balanced.class_balanced(labels, **options)
        case "hard_classes":
            hard = {"hard_fraction": config.sampling.hard_fraction, "confusion": confusion}
            return balanced.hard_classes(labels, **options, **per_class, **hard)
        case _:
            return sampling.classes_by_samples(labels, **options, **per_class)


def image_loader(config: Config, split: sources.Split) -> Callable[[int], np.ndarray]:
    """Returns the function from a row to its decoded image, with the configured cache."""
    # TensorFlow takes seconds to import, and only training needs it.
    from simsearch.data import pipeline

    data = preprocessing.resolve(config).data
    return pipeline.loader(
        split,
        resize_mode=images.training_view(data.resize_mode),
        resize_size=data.resize_size,
        max_pixels=data.max_pixels,
        interpolation=data.interpolation,
        cache=data.cache,
        cache_dir=paths.cache_dir(config, "images"),
    )


def train_image_sizes(config: Config) -> tuple[int, int]:
    """Returns the side of the images in the first `data.early_share` of training, and after it.

    References:
        Touvron et al., Fixing the Train-Test Resolution Discrepancy, 2019.
        Tan and Le, EfficientNetV2: Smaller Models and Faster Training, 2021: the smaller ones.
    """
    data = preprocessing.resolve(config).data
    size = data.train_image_size or data.image_size
    return data.early_image_size or size, size


def train_batches(
    config: Config,
    split: sources.Split,
    *,
    rows_of_step: Callable[[int], np.ndarray],
    start_step: int,
    end_step: int,
    image_size: int,
    load: Callable[[int], np.ndarray],
    corrupt: corrupt_lib.CorruptLog,
) -> Iterator[batch_lib.Batch]:
    """Yields the augmented batches from `start_step` up to `end_step`, which is none of them.

    Args:
        config: The run's configuration.
        split: The training images.
        rows_of_step: As `sample_rows` returns it.
        start_step: The first batch.
        end_step: Where the batches end.
        image_size: Side of the images in pixels, as `train_image_sizes` gives it.
        load: As `image_loader` returns it.
        corrupt: Collects the rows that could not be read.
    """
    from simsearch.data import pipeline

    return pipeline.train_batches(
        split,
        sample_rows=rows_of_step,
        seed=sampling_seed(config),
        start_step=start_step,
        num_steps=end_step - start_step,
        image_size=image_size,
        augmentation=_augmentation(config),
        load=load,
        on_corrupt=config.data.on_corrupt,
        corrupt=corrupt,
        mixup_alpha=config.augment.mixup_alpha,
        prefetch=config.data.prefetch_batches,
    )


def first_images(
    config: Config, split: sources.Split, *, corrupt: corrupt_lib.CorruptLog
) -> Iterator[np.ndarray]:
    """Yields the augmented images of a training's first batches, uint8 [B, S, S, 3].

    They stand for all of them where statistics of what the network gets are taken. Trainings that
    differ in `sampling.seed` alone have the same, so that they start from the same network.

    Args:
        config: The run's configuration.
        split: The training images.
        corrupt: Collects the rows that could not be read.
    """
    _, image_size = train_image_sizes(config)
    config = dataclasses.replace(config, sampling=dataclasses.replace(config.sampling, seed=-1))
    batches = train_batches(
        config,
        split,
        rows_of_step=sample_rows(config, split.labels),
        start_step=0,
        end_step=_NUM_FIRST,
        image_size=image_size,
        load=image_loader(config, split),
        corrupt=corrupt,
    )
    return (batch.images for batch in batches)


def sampling_seed(config: Config) -> int:
    """Returns the seed of the batches and the augmentation."""
    return config.train.seed if config.sampling.seed < 0 else config.sampling.seed


def _augmentation(config: Config) -> Any:
    from simsearch.data.augmentation import augment, erasing, policies

    values = vars(config.augment)

    def fields(kind: Any, prefix: str = "") -> dict[str, Any]:
        return {name: values[prefix + name] for name in kind._fields if prefix + name in values}

    parts = {
        "policy": policies.Policy(name=values["policy"], **fields(policies.Policy, "policy_")),
        "erasing": erasing.Erasing(**fields(erasing.Erasing, "erase_")),
    }
    return augment.Augmentation(**fields(augment.Augmentation) | parts)


def eval_batches(
    config: Config, split: sources.Split, *, corrupt: corrupt_lib.CorruptLog
) -> Iterator[batch_lib.Batch]:
    """Yields a split's images in row order, never augmented, the last batch padded."""
    data = preprocessing.resolve(config).data
    return eval_batches_lib.eval_batches(
        split,
        batch_size=config.eval.batch_size,
        image_size=data.image_size,
        resize_mode=data.resize_mode,
        resize_size=data.resize_size,
        max_pixels=data.max_pixels,
        on_corrupt=data.on_corrupt,
        corrupt=corrupt,
        num_threads=data.num_threads or cores.count(),
        interpolation=data.interpolation,
    )
