import functools

import numpy as np
import tensorflow as tf

from simsearch.data.augmentation import erasing

SIDE = 40
GRAY = np.full((SIDE, SIDE, 3), 7, np.uint8)


@functools.cache
def eraser(options):
    """Returns the compiled function from a seed to the erased grey."""
    return tf.function(lambda seed: erasing.apply(tf.constant(GRAY), seed, erasing=options))


def erase(seed, **changes):
    options = {"probability": 1.0, "area_min": 0.05, "area_max": 0.3, "ratio_max": 3.0} | changes
    return eraser(erasing.Erasing(**options))(tf.constant(seed, tf.int32)).numpy()


def rectangle(erased):
    """Returns top, left, height and width of what is not the grey, which must fill it."""
    is_noise = np.any(erased != 7, -1)
    rows, columns = np.flatnonzero(is_noise.any(1)), np.flatnonzero(is_noise.any(0))
    top, left, height, width = rows[0], columns[0], np.ptp(rows) + 1, np.ptp(columns) + 1
    # A pixel of noise is grey by chance once in 16 million.
    assert is_noise[top : top + height, left : left + width].all()
    assert is_noise.sum() == height * width
    return top, left, height, width


def test_a_rectangle_of_the_asked_area_and_ratio_is_noise():
    found = np.array([rectangle(erase((1, i))) for i in range(300)])
    areas = found[:, 2] * found[:, 3] / SIDE**2
    assert 0.04 < areas.min() < 0.07 and 0.26 < areas.max() < 0.32
    assert abs(areas.mean() - 0.175) < 0.015
    ratios = found[:, 2] / found[:, 3]
    assert 0.3 < ratios.min() < 0.4 and 2.5 < ratios.max() < 3.4
    assert abs(np.log(ratios).mean()) < 0.1
    centers = found[:, :2] + found[:, 2:] / 2
    assert np.abs(centers.mean(0) - SIDE / 2).max() < 2


def test_noise_is_uniform_and_new_every_time():
    noise = erase((2, 3), area_min=1.0, area_max=1.0, ratio_max=1.0)
    assert abs(noise.mean() - 127.5) < 4 and noise.min() < 3 and noise.max() > 252
    assert not np.array_equal(noise, erase((2, 4), area_min=1.0, area_max=1.0, ratio_max=1.0))
    np.testing.assert_array_equal(erase((2, 5)), erase((2, 5)))


def test_it_is_as_frequent_as_asked_for():
    count = sum(not np.array_equal(erase((3, i), probability=0.25), GRAY) for i in range(400))
    # 100 expected, 9 the standard deviation.
    assert 64 < count < 136
    assert erasing.apply(GRAY, None, erasing=erasing.Erasing()) is GRAY


def test_a_rectangle_too_long_for_the_image_is_cut():
    _, left, height, width = rectangle(erase((4, 1), area_min=0.9, area_max=0.9, ratio_max=9.0))
    assert height == SIDE or width == SIDE
