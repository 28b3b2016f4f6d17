"""Cross-batch memory: the embeddings of past batches, as further gallery of the pair losses."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from simsearch.losses import pairs


class Memory(NamedTuple):
    """The newest M images that were trained on, newest first.

    Attributes:
        embeddings: As they were then, float32 [M, D].
        labels: Classes, int32 [M].
        valid: False for places not filled yet and images that could not be read, bool [M].
    """

    embeddings: jax.Array
    labels: jax.Array
    valid: jax.Array


def empty(size: int, *, embedding_size: int) -> Memory:
    """Returns a memory of `size` places without anything in it."""
    return Memory(
        jnp.zeros((size, embedding_size), jnp.float32),
        jnp.zeros(size, jnp.int32),
        jnp.zeros(size, bool),
    )


def push(memory: Memory, batch: pairs.Gallery) -> Memory:
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
    return Memory(*joined)


def extend(batch: pairs.Gallery, memory: Memory, *, is_used: jax.Array) -> pairs.Gallery:
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
