"""The multi-similarity loss, with its own mining of pairs."""

import jax.numpy as jnp

from simsearch.losses import distances, log_sums, pairs, ratio


def multi_similarity(
    anchors: pairs.Anchors,
    gallery: pairs.Gallery,
    *,
    alpha: float,
    beta: float,
    base: float,
    epsilon: float,
) -> ratio.Ratio:
    """Returns this device's share of the multi-similarity loss.

        mean over anchors i of 1/alpha log(1 + sum over p of exp(-alpha (s_ip - base)))
                             + 1/beta log(1 + sum over n of exp(beta (s_in - base)))

    with s the cosine, over the pairs that its miner keeps: a positive p that is less similar than
    the most similar negative plus epsilon, a negative n that is more similar than the least
    similar positive minus epsilon.

    Args:
        anchors: This device's A images.
        gallery: N images, the anchors among them.
        alpha: How sharply the least similar positives count most.
        beta: How sharply the most similar negatives count most.
        base: Cosine that positives are pulled above and negatives pushed below.
        epsilon: Width of the miner's margin, in cosine.

    Returns:
        A ratio whose count is the anchors that have a positive and a negative. Active are the pairs
        that the miner keeps, of all pairs.

    References:
        Wang et al. Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning.
        2019. https://arxiv.org/abs/1904.06627
    """
    cosines = distances.cosine_similarity(anchors.embeddings, gallery.embeddings)
    positive, negative = pairs.masks(anchors, gallery)
    farthest = jnp.min(jnp.where(positive, cosines, jnp.inf), axis=1, keepdims=True)
    nearest = jnp.max(jnp.where(negative, cosines, -jnp.inf), axis=1, keepdims=True)
    kept_positive = positive & (cosines < nearest + epsilon)
    kept_negative = negative & (cosines > farthest - epsilon)
    pull = log_sums.log_one_plus_sum_exp(-alpha * (cosines - base), kept_positive) / alpha
    push = log_sums.log_one_plus_sum_exp(beta * (cosines - base), kept_negative) / beta
    return ratio.Ratio(
        total=jnp.sum(pull + push),
        count=jnp.sum(jnp.any(positive, axis=1) & jnp.any(negative, axis=1), dtype=jnp.float32),
        num_active=jnp.sum(kept_positive | kept_negative, dtype=jnp.float32),
        num_candidates=jnp.sum(positive | negative, dtype=jnp.float32),
    )
