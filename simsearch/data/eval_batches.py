"""Images in row order, as the network sees them when it is not trained; no TensorFlow."""

import collections
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from simsearch import errors
from simsearch.data import batch as batch_lib
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import splits
from simsearch.data.decoding import images


def eval_batches(
    split: splits.Split,
    *,
    batch_size: int,
    image_size: int,
    resize_mode: str,
    resize_size: int,
    max_pixels: int,
    on_corrupt: str,
    corrupt: corrupt_lib.CorruptLog,
    num_threads: int,
    interpolation: str = "bilinear",
) -> Iterator[batch_lib.Batch]:
    """Yields all images of a split, never augmented, the last batch padded.

    Args:
        split: The images.
        batch_size: Images B of each batch.
        image_size: Side S of the square that the network sees, in pixels.
        resize_mode: One of `images.VIEWS`.
        resize_size: Side, or shorter side, before the crop.
        max_pixels: A larger image is not decoded.
        on_corrupt: "skip" leaves `valid` False for an image that cannot be read; "fail" stops.
        corrupt: Collects the names of the images that cannot be read.
        num_threads: Threads that read and decode, a batch ahead of the one that is asked for.
        interpolation: How the image is resized: "bilinear" or "bicubic".

    Raises:
        RunError: Where an image cannot be read and `on_corrupt` is "fail".
    """

    def load(row: int) -> np.ndarray | None:
        try:
            return images.load_for_eval(
                split.read(row),
                resize_mode=resize_mode,
                resize_size=resize_size,
                image_size=image_size,
                max_pixels=max_pixels,
                interpolation=interpolation,
            )
        except (errors.CorruptImage, OSError) as error:
            corrupt.add(split.names[row], str(error), may_pass=images.may_pass(error))
            return None

    num_rows, shape = len(split.labels), images.eval_shape(resize_mode, image_size)
    rows = iter(range(num_rows))
    waiting: collections.deque[Future] = collections.deque()
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for start in range(0, num_rows, batch_size):
                while len(waiting) < 2 * batch_size and (row := next(rows, None)) is not None:
                    waiting.append(pool.submit(load, row))
                size = min(batch_size, num_rows - start)
                loaded = [waiting.popleft().result() for _ in range(size)]
                corrupt.check(on_corrupt)
                yield _batch(loaded, split.labels[start : start + size], (batch_size, *shape))
        finally:
            pool.shutdown(cancel_futures=True)


def _batch(
    loaded: list[np.ndarray | None], labels: np.ndarray, shape: tuple[int, ...]
) -> batch_lib.Batch:
    pixels = np.zeros(shape, np.uint8)
    valid = np.zeros(len(pixels), bool)
    for i, image in enumerate(loaded):
        if image is not None:
            pixels[i], valid[i] = image, True
    return batch_lib.Batch(pixels, np.resize(labels, len(pixels)).astype(np.int32), valid)
