"""Random erasing: a rectangle of noise somewhere in the image."""

import math
from typing import NamedTuple

import tensorflow as tf


class Erasing(NamedTuple):
    """How often, and how much.

    Attributes:
        probability: Of a rectangle.
        area_min: Least share of the image.
        area_max: Largest share of the image.
        ratio_max: Widest aspect ratio either way, >= 1.

    References:
        Zhong, Zheng, Kang, Li and Yang, Random Erasing Data Augmentation, 2020.
    """

    probability: float = 0.0
    area_min: float = 0.0
    area_max: float = 0.0
    ratio_max: float = 1.0


def apply(image: tf.Tensor, seed: tf.Tensor, *, erasing: Erasing) -> tf.Tensor:
    """Returns the image, with the given probability a rectangle of it replaced by noise.

    Args:
        image: RGB, uint8 [H, W, 3].
        seed: int32 [2]; equal seeds give equal changes.
        erasing: How often, and how much.
    """
    if erasing.probability == 0:
        return image
    chance, area, ratio, top, left = tf.unstack(tf.random.stateless_uniform([5], seed))
    size = tf.cast(tf.shape(image)[:2], tf.float32)

    def erased() -> tf.Tensor:
        share = erasing.area_min + (erasing.area_max - erasing.area_min) * area
        aspect = tf.exp((2 * ratio - 1) * math.log(erasing.ratio_max))
        sides = tf.sqrt(share * size[0] * size[1] * tf.stack([aspect, 1 / aspect]))
        # A rectangle that would stick out is cut, where the paper draws again.
        sides = tf.minimum(tf.maximum(tf.round(sides), 1.0), size)
        corner = tf.floor(tf.stack([top, left]) * (size - sides + 1.0))
        noise_seed = tf.random.experimental.stateless_fold_in(seed, 0)
        return _fill(image, tf.cast(corner, tf.int32), tf.cast(sides, tf.int32), noise_seed)

    return tf.cond(chance < erasing.probability, erased, lambda: image)


def _fill(image: tf.Tensor, corner: tf.Tensor, sides: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    after = tf.shape(image)[:2] - corner - sides
    padding = tf.pad(tf.stack([corner, after], 1), [[0, 1], [0, 0]])
    shape = tf.concat([sides, [3]], 0)
    noise = tf.random.stateless_uniform(shape, seed, minval=0, maxval=256, dtype=tf.int32)
    noise = tf.pad(tf.cast(noise, tf.uint8), padding)
    is_kept = tf.pad(tf.zeros(tf.concat([sides, [1]], 0), tf.bool), padding, constant_values=True)
    return tf.ensure_shape(tf.where(is_kept, image, noise), image.shape)
