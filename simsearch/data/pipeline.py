"""The tf.data pipeline: rows of a split to augmented batches, in an order that depends on the step.

TensorFlow's door in training; it works on the CPU alone.
"""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from simsearch.data import augment as augment_lib
from simsearch.data import batch as batch_lib
from simsearch.data import cache as cache_lib
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import images, sampling, splits


def train_batches(
    split: splits.Split,
    *,
    sample_rows: Callable[[int], np.ndarray],
    seed: int,
    start_step: int,
    num_steps: int,
    image_size: int,
    resize_mode: str,
    resize_size: int,
    max_pixels: int,
    augmentation: augment_lib.Augmentation,
    cache: str,
    cache_dir: str,
    on_corrupt: str,
    corrupt: corrupt_lib.CorruptLog,
    shard: tuple[int, int] = (0, 1),
    prefetch: int = 2,
) -> Iterator[batch_lib.Batch]:
    """Yields batches `start_step`, `start_step + 1`, …; each depends on (seed, its step) alone.

    Args:
        split: The training images.
        sample_rows: From a step to the rows of its batch, as the makers in `sampling` return it.
        seed: Of the augmentation.
        start_step: The first batch.
        num_steps: How many batches.
        image_size: Side S of the square that the network sees, in pixels.
        resize_mode: "squash" or "short_side".
        resize_size: Side, or shorter side, before the crop.
        max_pixels: A larger image is not decoded.
        augmentation: What is changed at random.
        cache: Where resized images are kept: "none", "ram" or "disk".
        cache_dir: Where the disk cache is.
        on_corrupt: "skip" replaces an image that cannot be read by the first of its batch that
            can, with `valid` False, so that BatchNorm sees an image; "fail" stops.
        corrupt: Collects the names of those.
        shard: This host's number and how many hosts take consecutive parts of each batch.
        prefetch: Batches made ahead.

    Raises:
        RunError: Where an image cannot be read and `on_corrupt` is "fail".
    """
    _hide_gpus()

    def steps() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for step in range(start_step, start_step + num_steps):
            yield _rows_and_seeds(sample_rows(step), seed=seed, step=step, shard=shard)

    load = _loader(
        split,
        resize_mode=resize_mode,
        resize_size=resize_size,
        max_pixels=max_pixels,
        cache=cache,
        cache_dir=cache_dir,
    )

    failures: list[Exception] = []

    def read(row: np.int64) -> tuple[np.ndarray, np.bool_]:
        # Nothing is raised through TensorFlow, whose message would bury it.
        try:
            image = load(int(row))
            if not augmentation.crops:
                image = images.center_crop(image, image_size)
            return image, np.bool_(True)
        except (images.CorruptImage, OSError) as error:
            corrupt.add(split.names[int(row)], str(error))
        except Exception as error:
            failures.append(error)
        return np.zeros((image_size, image_size, 3), np.uint8), np.bool_(False)

    def make(row: tf.Tensor, image_seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        image, is_valid = tf.numpy_function(read, [row], [tf.uint8, tf.bool], stateful=False)
        image = tf.ensure_shape(image, [None, None, 3])
        image = augment_lib.augment(
            image, image_seed, image_size=image_size, augmentation=augmentation
        )
        return image, row, tf.ensure_shape(is_valid, [])

    if num_steps <= 0:
        return
    batch_size = len(next(steps())[0])
    signature = (
        tf.TensorSpec([None], tf.int64),
        tf.TensorSpec([None, 2], tf.int32),
    )
    dataset = (
        tf.data.Dataset.from_generator(steps, output_signature=signature)
        .unbatch()
        .map(make, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size)
        .prefetch(prefetch)
    )
    for pixels, rows, valid in dataset.as_numpy_iterator():
        if failures:
            raise failures[0]
        corrupt.check(on_corrupt)
        if not valid.all() and valid.any():
            pixels = pixels[np.where(valid, np.arange(len(valid)), np.argmax(valid))]
        yield batch_lib.Batch(pixels, split.labels[rows].astype(np.int32), valid)


def _rows_and_seeds(
    rows: np.ndarray, *, seed: int, step: int, shard: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns this host's part of a batch: rows int64 [b] and augmentation seeds int32 [b, 2]."""
    seeds = sampling.augment_seeds(seed=seed, step=step, batch_size=len(rows))
    index, num_shards = shard
    own = np.array_split(np.arange(len(rows)), num_shards)[index]
    return rows[own], seeds[own]


def _hide_gpus() -> None:
    # Refused once TensorFlow has run something; the pipeline computes on the CPU even then.
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")


def _loader(
    split: splits.Split,
    *,
    resize_mode: str,
    resize_size: int,
    max_pixels: int,
    cache: str,
    cache_dir: str,
) -> cache_lib.Load:
    def load(row: int) -> np.ndarray:
        return images.decode(
            split.read(row),
            resize_mode=resize_mode,
            resize_size=resize_size,
            max_pixels=max_pixels,
        )

    key = f"{split.fingerprint} {resize_mode} {resize_size} {max_pixels}"
    return cache_lib.cached(load, cache, directory=cache_dir, key=key)
