"""Data parallelism over the local devices and a CPU's cores: the only file that says pmap.

The step sees one shard of the batch and reduces over `AXIS` itself, so that jit with sharding
could take pmap's place here alone.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from simsearch import cores, errors

AXIS = "devices"


def local_devices(num_devices: int = 0) -> list[jax.Device]:
    """Returns the first `num_devices` local devices, all of them where it is 0.

    Raises:
        UsageError: Where there are fewer.
    """
    devices = jax.local_devices()
    if num_devices > len(devices):
        kind = devices[0].platform
        raise errors.UsageError(
            f"train.num_devices={num_devices} but this machine has {len(devices)} ({kind}); set "
            "--config.train.num_devices=0 for all there are, or, to go on with a version that "
            f"began with so many, JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES={num_devices}"
        )
    return devices[: num_devices or len(devices)]


def check_divisible(batch_size: int, num_devices: int, *, name: str, multiple: int = 1) -> None:
    """Raises UsageError where the devices cannot share a batch in whole groups of `multiple`."""
    unit = num_devices * multiple
    if batch_size % unit:
        below = batch_size // unit * unit
        choices = " or ".join(str(size) for size in (below, below + unit) if size)
        groups = f"{num_devices} devices"
        if multiple > 1:
            groups += f" in whole groups of {multiple} images"
        raise errors.UsageError(f"{name}={batch_size} must divide over {groups}; try {choices}")


def bucket(number: int, *, at_most: int, multiple: int = 1) -> int:
    """Returns the size that so many rows are padded to: one of few, since each is compiled.

    It is a power of two times what it must be a multiple of, such as the number of devices; or the
    bound, rounded up to a multiple, where that is less.
    """
    groups = -(-number // multiple)
    return multiple * min(-(-at_most // multiple), 2 ** max(0, groups - 1).bit_length())


def replicate_step(step: Callable, devices: Sequence[jax.Device]) -> Callable:
    """Returns the step compiled for all devices: `(state, batch, key) -> (state, metrics)`.

    The state and the key go in and come out once, replicated; the batch carries a leading device
    axis, as `prefetch` gives it. What the step returns must have been reduced over `AXIS`.

    Args:
        step: Pure function of one shard.
        devices: Where it runs.
    """
    return jax.pmap(
        step,
        axis_name=AXIS,
        in_axes=(None, 0, None),
        out_axes=None,
        devices=list(devices),
        donate_argnums=(0,),
    )


def mesh(devices: Sequence[jax.Device]) -> Mesh:
    """Returns the devices as a line that rows are spread along, its axis `AXIS`."""
    return Mesh(np.asarray(devices), (AXIS,))


def over_rows(devices: Mesh) -> NamedSharding:
    """Returns the layout of an array whose rows are spread over the devices evenly."""
    return NamedSharding(devices, P(AXIS))


def _whole(devices: Mesh) -> NamedSharding:
    return NamedSharding(devices, P())


def shard(array: np.ndarray, devices: Sequence[jax.Device]) -> jax.Array:
    """Returns an array [B, ...] spread over the devices by rows; whole on each if B is uneven."""
    line = mesh(devices)
    return jax.device_put(array, _whole(line) if len(array) % line.size else over_rows(line))


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """Returns the tree with every array whole on each device."""
    return jax.device_put(tree, _whole(mesh(devices)))


def start(
    function: Callable[[Any, jax.Array], jax.Array],
    variables: Any,
    rows: np.ndarray,
    devices: Sequence[jax.Device],
) -> Callable[[], np.ndarray]:
    """Starts `function(variables, rows)` and returns what waits for its result.

    On several devices each computes its shard. A CPU is one device and a network keeps little more
    than one of its cores at work (`models/cpu/chunks.py`), so there each core computes its part.

    Args:
        function: Compiled; gives each row [B, ...] of its input a row of its result, by itself.
        variables: As `replicate` gives them.
        rows: [B, ...].
        devices: Where it runs.
    """
    parts = 1
    if len(devices) == 1 and devices[0].platform == "cpu":
        parts = max(n for n in range(1, cores.count() + 1) if len(rows) % n == 0)
    if parts == 1:
        result = function(variables, shard(rows, devices))
        return lambda: np.asarray(result)

    def compute(part: np.ndarray) -> np.ndarray:
        return np.asarray(function(variables, shard(part, devices)))

    running = [_threads().submit(compute, part) for part in np.split(rows, parts)]
    return lambda: np.concatenate([part.result() for part in running])


@functools.cache
def _threads() -> futures.ThreadPoolExecutor:
    return futures.ThreadPoolExecutor(cores.count(), thread_name_prefix="core")


def prefetch(
    batches: Iterable[Any], devices: Sequence[jax.Device], *, depth: int = 2
) -> Iterator[Any]:
    """Yields batches that are on their way to the devices before they are asked for.

    Args:
        batches: Trees of arrays [B, ...]; B divides over the devices.
        devices: Where the shards go.
        depth: Batches >= 1 under way at a time.

    Yields:
        Trees of arrays [num_devices, B / num_devices, ...], one shard on each device.
    """
    sharding = over_rows(mesh(devices))

    def put(array: np.ndarray) -> jax.Array:
        shards = array.reshape(len(devices), -1, *array.shape[1:])
        return jax.device_put(shards, sharding)

    queue = []
    for batch in batches:
        queue.append(jax.tree.map(put, batch))
        if len(queue) >= depth:
            yield queue.pop(0)
    yield from queue


def describe_devices(devices: Sequence[jax.Device]) -> str:
    """Returns the devices in words, such as "2 x cpu" or "1 x NVIDIA H100 (gpu)"."""
    first = devices[0]
    kind = first.device_kind
    label = kind if kind == first.platform else f"{kind} ({first.platform})"
    return f"{len(devices)} x {label}"
