"""The circle loss: each pair is weighed by how far it is from where it should be."""

import jax
import jax.numpy as jnp

from simsearch.losses import distances, log_sums, pairs, ratio


def circle(
    anchors: pairs.Anchors, gallery: pairs.Gallery, *, margin: float, scale: float
) -> ratio.Ratio:
    """Returns this device's share of the circle loss.

        mean over anchors i of log(1 + sum over n of exp(scale a_n (s_in - m))
                                     * sum over p of exp(-scale a_p (s_ip - 1 + m)))

    with s the cosine, m the margin, and the weights a_p = max(1 + m - s_ip, 0) and
    a_n = max(s_in + m, 0), which carry no gradient.

    Args:
        anchors: This device's A images.
        gallery: N images, the anchors among them.
        margin: Positives are pulled above cosine 1 - m, negatives pushed below m.
        scale: How sharply the worst pairs count most.

    Returns:
        A ratio whose count is the anchors that have a positive and a negative. Active are the pairs
        on the wrong side of their margin, of all pairs.

    References:
        Sun et al. Circle Loss: A Unified Perspective of Pair Similarity Optimization. 2020.
        https://arxiv.org/abs/2002.10857
    """
    cosines = distances.cosine_similarity(anchors.embeddings, gallery.embeddings)
    positive, negative = pairs.masks(anchors, gallery)
    fixed = jax.lax.stop_gradient(cosines)
    pull = jax.nn.relu(1.0 + margin - fixed) * (cosines - (1.0 - margin))
    push = jax.nn.relu(fixed + margin) * (cosines - margin)
    log_product = log_sums.log_sum_exp(-scale * pull, positive)
    log_product += log_sums.log_sum_exp(scale * push, negative)
    has_both = jnp.any(positive, axis=1) & jnp.any(negative, axis=1)
    active = (positive & (cosines < 1.0 - margin)) | (negative & (cosines > margin))
    return ratio.Ratio(
        total=jnp.sum(jnp.where(has_both, jax.nn.softplus(log_product), 0.0)),
        count=jnp.sum(has_both, dtype=jnp.float32),
        num_active=jnp.sum(active, dtype=jnp.float32),
        num_candidates=jnp.sum(positive | negative, dtype=jnp.float32),
    )
