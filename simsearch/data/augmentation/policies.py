"""TrivialAugment and RandAugment: one of fourteen operations, or some in a row, at random."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from simsearch.data.augmentation import image_ops

# TrivialAugment counts magnitudes from 0 to 30, and so does torchvision's RandAugment. Its paper's
# scale ends at 10.
NUM_LEVELS = 31
_Op = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


class Policy(NamedTuple):
    """Which operations are drawn, how strong, and what the highest magnitude does.

    Attributes:
        name: "none"; "trivial", whose magnitude is any from 0 to `magnitude`; or "rand", whose
            magnitude is `magnitude`.
        num_ops: Operations in a row, each drawn anew.
        magnitude: 0 … 30.
        shear: Highest share of the side that an edge is moved by.
        translate: Highest share of the side that the image is moved by.
        degrees: Highest angle.
        enhance: Highest change of brightness, colour, contrast and sharpness, [0, 1].
        posterize_bits: Most bits of eight that are lost.

    References:
        Müller and Hutter, TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation, 2021.
        Cubuk, Zoph, Shlens and Le, RandAugment: Practical Automated Data Augmentation with a
        Reduced Search Space, 2020.
    """

    name: str = "none"
    num_ops: int = 0
    magnitude: int = 0
    shear: float = 0.0
    translate: float = 0.0
    degrees: float = 0.0
    enhance: float = 0.0
    posterize_bits: int = 0


def apply(image: tf.Tensor, seed: tf.Tensor, *, policy: Policy) -> tf.Tensor:
    """Returns a randomly changed image, uint8 [H, W, 3].

    Args:
        image: RGB, uint8 [H, W, 3].
        seed: int32 [2]; equal seeds give equal changes.
        policy: What is drawn.
    """
    if policy.name == "none":
        return image
    branches = list(operations(policy).values())
    shape = image.shape
    for number, level, sign in zip(*map(tf.unstack, draws(seed, policy=policy)), strict=True):
        calls = [_bound(branch, image, level, sign) for branch in branches]
        image = tf.ensure_shape(tf.switch_case(number, calls), shape)
    return image


def draws(seed: tf.Tensor, *, policy: Policy) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns for each operation in a row its number, its level in [0, 1] and its sign, -1 or 1."""
    random = tf.random.stateless_uniform([3, policy.num_ops], seed)
    numbers = tf.cast(random[0] * len(operations(policy)), tf.int32)
    levels = tf.fill([policy.num_ops], float(policy.magnitude))
    if policy.name == "trivial":
        levels = tf.floor(random[1] * (policy.magnitude + 1))
    return numbers, levels / (NUM_LEVELS - 1), tf.where(random[2] < 0.5, -1.0, 1.0)


def operations(policy: Policy) -> dict[str, _Op]:
    """Returns the fourteen `(image, level, sign) -> image`, level in [0, 1], sign -1 or 1."""
    op = image_ops

    def pixels(image: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.round(share * tf.cast(tf.shape(image)[0], tf.float32)), tf.int32)

    def enhanced(change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> _Op:
        return lambda image, level, sign: change(image, 1.0 + sign * level * policy.enhance)

    def bits(level: tf.Tensor) -> tf.Tensor:
        return 8 - tf.cast(tf.round(level * policy.posterize_bits), tf.int32)

    def moved(image: tf.Tensor, share: tf.Tensor, **axes: float) -> tf.Tensor:
        return op.shift(image, **{k: pixels(image, share * v) for k, v in axes.items()})

    shear, far = policy.shear, policy.translate
    return {
        "identity": lambda image, level, sign: image,
        "shear_x": lambda image, level, sign: op.shear(image, x=sign * level * shear, y=0.0),
        "shear_y": lambda image, level, sign: op.shear(image, x=0.0, y=sign * level * shear),
        "translate_x": lambda image, level, sign: moved(image, sign * level * far, right=1, down=0),
        "translate_y": lambda image, level, sign: moved(image, sign * level * far, right=0, down=1),
        "rotate": lambda image, level, sign: op.rotate(image, sign * level * policy.degrees),
        "brightness": enhanced(op.brightness),
        "color": enhanced(op.color),
        "contrast": enhanced(op.contrast),
        "sharpness": enhanced(op.sharpness),
        "posterize": lambda image, level, sign: op.posterize(image, bits(level)),
        # TrivialAugment's authors' threshold; torchvision's 255 would turn white black at level 0.
        "solarize": lambda image, level, sign: op.solarize(image, 256.0 * (1.0 - level)),
        "autocontrast": lambda image, level, sign: op.autocontrast(image),
        "equalize": lambda image, level, sign: op.equalize(image),
    }


def _bound(
    branch: _Op, image: tf.Tensor, level: tf.Tensor, sign: tf.Tensor
) -> Callable[[], tf.Tensor]:
    return lambda: branch(image, level, sign)
