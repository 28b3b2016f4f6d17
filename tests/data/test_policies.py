import numpy as np
import pytest
import tensorflow as tf

from simsearch import config_augment
from simsearch.data import policies

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)


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


def test_a_lower_magnitude_is_the_highest_of_trivial():
    assert set(draws(policy("trivial", magnitude=4), 200)[1].ravel()) == {0, 1, 2, 3, 4}


def test_the_operation_that_was_drawn_is_applied():
    for i in range(8):
        chosen = policy("trivial")
        number, level, sign = (part[0] for part in policies.draws((1, i), policy=chosen))
        operation = list(policies.operations(chosen).values())[int(number)]
        expected = operation(tf.constant(IMAGE), level, sign)
        np.testing.assert_array_equal(apply((1, i), chosen), expected)


@pytest.mark.parametrize("name", ["trivial", "rand"])
def test_the_strongest_of_every_operation_runs_and_the_weakest_changes_nothing(name):
    for key, operation in policies.operations(policy(name)).items():
        for sign in (-1.0, 1.0):
            strong = operation(tf.constant(IMAGE), tf.constant(1.0), tf.constant(sign))
            assert strong.shape == IMAGE.shape and strong.dtype == tf.uint8
            assert key == "identity" or not np.array_equal(strong, IMAGE), key
            weak = operation(tf.constant(IMAGE), tf.constant(0.0), tf.constant(sign)).numpy()
            if key not in ("autocontrast", "equalize", "solarize"):
                np.testing.assert_array_equal(weak, IMAGE, err_msg=key)


def test_magnitudes_are_the_papers():
    wide = policies.operations(policy("trivial"))
    gray = tf.constant(np.full((224, 224, 3), 100, np.uint8))

    def strongest(key, image=gray):
        return wide[key](image, tf.constant(1.0), tf.constant(-1.0)).numpy()

    assert strongest("brightness").max() == 1  # 100 x 0.01
    moved = strongest("translate_x", tf.constant(np.zeros((224, 224, 3), np.uint8)))
    assert np.sum(moved[0, :, 0] > 0) == 32
    ramp = tf.constant(np.arange(224, dtype=np.uint8)[:, None, None] * np.ones((1, 1, 3), np.uint8))
    assert len(np.unique(strongest("posterize", ramp))) == 4  # 2 bits stay
    assert strongest("solarize", ramp)[10, 0, 0] == 245


def test_equal_seeds_repeat_and_others_differ():
    chosen = policy("rand")
    np.testing.assert_array_equal(apply((5, 5), chosen), apply((5, 5), chosen))
    assert len({apply((5, i), chosen).tobytes() for i in range(12)}) > 9


def test_no_policy_is_not_in_the_graph():
    assert policies.apply(IMAGE, None, policy=policies.Policy()) is IMAGE
