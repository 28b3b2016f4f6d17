"""The Proxy-Anchor loss: each class vector is an anchor that looks at the whole batch."""

import jax
import jax.numpy as jnp

from simsearch.losses import classes, distances, log_sums, ratio


def proxy_anchor(
    images: classes.Images, proxies: jax.Array, *, margin: float, scale: float
) -> ratio.Ratio:
    """Returns the Proxy-Anchor loss of a whole batch.

        1/|P+| sum over c in P+ of log(1 + sum over x of class c of exp(-scale (s_xc - m)))
        + 1/C  sum over all c of log(1 + sum over x of other classes of exp(scale (s_xc + m)))

    with s the cosine, m the margin and P+ the classes in the batch. An image that was mixed counts
    in each sum with its share of the class.

    Args:
        images: The B images of all devices.
        proxies: Class vectors of any length, trained beside the network, float [C, D].
        margin: Positives are pulled above cosine m, negatives pushed below -m.
        scale: How sharply the worst images of a class count most.

    Returns:
        A ratio whose count is 1, or 0 where nothing is valid. Active are the pairs of an image and
        a class vector on the wrong side of their margin, of all such pairs.

    References:
        Kim et al. Proxy Anchor Loss for Deep Metric Learning. 2020.
        https://arxiv.org/abs/2003.13911
    """
    num_classes = proxies.shape[0]
    cosines = distances.cosine_similarity(proxies, images.embeddings)
    valid = images.valid[None, :].astype(jnp.float32)
    belongs = classes.memberships(images, num_classes).T
    inside, outside = belongs * valid, (1.0 - belongs) * valid
    pull = log_sums.log_one_plus_sum_exp(-scale * (cosines - margin), inside)
    push = log_sums.log_one_plus_sum_exp(scale * (cosines + margin), outside)
    num_present = jnp.sum(jnp.any(inside > 0.0, axis=1), dtype=jnp.float32)
    active = ((inside > 0.0) & (cosines < margin)) | ((outside > 0.0) & (cosines > -margin))
    return ratio.Ratio(
        total=jnp.sum(pull) / jnp.maximum(num_present, 1.0) + jnp.sum(push) / num_classes,
        count=jnp.any(images.valid).astype(jnp.float32),
        num_active=jnp.sum(active, dtype=jnp.float32),
        num_candidates=num_classes * jnp.sum(valid),
    )
