"""The k rows of a matrix nearest to each query, compiled: block-wise, over all devices, exact."""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from simsearch import parallel

# Rows that share one maximum. The k best rows lie in the k best bins, so only those are looked at
# again: sorting maxima costs a 32nd of sorting scores.
_BIN = 32
# Scores held at a time for each device: they stay in a core's cache.
_BLOCK_ELEMENTS = 2**19
# Below this many rows or scores for each device all scores are held at once: a block of the matrix
# is a copy, which costs a single query more than its scores do.
_SMALL = 2**14
_FEW_SCORES = 2**23
_SMALLEST_CAPACITY = 1024
MAX_QUERIES = 128


def capacity(num_rows: int, num_devices: int) -> int:
    """Returns how many rows to make room for, so that growth seldom compiles anything anew.

    It is at most a 16th more than there are, above 16,384 rows for each device.
    """
    each = max(_SMALLEST_CAPACITY, -(-num_rows // num_devices))
    step = max(_SMALLEST_CAPACITY, 2 ** (each - 1).bit_length() // 32)
    return -(-each // step) * step * num_devices


@functools.partial(jax.jit, donate_argnums=0)
def write(matrix: jax.Array, rows: jax.Array, values: jax.Array) -> jax.Array:
    """Returns a matrix [C, ...] with some rows replaced, in the same memory.

    Args:
        matrix: Given up by the caller.
        rows: Their numbers, int32 [n]; those that are C or more are left out.
        values: What they become, [n, ...].
    """
    return matrix.at[rows].set(values.astype(matrix.dtype), mode="drop")


@functools.partial(jax.jit, static_argnames=("k", "devices"))
def top_k(
    matrix: jax.Array, allowed: jax.Array, queries: jax.Array, *, k: int, devices: Mesh
) -> tuple[jax.Array, jax.Array]:
    """Returns the scores, float32 [Q, k], and rows, int32 [Q, k], nearest to each query.

    Args:
        matrix: Vectors, [C, D] with C as `capacity` gives it, spread over the devices.
        allowed: Whether a row may be found, bool [C], spread alike. Where fewer than k may, scores
            of -inf fill up.
        queries: float32 [Q, D].
        k: At most C.
        devices: As `parallel.mesh` gives them.
    """
    local = jax.shard_map(
        functools.partial(_local_top_k, k=k),
        mesh=devices,
        in_specs=(P(parallel.AXIS), P(parallel.AXIS), P()),
        out_specs=(P(None, parallel.AXIS), P(None, parallel.AXIS)),
        check_vma=False,
    )
    scores, rows = local(matrix, allowed, queries)
    best, places = jax.lax.top_k(scores, k)
    return best, jnp.take_along_axis(rows, places, axis=1)


def _local_top_k(
    matrix: jax.Array, allowed: jax.Array, queries: jax.Array, *, k: int
) -> tuple[jax.Array, jax.Array]:
    """Returns the scores and global rows of the nearest in one device's part."""
    num_rows = matrix.shape[0]
    k = min(k, num_rows)
    is_small = num_rows <= _SMALL or num_rows * len(queries) <= _FEW_SCORES
    if k * _BIN * 2 > num_rows:
        scores, rows = jax.lax.top_k(_scores(queries, matrix, allowed), k)
    elif is_small:
        scores, rows = _binned_top_k(_scores(queries, matrix, allowed), k)
    else:
        candidates = _candidates(matrix, allowed, queries, k)

        def rescore(query_and_rows: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            query, near = query_and_rows
            scores, places = jax.lax.top_k(_scores(query[None], matrix[near], allowed[near])[0], k)
            return scores, near[places]

        scores, rows = jax.lax.map(rescore, (queries, candidates))
    return scores, rows + num_rows * jax.lax.axis_index(parallel.AXIS)


def _binned_top_k(scores: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """Returns `lax.top_k` of scores [Q, C], which it only sorts in the k best bins."""
    num_queries, num_rows = scores.shape
    num_bins = num_rows // _BIN
    binned = scores.reshape(num_queries, _BIN, num_bins)
    bins = jax.lax.top_k(binned.max(axis=1), k)[1]
    near = jnp.take_along_axis(binned, bins[:, None, :], axis=2).reshape(num_queries, -1)
    best, places = jax.lax.top_k(near, k)
    return best, places // k * num_bins + jnp.take_along_axis(bins, places % k, axis=1)


def _candidates(matrix: jax.Array, allowed: jax.Array, queries: jax.Array, k: int) -> jax.Array:
    """Returns the rows of the k bins with the largest maxima, int32 [Q, k * _BIN]."""
    num_rows, num_queries = matrix.shape[0], queries.shape[0]
    block = _block_rows(num_rows, num_queries)
    per_block = block // _BIN

    def maxima(part: tuple[jax.Array, jax.Array]) -> jax.Array:
        # A bin takes every per_block-th row of its block: the maximum runs over whole lines.
        scores = _scores(queries, *part).reshape(num_queries, _BIN, per_block)
        return scores.max(axis=1)

    parts = matrix.reshape(-1, block, matrix.shape[1]), allowed.reshape(-1, block)
    by_bin = jax.lax.map(maxima, parts).swapaxes(0, 1).reshape(num_queries, -1)
    bins = jax.lax.top_k(by_bin, k)[1]
    first = bins // per_block * block + bins % per_block
    rows = first[:, :, None] + per_block * jnp.arange(_BIN)
    return rows.reshape(num_queries, -1)


def _block_rows(num_rows: int, num_queries: int) -> int:
    """Returns the rows of a block: the largest divisor that keeps its scores in the cache."""
    units = num_rows // _SMALLEST_CAPACITY
    wanted = max(1, _BLOCK_ELEMENTS // num_queries // _SMALLEST_CAPACITY)
    most = next(n for n in range(min(units, wanted), 0, -1) if units % n == 0)
    return most * _SMALLEST_CAPACITY


def _scores(queries: jax.Array, vectors: jax.Array, allowed: jax.Array) -> jax.Array:
    """Returns cosines, float32 [Q, n]; -inf where a row is not allowed."""
    # Not dot_general over both second axes, which XLA:CPU computes at less than half the speed.
    scores = jnp.dot(
        queries.astype(vectors.dtype),
        vectors.T,
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.float32,
    )
    return jnp.where(allowed, scores, -jnp.inf)
