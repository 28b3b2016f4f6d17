"""Named random streams: one root key, children by name and step."""

import zlib

import jax


def stream(key: jax.Array, name: str, step: int | jax.Array = 0) -> jax.Array:
    """Returns the key of stream `name` at `step`; equal inputs give equal keys."""
    return jax.random.fold_in(jax.random.fold_in(key, zlib.crc32(name.encode())), step)
