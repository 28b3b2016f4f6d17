import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from simsearch.data.augmentation import augment as augment_lib
from simsearch.data.augmentation import erasing as erasing_lib
from simsearch.data.augmentation import policies
from simsearch.data.decoding import images

SIZE = 24
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (30, 40, 3), np.uint8)


def augment(image=IMAGE, seed=(1, 2), size=SIZE, **strengths):
    augmentation = augment_lib.Augmentation(**strengths)
    if not augmentation.crops:
        image = images.center_crop(image, size)
    return augment_lib.augment(
        tf.constant(image), tf.constant(seed, tf.int32), image_size=size, augmentation=augmentation
    ).numpy()


def test_nothing_switched_on_is_the_centre_crop():
    np.testing.assert_array_equal(augment(), images.center_crop(IMAGE, SIZE))


@pytest.mark.parametrize("shape", [(31, 41, 3), (30, 41, 3), (25, 24, 3)])
def test_a_move_that_does_nothing_is_the_centre_crop_of_odd_sizes_too(shape):
    image = RNG.integers(0, 256, shape, np.uint8)
    found = augment(image, horizontal_flip=1e-9)
    np.testing.assert_array_equal(found, images.center_crop(image, SIZE))


@pytest.mark.parametrize(
    ("strengths", "expected"),
    [
        ({}, set()),
        ({"rotation_degrees": 5.0, "crop_scale_min": 0.5}, {"ImageProjectiveTransformV3"}),
        ({"crop_scale_min": 0.5}, {"ResizeBilinear"}),
        ({"saturation": 0.1}, {"MatMul"}),
        ({"hue": 0.1}, {"AdjustHue"}),
    ],
)
def test_what_is_switched_off_is_not_in_the_graph(strengths, expected):
    augmentation = augment_lib.Augmentation(**strengths)

    def run(image, seed):
        return augment_lib.augment(image, seed, image_size=SIZE, augmentation=augmentation)

    graph = tf.function(run).get_concrete_function(
        tf.TensorSpec([SIZE, SIZE, 3], tf.uint8), tf.TensorSpec([2], tf.int32)
    )
    kinds = {op.type for op in graph.graph.get_operations()}
    costly = {"ImageProjectiveTransformV3", "ResizeBilinear", "MatMul", "AdjustHue"}
    assert kinds & costly == expected


def test_colors_equal_one_change_after_the_other():
    strengths = {"brightness": 0.3, "contrast": 0.4, "saturation": 0.5}
    luma = np.array([0.299, 0.587, 0.114])
    image = images.center_crop(IMAGE, SIZE)
    for i in range(5):
        count = len(augment_lib._Draws._fields)
        draws = augment_lib._Draws(*tf.random.stateless_uniform([count], (9, i)).numpy())
        factor = {name: 1 + (2 * getattr(draws, name) - 1) * s for name, s in strengths.items()}
        expected = image * factor["brightness"]
        mean = (expected @ luma).mean()
        expected = mean + (expected - mean) * factor["contrast"]
        gray = (expected @ luma)[..., None]
        expected = np.clip(gray + (expected - gray) * factor["saturation"], 0, 255)
        assert np.abs(augment(seed=(9, i), **strengths) - expected).max() < 0.51


def test_equal_seeds_repeat_and_others_differ():
    strengths = {"crop_scale_min": 0.4, "crop_ratio_max": 1.3, "rotation_degrees": 10.0}
    strengths |= {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1}
    one, again = augment(**strengths), augment(**strengths)
    np.testing.assert_array_equal(one, again)
    assert one.shape == (SIZE, SIZE, 3) and one.dtype == np.uint8
    different = {augment(seed=(0, i), **strengths).tobytes() for i in range(20)}
    assert len(different) == 20


def test_a_sure_flip_mirrors_the_centre_crop():
    found = augment(horizontal_flip=1.0)
    np.testing.assert_array_equal(found, images.center_crop(IMAGE, SIZE)[:, ::-1])


def test_flips_are_as_frequent_as_asked_for():
    crop = images.center_crop(IMAGE, SIZE)
    flips = sum(
        not np.array_equal(augment(seed=(3, i), horizontal_flip=0.3), crop) for i in range(300)
    )
    # 90 expected, 8 the standard deviation.
    assert 58 < flips < 122


def reflect(i, size):
    """Returns the pixel that stands for pixel i of a mirrored border: … 1 0 | 0 1 2 …"""
    i %= 2 * size
    return i if i < size else 2 * size - 1 - i


def bilinear(image, y, x):
    height, width = image.shape[:2]
    top, left = math.floor(y), math.floor(x)
    out = np.zeros(3)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (1 - abs(y - top - i)) * (1 - abs(x - left - j))
        out += weight * image[reflect(top + i, height), reflect(left + j, width)]
    return out


def turned(image, size, *, center, crop, angle, mirror):
    """Samples the turned crop pixel by pixel."""
    out = np.zeros((size, size, 3))
    for i in range(size):
        for j in range(size):
            u = (j + 0.5 - size / 2) / size * crop[1] * mirror
            v = (i + 0.5 - size / 2) / size * crop[0]
            x = center[1] + math.cos(angle) * u - math.sin(angle) * v
            y = center[0] + math.sin(angle) * u + math.cos(angle) * v
            out[i, j] = bilinear(image, y - 0.5, x - 0.5)
    return np.clip(np.round(out), 0, 255)


def draws_of(seed):
    count = len(augment_lib._Draws._fields)
    return augment_lib._Draws(*tf.random.stateless_uniform([count], seed).numpy())


def crop_size(draws, strengths):
    """Returns the height and width of the crop."""
    height, width = IMAGE.shape[:2]
    low = strengths["crop_scale_min"]
    area = (low + (1 - low) * draws.area) * height * width
    ratio = strengths.get("crop_ratio_max", 1) ** (2 * draws.ratio - 1)
    return min(math.sqrt(area / ratio), height), min(math.sqrt(area * ratio), width)


@pytest.mark.parametrize(
    "strengths",
    [
        {"rotation_degrees": 30.0},
        {"crop_scale_min": 0.3, "rotation_degrees": 15.0, "horizontal_flip": 0.5},
        {"crop_scale_min": 0.3, "crop_ratio_max": 1.5, "rotation_degrees": 15.0},
    ],
)
def test_crop_flip_and_rotation_equal_a_pixel_by_pixel_resampling(strengths):
    height, width = IMAGE.shape[:2]
    for i in range(4):
        draws = draws_of((7, i))
        crop, center = (SIZE, SIZE), (height / 2, width / 2)
        if "crop_scale_min" in strengths:
            crop = crop_size(draws, strengths)
            center = (
                crop[0] / 2 + draws.top * (height - crop[0]),
                crop[1] / 2 + draws.left * (width - crop[1]),
            )
        expected = turned(
            IMAGE,
            SIZE,
            center=center,
            crop=crop,
            angle=math.radians((2 * draws.angle - 1) * strengths["rotation_degrees"]),
            mirror=-1 if draws.flip < strengths.get("horizontal_flip", 0) else 1,
        )
        found = augment(seed=(7, i), **strengths).astype(float)
        # Rounding to uint8 may fall either way.
        assert np.abs(found - expected).max() <= 1


def test_crop_and_flip_without_a_rotation_equal_pil():
    strengths = {"crop_scale_min": 0.2, "crop_ratio_max": 1.6, "horizontal_flip": 0.5}
    # PIL smooths where it shrinks; crops of this set are enlarged only.
    size = 44
    for i in range(12):
        draws = draws_of((8, i))
        height, width = (round(float(side)) for side in crop_size(draws, strengths))
        top = math.floor(draws.top * (IMAGE.shape[0] - height + 1))
        left = math.floor(draws.left * (IMAGE.shape[1] - width + 1))
        part = Image.fromarray(IMAGE[top : top + height, left : left + width])
        expected = np.asarray(part.resize((size, size), Image.Resampling.BILINEAR), float)
        if draws.flip < 0.5:
            expected = expected[:, ::-1]
        found = augment(seed=(8, i), size=size, **strengths).astype(float)
        # PIL resizes one axis after the other and rounds in between.
        assert np.abs(found - expected).max() <= 2


def test_crops_take_every_size_place_and_the_whole_image():
    ramp = np.stack(np.broadcast_arrays(*np.ogrid[:40, :40], 0), -1).astype(np.uint8)
    found = np.array([augment(ramp, seed=(4, i), size=8, crop_scale_min=0.25) for i in range(150)])
    height = (found[:, -1, 0, 0].astype(int) - found[:, 0, 0, 0]) * 8 / 7
    # Squares of 20 to 40 pixels, their area uniform.
    assert 19 < height.min() < 22 and 38 < height.max() < 41
    assert abs(np.mean(height**2) - 0.625 * 1600) < 80
    centers = found[:, :, :, :2].astype(float).mean((1, 2))
    assert np.abs(centers.mean(0) - 19.5).max() < 1 and np.abs(np.corrcoef(centers.T)[0, 1]) < 0.2


def test_colors_change_by_at_most_their_strength():
    gray = np.full((SIZE, SIZE, 3), 100, np.uint8)
    levels = [augment(gray, seed=(5, i), brightness=0.2).mean() for i in range(60)]
    assert 79.5 <= min(levels) < 90 and 110 < max(levels) <= 120.5
    # Grey stays grey whatever contrast, saturation and hue do.
    np.testing.assert_array_equal(augment(gray, contrast=0.9, saturation=0.9, hue=0.5), gray)


def test_saturation_and_contrast_keep_what_they_should():
    crop = images.center_crop(IMAGE, SIZE).astype(float) / 4 + 96
    image = crop.astype(np.uint8)
    luma = np.array([0.299, 0.587, 0.114])
    changed = augment(image, saturation=0.5).astype(float)
    np.testing.assert_allclose(changed @ luma, image @ luma, atol=1.0)
    changed = augment(image, contrast=0.5).astype(float)
    assert abs((changed @ luma).mean() - (image @ luma).mean()) < 0.6
    assert not np.allclose(changed, image)


def test_policy_and_erasing_come_after_crop_and_colours():
    policy = policies.Policy("rand", 1, 9, 0.3, 0.4, 30.0, 0.9, 4)
    erasing = erasing_lib.Erasing(1.0, 0.1, 0.3, 2.0)
    base = {"crop_scale_min": 0.5, "brightness": 0.2}
    seed = tf.constant((3, 4), tf.int32)
    fold_in = tf.random.experimental.stateless_fold_in
    expected = policies.apply(
        tf.constant(augment(seed=(3, 4), **base)), fold_in(seed, 0), policy=policy
    )
    expected = erasing_lib.apply(expected, fold_in(seed, 1), erasing=erasing)
    found = augment(seed=(3, 4), **base, policy=policy, erasing=erasing)
    np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(found, augment(seed=(3, 4), **base))
