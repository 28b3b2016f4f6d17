import jax
import numpy as np
import pytest

from simsearch import cores, errors, parallel


def assert_replicated(tree):
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        first, *rest = (np.asarray(shard.data) for shard in leaf.addressable_shards)
        assert rest
        for other in rest:
            np.testing.assert_array_equal(first, other, err_msg=jax.tree_util.keystr(path))


def count_step(state, batch, key):
    total = jax.lax.psum(batch.sum(), parallel.AXIS)
    return state + total, total


def test_the_state_goes_in_and_comes_out_once():
    devices = parallel.local_devices(2)
    step = parallel.replicate_step(count_step, devices)
    state = parallel.replicate(np.float32(1), devices)
    (batch,) = parallel.prefetch([np.arange(4, dtype=np.float32)], devices)
    assert batch.shape == (2, 2)
    state, total = step(state, batch, jax.random.key(0))
    assert state.shape == () and float(state) == 7 and float(total) == 6
    assert_replicated(state)


def test_prefetch_gives_every_batch_in_order_and_takes_them_ahead():
    taken = []

    def batches():
        for i in range(5):
            taken.append(i)
            yield np.full(2, i)

    out = parallel.prefetch(batches(), parallel.local_devices(2), depth=3)
    first = next(out)
    assert taken == [0, 1, 2]
    assert [int(batch[0, 0]) for batch in (first, *out)] == [0, 1, 2, 3, 4]


def test_shards_are_rows_on_each_device_and_uneven_batches_are_whole():
    devices = parallel.local_devices()
    even = parallel.shard(np.arange(4), devices)
    assert [shard.data.tolist() for shard in even.addressable_shards] == [[0, 1], [2, 3]]
    uneven = parallel.shard(np.arange(3), devices)
    assert [shard.data.tolist() for shard in uneven.addressable_shards] == [[0, 1, 2]] * 2


@pytest.mark.parametrize(
    ("at_most", "multiple", "sizes"),
    [
        (16, 1, [1, 2, 4, 8, 16]),
        (5, 1, [1, 2, 4, 5]),
        (1, 1, [1]),
        (8, 3, [3, 6, 9]),
        (2, 8, [8]),
    ],
)
def test_sizes_are_few_and_multiples_of_the_devices(at_most, multiple, sizes):
    options = {"at_most": at_most, "multiple": multiple}
    numbers = range(1, at_most + 1)
    found = [parallel.bucket(number, **options) for number in numbers]
    assert sorted(set(found)) == sizes and all(map(int.__ge__, found, numbers))


def test_a_batch_that_the_devices_cannot_share_is_refused_with_one_that_they_can():
    parallel.check_divisible(64, 2, name="train.batch_size")
    with pytest.raises(errors.UsageError, match="try 62 or 64"):
        parallel.check_divisible(63, 2, name="train.batch_size")
    with pytest.raises(errors.UsageError, match="try 12 or 18"):
        parallel.check_divisible(15, 2, name="train.batch_size", multiple=3)


def test_more_devices_than_there_are_is_refused():
    assert parallel.local_devices(1) == jax.local_devices()[:1]
    with pytest.raises(errors.UsageError, match="has 2 .*=0 for all there are.*_DEVICES=3$"):
        parallel.local_devices(3)


@pytest.mark.parametrize(("num_rows", "num_devices", "parts"), [(12, 1, 3), (7, 1, 1), (12, 2, 1)])
def test_a_cpu_s_cores_share_the_rows(monkeypatch, num_rows, num_devices, parts):
    monkeypatch.setattr(cores, "count", lambda: 5 if num_rows == 7 else 3)
    devices = jax.local_devices()[:num_devices]
    shapes = []

    def double(variables, rows):
        shapes.append(rows.shape)
        return rows * variables

    rows = np.arange(2.0 * num_rows, dtype=np.float32).reshape(num_rows, 2)
    wait = parallel.start(double, parallel.replicate(np.float32(2), devices), rows, devices)
    found = wait()
    np.testing.assert_array_equal(found, 2 * rows)
    assert shapes == [(num_rows // parts, 2)] * parts


def test_what_a_part_raises_is_raised_where_the_result_is_waited_for(monkeypatch):
    monkeypatch.setattr(cores, "count", lambda: 2)

    def fail(variables, rows):
        raise MemoryError("too much")

    wait = parallel.start(fail, None, np.zeros((4, 1)), jax.local_devices()[:1])
    with pytest.raises(MemoryError, match="too much"):
        wait()
