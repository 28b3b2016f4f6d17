"""The normalised softmax loss: classification by the cosine to a learned vector of each class."""

import jax
import jax.numpy as jnp

from simsearch.losses import classes, distances, ratio


def normalised_softmax(
    images: classes.Images, proxies: jax.Array, *, scale: float, label_smoothing: float
) -> ratio.Ratio:
    """Returns this device's share of the normalised softmax loss.

        mean over images i of the cross-entropy of softmax over c of (scale * cos(x_i, w_c))

    Args:
        images: This device's B images; a mixed one counts for both of its classes.
        proxies: Class vectors w of any length, trained beside the network, float [C, D].
        scale: What the cosines are multiplied by, the inverse of a temperature.
        label_smoothing: Share of the target that is spread over all classes.

    Returns:
        A ratio whose count is the valid images. Active are those of them that are misclassified.

    References:
        Wang et al. NormFace: L2 Hypersphere Embedding for Face Verification. 2017.
        https://arxiv.org/abs/1704.06369
        Zhai and Wu. Classification is a Strong Baseline for Deep Metric Learning. 2019.
        https://arxiv.org/abs/1811.12649
        Szegedy et al. Rethinking the Inception Architecture. 2016 (label smoothing).
    """
    logits = scale * distances.cosine_similarity(images.embeddings, proxies)
    losses = classes.cross_entropy(
        logits,
        classes.memberships(images, proxies.shape[0]),
        valid=images.valid,
        label_smoothing=label_smoothing,
    )
    is_wrong = jnp.argmax(logits, axis=1) != images.labels
    return classes.ratio_of(losses, is_wrong, valid=images.valid)
