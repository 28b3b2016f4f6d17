"""A batch of images on its way from the data pipeline to the network."""

from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
    """Images, their classes, and which of them are to be counted.

    Attributes:
        images: RGB, uint8 [B, S, S, 3]; for evaluation [B, S, S, 3 V] with V views of each.
        labels: Classes, int32 [B].
        valid: False for padding and for images that could not be read, bool [B].
        mixed_labels: Classes of the images that were mixed in, int32 [B]; None without MixUp.
        mix_weights: Share of each image's own class, float32 [B] in [0.5, 1], 1 where nothing
            was mixed in; None without MixUp.
    """

    images: np.ndarray
    labels: np.ndarray
    valid: np.ndarray
    mixed_labels: np.ndarray | None = None
    mix_weights: np.ndarray | None = None
