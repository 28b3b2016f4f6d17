"""The triplet loss, over triplets that come with the batch or are mined inside it."""

import functools

import jax
import jax.numpy as jnp

from simsearch.losses import distances, mining, pairs, ratio


def explicit(
    embeddings: jax.Array,
    valid: jax.Array,
    *,
    margin: float,
    distance: str,
    soft_margin: bool = False,
) -> ratio.Ratio:
    """Returns the triplet loss of a batch of explicit triplets.

        max(d(a, p) - d(a, n) + margin, 0)

    Args:
        embeddings: Interleaved a0, p0, n0, a1, p1, n1, …, float [B, D], B a multiple of 3.
        valid: False where an image could not be read, bool [B]; its whole triplet is left out.
        margin: By how much a negative must be further than a positive, in units of the distance.
        distance: A key of `distances.DISTANCES`.
        soft_margin: softplus(violation) in place of max(violation, 0).

    Returns:
        A ratio whose count is the valid triplets, active or not.

    Raises:
        ValueError: B is not a multiple of 3.

    References:
        Schroff, Kalenichenko, Philbin. FaceNet. 2015. https://arxiv.org/abs/1503.03832
        Hermans, Beyer, Leibe. In Defense of the Triplet Loss for Person Re-Identification. 2017.
        https://arxiv.org/abs/1703.07737 (the soft margin)
    """
    if embeddings.shape[0] % 3:
        raise ValueError(
            f"expected a batch of whole triplets (anchor, positive, negative), got "
            f"{embeddings.shape[0]} rows; make it a multiple of 3 on each device"
        )
    anchor, positive, negative = (embeddings[i::3] for i in range(3))
    paired = distances.DISTANCES[distance].paired
    return mining.sum_over(
        jnp.all(valid.reshape(-1, 3), axis=1),
        paired(anchor, positive),
        negative=paired(anchor, negative),
        margin=margin,
        soft_margin=soft_margin,
    )


def mined(
    anchors: pairs.Anchors,
    gallery: pairs.Gallery,
    *,
    miner: str | mining.Miner,
    margin: float,
    distance: str,
    soft_margin: bool = False,
    key: jax.Array | None = None,
) -> ratio.Ratio:
    """Returns this device's share of the triplet loss with triplets mined in the whole gallery.

        sum of max(d(a, p) - d(a, n) + margin, 0) over the triplets that the miner chooses

    Args:
        anchors: This device's A images, embeddings float [A, D].
        gallery: N images, embeddings float [N, D], the anchors among them.
        miner: "distance_weighted", a key of `mining.MINERS`, or a function of that form.
        margin: By how much a negative must be further than a positive, in units of the distance.
        distance: A key of `distances.DISTANCES`.
        soft_margin: softplus(violation) in place of max(violation, 0).
        key: The same on every device; only "distance_weighted" draws from it.

    Returns:
        A ratio whose count is told by the miner, as is where it comes from.
    """
    if miner == "distance_weighted":
        mine = _distance_weighted(anchors, gallery, key)
    else:
        mine = mining.MINERS[miner] if isinstance(miner, str) else miner
    masks = pairs.masks(anchors, gallery)
    return mine(
        distances.DISTANCES[distance].pairwise(anchors.embeddings, gallery.embeddings),
        masks.positive,
        masks.negative,
        margin=margin,
        soft_margin=soft_margin,
    )


def _distance_weighted(
    anchors: pairs.Anchors, gallery: pairs.Gallery, key: jax.Array
) -> mining.Miner:
    num_images, num_dimensions = gallery.embeddings.shape

    def uniforms(row: jax.Array) -> jax.Array:
        # By row of the whole batch: the draw is the same however the rows lie on the devices.
        return jax.random.uniform(jax.random.fold_in(key, row), (num_images,))

    cosines = distances.cosine_distance(anchors.embeddings, gallery.embeddings)
    return functools.partial(
        mining.distance_weighted,
        euclidean=jnp.sqrt(2.0 * jax.lax.stop_gradient(cosines)),
        uniforms=jax.vmap(uniforms)(anchors.rows),
        num_dimensions=num_dimensions,
    )
