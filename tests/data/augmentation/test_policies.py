import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from simsearch.config import augment as config_augment
from simsearch.data.augmentation import policies

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (20, 20, 3), np.uint8)
# Contrast can be gained; smooth, so that a resampling may differ by little.
NOISE = RNG.integers(20, 210, (224, 224, 3), np.uint8)
SMOOTH = np.asarray(Image.fromarray(NOISE[:6, :6]).resize((224, 224), Image.BICUBIC))
GRAY = (128, 128, 128)


def affine(matrix):
    bilinear = Image.Resampling.BILINEAR
    return lambda image, v: image.transform(
        image.size, Image.Transform.AFFINE, matrix(v), bilinear, fillcolor=GRAY
    )


def enhanced(kind):
    return lambda image, v: kind(image).enhance(1 + v)


# PIL's operation, and its strongest with TrivialAugment and with torchvision's RandAugment.
TABLE = {
    "identity": (lambda image, v: image, 0, 0),
    "shear_x": (affine(lambda v: (1, v, 0, 0, 1, 0)), 0.99, 0.3),
    "shear_y": (affine(lambda v: (1, 0, 0, v, 1, 0)), 0.99, 0.3),
    # 150 / 331 of 224 pixels are 101.5.
    "translate_x": (affine(lambda v: (1, 0, -v, 0, 1, 0)), 32, 102),
    "translate_y": (affine(lambda v: (1, 0, 0, 0, 1, -v)), 32, 102),
    "rotate": (lambda image, v: image.rotate(v, Image.BILINEAR, fillcolor=GRAY), 135, 30),
    "brightness": (enhanced(ImageEnhance.Brightness), 0.99, 0.9),
    "color": (enhanced(ImageEnhance.Color), 0.99, 0.9),
    "contrast": (enhanced(ImageEnhance.Contrast), 0.99, 0.9),
    "sharpness": (enhanced(ImageEnhance.Sharpness), 0.99, 0.9),
    "posterize": (lambda image, v: ImageOps.posterize(image, 8 - v), 6, 4),
    "solarize": (lambda image, v: ImageOps.solarize(image, 256 - v), 256, 256),
    "autocontrast": (lambda image, v: ImageOps.autocontrast(image), 0, 0),
    "equalize": (lambda image, v: ImageOps.equalize(image), 0, 0),
}
RESAMPLED = ("shear_x", "shear_y", "rotate")
ONE_WAY = ("posterize", "solarize")


def operate(chosen, key, image, level, sign):
    numbers = (tf.constant(value, tf.float32) for value in (level, sign))
    return policies.operations(chosen)[key](tf.constant(image), *numbers).numpy()


def difference(a, b):
    """Returns the largest difference of any channel, [H, W]."""
    return np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max(-1)


def policy(name, **changes):
    strengths = config_augment.POLICIES[name]
    fields = {key.removeprefix("policy_"): value for key, value in strengths.items()}
    return policies.Policy(name=name, **fields | changes)


def apply(seed, chosen, image=IMAGE):
    return policies.apply(tf.constant(image), tf.constant(seed, tf.int32), policy=chosen).numpy()


def draws(chosen, count, stream=1):
    """Returns number, level times 30 and sign of the operations of images, [count, num_ops]."""
    seeds = tf.stack([tf.fill([count], stream), tf.range(count)], 1)
    kinds = (tf.int32, tf.float32, tf.float32)

    @tf.function
    def draw():
        return tf.map_fn(
            lambda s: policies.draws(s, policy=chosen), seeds, fn_output_signature=kinds
        )

    numbers, levels, signs = (part.numpy() for part in draw())
    np.testing.assert_allclose(levels * 30, np.round(levels * 30), atol=1e-5)
    return numbers, np.round(levels * 30).astype(int), signs


def test_trivial_draws_one_of_fourteen_operations_at_any_magnitude():
    numbers, levels, signs = (part[:, 0] for part in draws(policy("trivial"), 3000))
    # 214 expected, 14 the standard deviation; 97 and 10; half of them either way.
    assert np.bincount(numbers, minlength=14).min() > 150 and numbers.max() == 13
    counts = np.bincount(levels)
    assert len(counts) == 31 and counts.min() > 55 and counts.max() < 140
    assert 1390 < np.sum(signs > 0) < 1610 and set(signs) == {-1.0, 1.0}
    assert abs(np.corrcoef(numbers, levels)[0, 1]) < 0.08


def test_rand_draws_operations_in_a_row_at_its_magnitude():
    numbers, levels, signs = draws(policy("rand", num_ops=3, magnitude=12), 1000)
    assert numbers.shape == (1000, 3) and set(levels.ravel()) == {12}
    assert np.bincount(numbers.ravel(), minlength=14).min() > 150
    # Drawn with replacement: about one in fourteen comes twice in a row.
    assert 0.04 < np.mean(numbers[:, 0] == numbers[:, 1]) < 0.11
    assert abs(np.corrcoef(signs[:, 0], signs[:, 1])[0, 1]) < 0.12
    numbers, levels, _ = draws(policy("rand"), 20)
    assert numbers.shape == (20, 2) and set(levels.ravel()) == {9}


def test_a_lower_magnitude_is_the_highest_of_trivial():
    assert set(draws(policy("trivial", magnitude=4), 200)[1].ravel()) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("name", ["trivial", "rand"])
def test_the_operations_that_were_drawn_are_applied_in_a_row(name):
    chosen = policy(name)
    for i in range(8):
        expected = tf.constant(IMAGE)
        for number, level, sign in zip(*policies.draws((1, i), policy=chosen), strict=True):
            expected = list(policies.operations(chosen).values())[number](expected, level, sign)
        np.testing.assert_array_equal(apply((1, i), chosen), expected)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("name", ["trivial", "rand"])
@pytest.mark.parametrize("key", TABLE)
def test_the_strongest_of_every_operation_equals_pils(key, name, sign):
    pil, trivial, rand = TABLE[key]
    amount = trivial if name == "trivial" else rand
    image = SMOOTH if key in RESAMPLED else NOISE
    found = operate(policy(name), key, image, 1.0, sign)
    assert found.shape == image.shape and found.dtype == np.uint8
    expected = pil(Image.fromarray(image), amount if key in ONE_WAY else sign * amount)
    assert key == "identity" or np.mean(difference(expected, image) > 1) > 0.5
    # PIL rounds otherwise, and fills otherwise along the border of what was resampled.
    gap = difference(found, expected)
    assert np.mean(gap > 1) <= (0.02 if key in RESAMPLED else 0.0)


@pytest.mark.parametrize("name", ["trivial", "rand"])
def test_no_operation_is_left_out_and_the_weakest_changes_nothing(name):
    operations = policies.operations(policy(name))
    assert set(operations) == set(TABLE) and len(TABLE) == 14
    for key in set(TABLE) - {"autocontrast", "equalize"}:
        for sign in (-1.0, 1.0):
            weak = operate(policy(name), key, IMAGE, 0.0, sign)
            np.testing.assert_array_equal(weak, IMAGE, err_msg=key)


def test_solarize_inverts_from_the_authors_threshold_on():
    ramp = np.arange(256, dtype=np.uint8)[:, None, None] * np.ones((1, 1, 3), np.uint8)
    for magnitude in range(31):
        level = np.float32(magnitude) / np.float32(30)
        found = operate(policy("trivial"), "solarize", ramp, level, 1.0)
        # What TrivialAugment's own code makes of it, in whole numbers.
        expected = ImageOps.solarize(Image.fromarray(ramp), 256 - magnitude * 256 // 30)
        np.testing.assert_array_equal(found, expected)


def test_equal_seeds_repeat_and_others_differ():
    chosen = policy("rand")
    np.testing.assert_array_equal(apply((5, 5), chosen), apply((5, 5), chosen))
    assert len({apply((5, i), chosen).tobytes() for i in range(12)}) > 9


def test_no_policy_is_not_in_the_graph():
    assert policies.apply(IMAGE, None, policy=policies.Policy()) is IMAGE
