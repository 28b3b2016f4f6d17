"""A module over a batch, on a CPU a few images at a time, so that what it computes stays in cache.

Between two steps of a block a feature map of the whole batch goes out to memory and comes back; of
one image it stays in the cache of a core. That pays for computing the block's inside a second time
in the backward pass, and memory holds the block's inputs alone.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
from jax.ad_checkpoint import checkpoint_name

from simsearch.models.cpu import platform

# A core's second cache; the widest feature map of a chunk of images should not exceed it by much.
_CACHE_FLOATS = 2**18
_KEPT = "kept by chunks"


def apply(
    module: nn.Module,
    x: jax.Array,
    *,
    widest: int,
    train: bool,
    independent: bool,
    prepare: Callable[[dict], dict] = lambda variables: variables,
) -> jax.Array:
    """Returns `module(x, train=train)`; on a CPU computed by chunks, again in the backward pass.

    All but what the module says to `keep`.

    Args:
        module: What to compute.
        x: Images [B, ...].
        widest: Floats of the largest feature map of an image inside the module.
        train: Passed on.
        independent: Whether the module treats each image by itself and changes no variable; else it
            sees the whole batch.
        prepare: From its variables to those that it is computed with; once for all chunks.

    References:
        Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016.
    """
    batch = x.shape[0]
    size = chunk_size(batch, widest)
    if size == batch or not independent or module.is_initializing():
        return module(x, train=train)
    unbound, variables = module.unbind()

    def whole(variables: dict, x: jax.Array) -> jax.Array:
        return unbound.apply(variables, x, train=train)

    def by_chunks(variables: dict, x: jax.Array) -> jax.Array:
        chunks = x.reshape(batch // size, size, *x.shape[1:])
        prepared = prepare(variables)
        policy = jax.checkpoint_policies.save_only_these_names(_KEPT)
        step = jax.checkpoint(lambda chunk: whole(prepared, chunk), policy=policy)
        out = jax.lax.map(step, chunks)
        return out.reshape(batch, *out.shape[2:])

    return platform.choose(variables, x, cpu=by_chunks, default=whole)


def keep(x: jax.Array) -> jax.Array:
    """Returns x, which the backward pass then reads from memory and does not compute again."""
    return checkpoint_name(x, _KEPT)


def chunk_size(batch: int, widest: int) -> int:
    """Returns how many images a chunk has: a divisor of the batch, and as many as fit the cache."""
    fitting = max(_CACHE_FLOATS // widest, 1)
    return max(size for size in range(1, min(fitting, batch) + 1) if batch % size == 0)
