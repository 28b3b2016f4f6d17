"""Which pairs of an anchor and an image of the gathered batch are positive, which negative."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class PairMasks(NamedTuple):
    """Masks over all pairs of an anchor and a batch image.

    Attributes:
        positive: Same class, another image, both valid, bool [A, N].
        negative: Another class, both valid, bool [A, N].
    """

    positive: jax.Array
    negative: jax.Array


def masks(
    anchor_labels: jax.Array, anchor_rows: jax.Array, *, labels: jax.Array, valid: jax.Array
) -> PairMasks:
    """Returns the positive and the negative pairs; an image is never its own positive.

    Args:
        anchor_labels: Classes of the anchors, int [A].
        anchor_rows: Row of each anchor in the gathered batch, int [A].
        labels: Classes of the gathered batch, int [N].
        valid: False for rows to ignore, as anchor, positive and negative alike, bool [N].
    """
    same_class = anchor_labels[:, None] == labels[None, :]
    same_image = anchor_rows[:, None] == jnp.arange(labels.shape[0])[None, :]
    both_valid = valid[anchor_rows][:, None] & valid[None, :]
    return PairMasks(
        positive=same_class & ~same_image & both_valid, negative=~same_class & both_valid
    )
