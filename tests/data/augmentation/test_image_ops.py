"""Each operation against PIL's, which torchvision's and the papers' own code call."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from simsearch.data.augmentation import image_ops

RNG = np.random.default_rng(0)
# Smooth, so that a resampling may differ by little; dark and bright, so that it is clipped.
SMOOTH = np.asarray(
    Image.fromarray(RNG.integers(0, 256, (6, 6, 3), np.uint8)).resize((40, 40), Image.BICUBIC)
)
NOISE = RNG.integers(0, 256, (33, 33, 3), np.uint8)
DULL = (NOISE // 4 + np.array([20, 90, 150])).astype(np.uint8)
FLAT = np.full((9, 9, 3), (0, 100, 255), np.uint8)
IMAGES = {"smooth": SMOOTH, "noise": NOISE, "dull": DULL, "flat": FLAT}
each_image = pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)


def run(op, image, *args, **kwargs):
    found = op(tf.constant(image), *args, **kwargs)
    assert found.dtype == tf.uint8 and found.shape == image.shape
    return found.numpy()


def difference(found, expected):
    return np.abs(found.astype(int) - np.asarray(expected).astype(int))


@each_image
@pytest.mark.parametrize("factor", [0.0, 0.01, 0.4, 1.0, 1.5, 1.99])
@pytest.mark.parametrize("name", ["brightness", "color", "contrast", "sharpness"])
def test_enhancers_equal_pils(image, factor, name):
    pil = getattr(ImageEnhance, name.capitalize())(Image.fromarray(image)).enhance(factor)
    found = run(getattr(image_ops, name), image, tf.constant(factor))
    # PIL rounds the grey and the smooth image before and cuts the fraction off after.
    assert difference(found, pil).max() <= 1


def test_sharpness_smooths_as_pils_filter():
    expected = np.asarray(Image.fromarray(NOISE).filter(ImageFilter.SMOOTH))
    assert difference(run(image_ops.sharpness, NOISE, tf.constant(0.0)), expected).max() <= 1


@each_image
@pytest.mark.parametrize("bits", [8, 7, 4, 2, 1])
def test_posterize_equals_pils(image, bits):
    expected = ImageOps.posterize(Image.fromarray(image), bits)
    np.testing.assert_array_equal(run(image_ops.posterize, image, tf.constant(bits)), expected)


@each_image
@pytest.mark.parametrize("threshold", [0.0, 0.5, 17.0, 127.5, 255.0, 256.0])
def test_solarize_equals_pils(image, threshold):
    expected = ImageOps.solarize(Image.fromarray(image), threshold)
    found = run(image_ops.solarize, image, tf.constant(threshold))
    np.testing.assert_array_equal(found, expected)


@each_image
def test_autocontrast_and_equalize_equal_pils(image):
    pil = Image.fromarray(image)
    assert difference(run(image_ops.autocontrast, image), ImageOps.autocontrast(pil)).max() <= 1
    np.testing.assert_array_equal(run(image_ops.equalize, image), ImageOps.equalize(pil))


def affine(image, matrix):
    """Returns PIL's transformation."""
    return Image.fromarray(image).transform(
        image.shape[1::-1],
        Image.Transform.AFFINE,
        matrix,
        Image.Resampling.BILINEAR,
        fillcolor=(image_ops.FILL,) * 3,
    )


def assert_equal_inside(found, expected, *, is_inside):
    """PIL repeats the edge up to half a pixel beyond it, where TensorFlow blends with the fill."""
    gap = difference(found, expected).max(-1)
    assert np.quantile(gap, 0.9) <= 1
    # The border is a line through the image: few pixels, and where it is the fill both have it.
    assert np.mean(gap > 1) < 0.1
    assert gap[is_inside].max(initial=0) <= 1 and is_inside.mean() > 0.2


def sources(matrix, side):
    """Returns which pixels come from inside the image, a pixel away from the border."""
    y, x = np.mgrid[:side, :side] + 0.5
    a, b, c, d, e, f = matrix
    u, v = a * x + b * y + c, d * x + e * y + f
    return (u > 1) & (u < side - 1) & (v > 1) & (v < side - 1)


@pytest.mark.parametrize("amount", [-0.99, -0.3, 0.2, 0.99])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_shear_equals_pils(amount, axis):
    x, y = (amount, 0.0) if axis == "x" else (0.0, amount)
    matrix = (1, x, 0, y, 1, 0)
    found = run(image_ops.shear, SMOOTH, x=tf.constant(x), y=tf.constant(y))
    assert_equal_inside(found, affine(SMOOTH, matrix), is_inside=sources(matrix, 40))


@pytest.mark.parametrize("degrees", [-135.0, -30.0, 10.0, 90.0, 135.0])
def test_rotate_equals_pils(degrees):
    expected = Image.fromarray(SMOOTH).rotate(
        degrees, Image.Resampling.BILINEAR, fillcolor=(image_ops.FILL,) * 3
    )
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = (cos, -sin, 20 - 20 * cos + 20 * sin, sin, cos, 20 - 20 * sin - 20 * cos)
    found = run(image_ops.rotate, SMOOTH, tf.constant(degrees))
    assert_equal_inside(found, expected, is_inside=sources(matrix, 40))


@pytest.mark.parametrize(("down", "right"), [(0, 0), (3, 0), (-4, 0), (0, 5), (0, -33), (2, -1)])
def test_shift_equals_pils(down, right):
    expected = affine(NOISE, (1, 0, -right, 0, 1, -down))
    found = run(image_ops.shift, NOISE, down=tf.constant(down), right=tf.constant(right))
    np.testing.assert_array_equal(found, expected)


def test_rounding_is_to_the_nearest_and_stays_in_range():
    found = image_ops.to_uint8(tf.constant([-7.0, -0.4, 0.4, 0.6, 254.4, 255.4, 900.0]))
    assert found.numpy().tolist() == [0, 0, 0, 1, 254, 255, 255]
