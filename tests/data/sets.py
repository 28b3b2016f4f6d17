"""Small sets for the tests: a picture whose pixels tell its row; and confusions of classes."""

import io

import numpy as np
from PIL import Image

from simsearch.data import confusion, splits


def picture(row: int, side: int = 12) -> np.ndarray:
    """Returns uint8 [side, side, 3], different for every row."""
    rng = np.random.default_rng(row)
    return rng.integers(0, 256, (side, side, 3), np.uint8)


def png(row: int, side: int = 12) -> bytes:
    """Returns `picture` as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture(row, side)).save(buffer, "PNG")
    return buffer.getvalue()


def make_split(num_rows=24, num_classes=3, *, broken=(), read=png) -> splits.Split:
    """Returns a split; the rows in `broken` hold no image."""
    return splits.Split(
        labels=np.sort(np.arange(num_rows) % num_classes).astype(np.int32),
        class_names=tuple(f"class {i}" for i in range(num_classes)),
        names=[f"image {i}" for i in range(num_rows)],
        read=lambda i: b"no image" if i in broken else read(i),
        fingerprint=f"{num_rows} {num_classes}",
    )


def counts_of(matrix) -> confusion.Counts:
    """Returns the confusion of queries of class i whose nearest is of class j, int [C, C]."""
    matrix = np.asarray(matrix)
    own, taken_for = np.nonzero(matrix)
    return confusion.Counts(len(matrix), own, taken_for, matrix[own, taken_for])


def counts_of_many(num_classes=4000) -> confusion.Counts:
    """Returns a confusion of so many classes that a number for each two would be 128 MB."""
    classes = np.arange(num_classes)
    own, taken_for = np.repeat(classes, 3), np.stack([classes, classes, classes ^ 1], 1).reshape(-1)
    return confusion.count(own, taken_for, num_classes=num_classes)
