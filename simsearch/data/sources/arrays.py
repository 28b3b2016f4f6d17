"""Images that are arrays in memory, as a source; each row is encoded as PNG when it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from simsearch.data import splits
from simsearch.data.decoding import images as images_lib
from simsearch.errors import UsageError


def from_arrays(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    class_names: Sequence[str] = (),
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
    split_seed: int = 0,
    name: str = "array",
) -> dict[str, splits.Split]:
    """Returns the splits of images in memory, held out by class with a seed.

    Args:
        images: uint8 [N, H, W] or [N, H, W, 3].
        labels: Class numbers from 0, int [N].
        class_names: One for each class number; empty: the numbers themselves.
        valid_fraction: Share of each class for validation.
        test_fraction: Share of each class for test.
        split_seed: Chooses those images.
        name: The rows are called name/0, name/1 …

    Returns:
        The splits "train", "validation" and "test".

    Raises:
        UsageError: The arrays do not fit together.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    _check(images, labels)
    if not class_names:
        width = len(str(labels.max()))
        class_names = [f"{number:0{width}d}" for number in range(labels.max() + 1)]
    elif len(class_names) <= labels.max():
        raise UsageError(
            f"expected a class name for each label up to {labels.max()}, got {len(class_names)}"
        )
    content = hashlib.sha256(np.ascontiguousarray(images)).hexdigest()
    split = splits.Split(
        labels=labels.astype(np.int32),
        class_names=tuple(class_names),
        names=splits.NumberedNames(name, len(images)),
        read=lambda i: images_lib.encode_png(images[i]),
        fingerprint=splits.digest(content, labels.tolist()),
    )
    return splits.standardise(
        {"train": split},
        valid_fraction=valid_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        where=f"the {name} images",
    )


def _check(images: np.ndarray, labels: np.ndarray) -> None:
    if images.dtype != np.uint8 or not (images.ndim == 3 or images.shape[3:] in ((1,), (3,))):
        raise UsageError(
            f"expected images uint8 [N, H, W] or [N, H, W, 3], got {images.dtype} "
            f"{list(images.shape)}: scale them to 0..255 and convert"
        )
    integral = np.issubdtype(labels.dtype, np.integer)
    if labels.shape != images.shape[:1] or not labels.size or not integral or labels.min() < 0:
        raise UsageError(
            f"expected an integer label >= 0 for each of the {len(images)} images, got "
            f"{labels.dtype} {list(labels.shape)}"
        )
