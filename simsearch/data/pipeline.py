"""The tf.data pipeline: rows of a split to augmented batches, in an order that depends on the step.

TensorFlow's door in training; it works on the CPU alone.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from simsearch import cores, errors
from simsearch.data import batch as batch_lib
from simsearch.data import cache as cache_lib
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sampling, splits
from simsearch.data.augmentation import augment as augment_lib
from simsearch.data.augmentation import image_ops
from simsearch.data.decoding import images


def train_batches(
    split: splits.Split,
    *,
    sample_rows: Callable[[int], np.ndarray],
    seed: int,
    start_step: int,
    num_steps: int,
    image_size: int,
    augmentation: augment_lib.Augmentation,
    load: cache_lib.Load,
    on_corrupt: str,
    corrupt: corrupt_lib.CorruptLog,
    mixup_alpha: float = 0.0,
    prefetch: int = 2,
) -> Iterator[batch_lib.Batch]:
    """Yields batches `start_step`, `start_step + 1`, …; each depends on (seed, its step) alone.

    Args:
        split: The training images.
        sample_rows: From a step to the rows of its batch, as the makers in `sampling` return it.
        seed: Decides, with the step, what the augmentation does.
        start_step: The first batch.
        num_steps: How many batches.
        image_size: Side S of the square that the network sees, in pixels.
        augmentation: What is changed at random.
        load: From a row to its decoded and resized image, as `loader` returns it.
        on_corrupt: "skip" replaces an image that cannot be read by the first of its batch that
            can, with `valid` False, so that BatchNorm sees an image; "fail" stops.
        corrupt: Collects the names of the images that cannot be read.
        mixup_alpha: Both parameters of the Beta distribution that a batch's images are mixed by; 0:
            they are not.
        prefetch: Batches made ahead.

    Raises:
        RunError: Where an image cannot be read and `on_corrupt` is "fail".
    """
    _hide_gpus()

    failures: list[Exception] = []

    def read(row: np.int64) -> tuple[np.ndarray, np.bool_]:
        # Nothing is raised through TensorFlow, whose message would bury it.
        try:
            image = load(int(row))
            if not augmentation.crops:
                image = images.center_crop(image, image_size)
            return image, np.bool_(True)
        except (errors.CorruptImage, OSError) as error:
            corrupt.add(split.names[int(row)], str(error))
        except Exception as error:
            failures.append(error)
        return np.zeros((image_size, image_size, 3), np.uint8), np.bool_(False)

    def make(row: tf.Tensor, image_seed: tf.Tensor, partner: tf.Tensor, share: tf.Tensor) -> _Rows:
        image, is_valid = tf.numpy_function(read, [row], [tf.uint8, tf.bool], stateful=False)
        image = tf.ensure_shape(image, [None, None, 3])
        image = augment_lib.augment(
            image, image_seed, image_size=image_size, augmentation=augmentation
        )
        return _Rows(image, row, tf.ensure_shape(is_valid, []), partner, share)

    def steps() -> Iterator[tuple[np.ndarray, ...]]:
        for step in range(start_step, start_step + num_steps):
            yield _draws(sample_rows(step), seed=seed, step=step, mixup_alpha=mixup_alpha)

    if num_steps <= 0:
        return
    dataset = (
        tf.data.Dataset.from_generator(steps, output_signature=_SIGNATURE)
        .unbatch()
        .map(make, num_parallel_calls=cores.count(), deterministic=True)
        .batch(len(next(steps())[0]))
        .map(_finish)
        .prefetch(prefetch)
        .with_options(_options())
    )
    for rows in dataset.as_numpy_iterator():
        if failures:
            raise failures[0]
        corrupt.check(on_corrupt)
        labels = split.labels[rows.row].astype(np.int32)
        mixed = (labels[rows.partner], rows.share) if mixup_alpha else ()
        yield batch_lib.Batch(rows.image, labels, rows.valid, *mixed)


class _Rows(NamedTuple):
    """A row of a batch, or all of them, with its augmented image."""

    image: tf.Tensor  # uint8 [S, S, 3]
    row: tf.Tensor  # int64 []
    valid: tf.Tensor  # bool []
    partner: tf.Tensor  # int64 [], whose image is mixed in, as a place in the batch
    share: tf.Tensor  # float32 [], of the own image


_SIGNATURE = (
    tf.TensorSpec([None], tf.int64),
    tf.TensorSpec([None, 2], tf.int32),
    tf.TensorSpec([None], tf.int64),
    tf.TensorSpec([None], tf.float32),
)


def _draws(rows: np.ndarray, *, seed: int, step: int, mixup_alpha: float) -> tuple[np.ndarray, ...]:
    """Returns what a batch is made of: rows, augmentation seeds [B, 2], partners, shares."""
    seeds = sampling.augment_seeds(seed=seed, step=step, batch_size=len(rows))
    mixed = sampling.mixup(seed=seed, step=step, batch_size=len(rows), alpha=mixup_alpha)
    return rows, seeds, *mixed


def _finish(rows: _Rows) -> _Rows:
    """Puts a readable image where one is not, and mixes the images that both are readable."""
    place = tf.range(tf.shape(rows.valid)[0], dtype=tf.int64)
    first = tf.argmax(tf.cast(rows.valid, tf.int32))
    image = tf.cond(
        tf.reduce_all(rows.valid),
        lambda: rows.image,
        lambda: tf.gather(rows.image, tf.where(rows.valid, place, first)),
    )
    is_mixed = rows.valid & tf.gather(rows.valid, rows.partner) & (rows.partner != place)
    share = tf.where(is_mixed, rows.share, 1.0)
    image = tf.cond(
        tf.reduce_any(share < 1.0), lambda: _mix(image, rows.partner, share), lambda: image
    )
    return rows._replace(image=image, partner=tf.where(is_mixed, rows.partner, place), share=share)


def _mix(images: tf.Tensor, partners: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    shares = shares[:, None, None, None]
    own, others = tf.cast(images, tf.float32), tf.cast(tf.gather(images, partners), tf.float32)
    return image_ops.to_uint8(others + shares * (own - others))


def _options() -> tf.data.Options:
    """Returns options without autotuning, whose end is waited for up to a minute, idle."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _hide_gpus() -> None:
    # Refused once TensorFlow has run something; the pipeline computes on the CPU even then.
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")


def loader(
    split: splits.Split,
    *,
    resize_mode: str,
    resize_size: int,
    max_pixels: int,
    cache: str,
    cache_dir: str,
    interpolation: str = "bilinear",
) -> cache_lib.Load:
    """Returns the function from a row to its image, decoded, resized and not yet augmented.

    Args:
        split: The images.
        resize_mode: "squash" or "short_side".
        resize_size: Side, or shorter side, in pixels.
        max_pixels: A larger image is not decoded.
        cache: Where images are kept: "none", "ram" or "disk".
        cache_dir: Where the disk cache is.
        interpolation: How the image is resized: "bilinear" or "bicubic".
    """

    def load(row: int) -> np.ndarray:
        return images.decode(
            split.read(row),
            resize_mode=resize_mode,
            resize_size=resize_size,
            max_pixels=max_pixels,
            interpolation=interpolation,
        )

    key = f"{split.fingerprint} {resize_mode} {resize_size} {max_pixels} {interpolation}"
    return cache_lib.cached(load, cache, directory=cache_dir, key=key)
