"""Pairs of an anchor and an image of the gallery: what they are made of, which are positive."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Anchors(NamedTuple):
    """The images of this device, each looking at the whole gallery.

    Attributes:
        embeddings: Float [A, D].
        labels: Classes, int [A].
        rows: Row of each of them in the gallery, int [A].
    """

    embeddings: jax.Array
    labels: jax.Array
    rows: jax.Array


class Gallery(NamedTuple):
    """The batch, gathered from all devices, and what else the anchors are compared with.

    Attributes:
        embeddings: Float [N, D].
        labels: Classes, int [N].
        valid: False for rows to ignore, as anchor, positive and negative alike, bool [N].
    """

    embeddings: jax.Array
    labels: jax.Array
    valid: jax.Array


class PairMasks(NamedTuple):
    """Masks over all pairs of an anchor and a gallery image.

    Attributes:
        positive: Same class, another image, both valid, bool [A, N].
        negative: Another class, both valid, bool [A, N].
    """

    positive: jax.Array
    negative: jax.Array


def masks(anchors: Anchors, gallery: Gallery) -> PairMasks:
    """Returns the positive and the negative pairs; an image is never its own positive.

    Args:
        anchors: A images.
        gallery: N images, the anchors among them.
    """
    same_class = anchors.labels[:, None] == gallery.labels[None, :]
    same_image = anchors.rows[:, None] == jnp.arange(gallery.labels.shape[0])[None, :]
    both_valid = gallery.valid[anchors.rows][:, None] & gallery.valid[None, :]
    return PairMasks(
        positive=same_class & ~same_image & both_valid, negative=~same_class & both_valid
    )


def is_confused(similarities: jax.Array, masks: PairMasks) -> jax.Array:
    """Returns where an anchor has a negative at least as near as its farthest positive, bool [A].

    Args:
        similarities: Of each anchor and gallery image, float [A, N].
        masks: Which of the pairs are positive, which negative.
    """
    farthest = jnp.min(jnp.where(masks.positive, similarities, jnp.inf), axis=1)
    nearest = jnp.max(jnp.where(masks.negative, similarities, -jnp.inf), axis=1)
    return jnp.isfinite(farthest) & (nearest >= farthest)
