"""A batch of images on its way from the data pipeline to the network."""

from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
    """Images, their classes, and which of them are to be counted.

    Attributes:
        images: RGB, uint8 [B, S, S, 3].
        labels: Classes, int32 [B].
        valid: False for padding and for images that could not be read, bool [B].
    """

    images: np.ndarray
    labels: np.ndarray
    valid: np.ndarray
