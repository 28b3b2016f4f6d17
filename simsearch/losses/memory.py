"""Cross-batch memory: the embeddings of past batches, as further gallery of the pair losses.

A memory is a gallery of the M images that were trained on last, newest first, with their embeddings
as they were then. Places that are not filled yet are not valid.
"""

import jax
import jax.numpy as jnp

from simsearch.losses import pairs


def empty(size: int, *, embedding_size: int) -> pairs.Gallery:
    """Returns a memory of `size` places without anything in it."""
    return pairs.Gallery(
        jnp.zeros((size, embedding_size), jnp.float32),
        jnp.zeros(size, jnp.int32),
        jnp.zeros(size, bool),
    )


def push(memory: pairs.Gallery, batch: pairs.Gallery) -> pairs.Gallery:
    """Returns the memory with a batch put first and the oldest images dropped.

    Args:
        memory: M images.
        batch: The batch of all devices, so that each device's memory stays the same.
    """
    size = len(memory.labels)
    joined = (
        jnp.concatenate([new.astype(old.dtype), old])[:size]
        for new, old in zip(batch, memory, strict=True)
    )
    return pairs.Gallery(*joined)


def extend(batch: pairs.Gallery, memory: pairs.Gallery, *, is_used: jax.Array) -> pairs.Gallery:
    """Returns the batch followed by the memory, which carries no gradient.

    Args:
        batch: N images.
        memory: M images.
        is_used: False leaves the memory out, bool [].

    References:
        Wang et al. Cross-Batch Memory for Embedding Learning. 2020.
        https://arxiv.org/abs/1912.06798
    """
    memory = jax.lax.stop_gradient(memory._replace(valid=memory.valid & is_used))
    return pairs.Gallery(*(jnp.concatenate(both) for both in zip(batch, memory, strict=True)))
