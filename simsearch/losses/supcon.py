"""The supervised contrastive loss (SupCon); with two images of each class it is NT-Xent."""

import jax.numpy as jnp

from simsearch.losses import distances, log_sums, pairs, ratio


def supcon(anchors: pairs.Anchors, gallery: pairs.Gallery, *, temperature: float) -> ratio.Ratio:
    """Returns this device's share of the supervised contrastive loss.

        mean over anchors i of -1/|P(i)| sum over p in P(i) of
            log(exp(s_ip / t) / sum over a != i of exp(s_ia / t))

    with s the cosine, t the temperature and P(i) the other images of the anchor's class. Where
    each class has two images in the batch, that is NT-Xent (SimCLR).

    Args:
        anchors: This device's A images.
        gallery: N images, the anchors among them.
        temperature: What the cosines are divided by; the smaller, the more the nearest count.

    Returns:
        A ratio whose count is the anchors that have a positive. Active are those of them that have
        a negative at least as near as their farthest positive.

    References:
        Khosla et al. Supervised Contrastive Learning. 2020. https://arxiv.org/abs/2004.11362
        Chen et al. A Simple Framework for Contrastive Learning. 2020.
        https://arxiv.org/abs/2002.05709
    """
    cosines = distances.cosine_similarity(anchors.embeddings, gallery.embeddings)
    masks = pairs.masks(anchors, gallery)
    logits = cosines / temperature
    log_sums_of_others = log_sums.log_sum_exp(logits, masks.positive | masks.negative)[:, None]
    num_positives = jnp.sum(masks.positive, axis=1, dtype=jnp.float32)
    of_positives = jnp.sum(jnp.where(masks.positive, log_sums_of_others - logits, 0.0), axis=1)
    total = jnp.sum(of_positives / jnp.maximum(num_positives, 1.0))
    has_positive = num_positives > 0.0
    active = pairs.is_confused(cosines, masks)
    count = jnp.sum(has_positive, dtype=jnp.float32)
    return ratio.Ratio(total, count, jnp.sum(active, dtype=jnp.float32), count)
