"""Random changes to a training image, in TensorFlow: stateless, so that a seed repeats them."""

import math
from typing import NamedTuple

import tensorflow as tf

from simsearch.data.augmentation import erasing as erasing_lib
from simsearch.data.augmentation import image_ops, policies

# Streams of random numbers that must not repeat each other; the crop and the colours have another.
_POLICY, _ERASING = range(2)


class Augmentation(NamedTuple):
    """The strength of each change.

    Attributes:
        crop_scale_min: Least share of the area that a crop keeps, (0, 1]; 1 takes the centre.
        crop_ratio_max: Widest aspect ratio of a crop, >= 1, relative to a square.
        horizontal_flip: Probability.
        rotation_degrees: Largest angle either way.
        brightness: Largest relative change either way.
        contrast: Largest relative change either way.
        saturation: Largest relative change either way.
        hue: Largest shift either way, in turns of the hue circle, [0, 0.5].
        policy: Drawn operations, after all these.
        erasing: Rectangles of noise, at the end.
    """

    crop_scale_min: float = 1.0
    crop_ratio_max: float = 1.0
    horizontal_flip: float = 0.0
    rotation_degrees: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    policy: policies.Policy = policies.Policy()
    erasing: erasing_lib.Erasing = erasing_lib.Erasing()

    @property
    def crops(self) -> bool:
        """Whether more than the centre crop is looked at, so that the whole image is needed."""
        return self.crop_scale_min < 1 or self.rotation_degrees > 0

    @property
    def changes_colors(self) -> bool:
        """Whether colours change."""
        return max(self.brightness, self.contrast, self.saturation, self.hue) > 0


class _Draws(NamedTuple):
    """Uniform numbers in [0, 1), one for each decision, always as many."""

    area: tf.Tensor
    ratio: tf.Tensor
    left: tf.Tensor
    top: tf.Tensor
    flip: tf.Tensor
    angle: tf.Tensor
    brightness: tf.Tensor
    contrast: tf.Tensor
    saturation: tf.Tensor
    hue: tf.Tensor


def augment(
    image: tf.Tensor, seed: tf.Tensor, *, image_size: int, augmentation: Augmentation
) -> tf.Tensor:
    """Returns a randomly changed image, uint8 [S, S, 3].

    Args:
        image: RGB, uint8 [H, W, 3]; without `augmentation.crops` its centre crop, [S, S, 3].
        seed: int32 [2]; equal seeds give equal changes.
        image_size: S.
        augmentation: What is changed, and how much.

    References:
        Szegedy et al., Going Deeper with Convolutions, 2015: the random crop.
    """
    draws = _Draws(*tf.unstack(tf.random.stateless_uniform([len(_Draws._fields)], seed)))
    pixels = image
    if augmentation.rotation_degrees > 0:
        pixels = _turn(image, draws, image_size, augmentation)
    elif augmentation.crop_scale_min < 1:
        pixels = _cut(image, draws, image_size, augmentation)
    if augmentation.horizontal_flip > 0:
        is_flipped = draws.flip < augmentation.horizontal_flip
        pixels = tf.cond(is_flipped, lambda: tf.reverse(pixels, [1]), lambda: pixels)
    if augmentation.changes_colors:
        pixels = _recolor(tf.cast(pixels, tf.float32), draws, augmentation)
    pixels = tf.ensure_shape(image_ops.to_uint8(pixels), [image_size, image_size, 3])
    fold_in = tf.random.experimental.stateless_fold_in
    pixels = policies.apply(pixels, fold_in(seed, _POLICY), policy=augmentation.policy)
    return erasing_lib.apply(pixels, fold_in(seed, _ERASING), erasing=augmentation.erasing)


def _cut(image: tf.Tensor, draws: _Draws, image_size: int, augmentation: Augmentation) -> tf.Tensor:
    """Crops to whole pixels and resizes bilinearly, float32 [S, S, 3]; far faster than `_turn`.

    Nothing is smoothed before, which would take five times as long: a crop of more than 1.15 times
    the output's side, which is where the default sizes end, would alias, so keep resize_size near
    image_size.
    """
    shape = tf.cast(tf.shape(image), tf.float32)
    crop_height, crop_width = _crop_size(shape[0], shape[1], draws, augmentation)
    size = tf.maximum(tf.round(tf.stack([crop_height, crop_width])), 1.0)
    corner = tf.floor(tf.stack([draws.top, draws.left]) * (shape[:2] - size + 1.0))
    start = tf.concat([tf.cast(corner, tf.int32), [0]], 0)
    part = tf.slice(image, start, tf.concat([tf.cast(size, tf.int32), [3]], 0))
    return tf.raw_ops.ResizeBilinear(
        images=part[None], size=[image_size, image_size], half_pixel_centers=True
    )[0]


def _turn(
    image: tf.Tensor, draws: _Draws, image_size: int, augmentation: Augmentation
) -> tf.Tensor:
    """Crops and rotates by one bilinear resampling, float32 [S, S, 3]; it mirrors at the border."""
    shape = tf.cast(tf.shape(image), tf.float32)
    height, width = shape[0], shape[1]
    crop_height, crop_width, center_y, center_x = _crop(
        height, width, draws, image_size, augmentation
    )
    angle = (2 * draws.angle - 1) * math.radians(augmentation.rotation_degrees)
    # From an output pixel to the input: u, v are offsets from the crop's centre, turned by the
    # angle. Pixel i covers [i, i + 1), so its centre is at i + 0.5.
    scale_u, scale_v = crop_width / image_size, crop_height / image_size
    cos, sin = tf.cos(angle), tf.sin(angle)
    half = (1 - image_size) / 2
    row_x = (cos * scale_u, -sin * scale_v)
    row_y = (sin * scale_u, cos * scale_v)
    shift_x = center_x - 0.5 + half * (row_x[0] + row_x[1])
    shift_y = center_y - 0.5 + half * (row_y[0] + row_y[1])
    transform = tf.stack([*row_x, shift_x, *row_y, shift_y, 0.0, 0.0])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(image, tf.float32)[None],
        transforms=transform[None],
        output_shape=[image_size, image_size],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )[0]


def _crop(
    height: tf.Tensor,
    width: tf.Tensor,
    draws: _Draws,
    image_size: int,
    augmentation: Augmentation,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns height, width and centre of the crop, in pixels of the input."""
    if augmentation.crop_scale_min == 1:
        # Whole pixels, the same as images.center_crop takes.
        center_y, center_x = (
            tf.floor((side - image_size) / 2) + image_size / 2 for side in (height, width)
        )
        return tf.constant(float(image_size)), float(image_size), center_y, center_x
    crop_height, crop_width = _crop_size(height, width, draws, augmentation)
    center_x = crop_width / 2 + draws.left * (width - crop_width)
    center_y = crop_height / 2 + draws.top * (height - crop_height)
    return crop_height, crop_width, center_y, center_x


def _crop_size(
    height: tf.Tensor, width: tf.Tensor, draws: _Draws, augmentation: Augmentation
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns height and width of a random crop, in pixels of the input."""
    low = augmentation.crop_scale_min
    area = (low + (1 - low) * draws.area) * height * width
    ratio = tf.exp((2 * draws.ratio - 1) * math.log(augmentation.crop_ratio_max))
    # A crop that would stick out is cut at the border, where torchvision draws again.
    return tf.minimum(tf.sqrt(area / ratio), height), tf.minimum(tf.sqrt(area * ratio), width)


def _recolor(pixels: tf.Tensor, draws: _Draws, augmentation: Augmentation) -> tf.Tensor:
    """Changes brightness, contrast and saturation by one matrix, then the hue."""

    def factor(draw: tf.Tensor, strength: float) -> tf.Tensor:
        return 1.0 + (2 * draw - 1) * strength

    if max(augmentation.brightness, augmentation.contrast, augmentation.saturation) > 0:
        brightness = factor(draws.brightness, augmentation.brightness)
        contrast = factor(draws.contrast, augmentation.contrast)
        saturation = factor(draws.saturation, augmentation.saturation)
        # Saturation blends with each pixel's grey, contrast with the mean grey; both are linear.
        luma = tf.constant(image_ops.LUMA)[:, None]
        shift = 0.0
        if augmentation.contrast:
            mean = tf.reduce_mean(pixels, [0, 1])[None]
            shift = (1 - contrast) * brightness * tf.matmul(mean, luma)[0, 0]
        if augmentation.saturation:
            matrix = saturation * tf.eye(3) + (1 - saturation) * tf.tile(luma, [1, 3])
            pixels = tf.reshape(tf.matmul(tf.reshape(pixels, [-1, 3]), matrix), tf.shape(pixels))
        pixels = pixels * (brightness * contrast) + shift
    if augmentation.hue:
        unit = tf.clip_by_value(pixels, 0.0, 255.0) / 255.0
        pixels = 255.0 * tf.image.adjust_hue(unit, (2 * draws.hue - 1) * augmentation.hue)
    return pixels
