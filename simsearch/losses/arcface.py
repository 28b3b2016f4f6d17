"""The ArcFace loss: classification by angle, with a margin that the own class has to make up."""

import math

import jax
import jax.numpy as jnp

from simsearch.losses import classes, distances, ratio

# A squared sine below this has slope 0: at cosine 1 and -1 that of the square root is infinite.
_MIN_SQUARED_SINE = 1e-6


def arcface(
    images: classes.Images,
    proxies: jax.Array,
    *,
    margin: float,
    scale: float,
    label_smoothing: float,
) -> ratio.Ratio:
    """Returns this device's share of the ArcFace loss.

        mean over images i of the cross-entropy of softmax over c of
            scale * cos(angle(x_i, w_c) + m [c is the class of i])

    Beyond angle pi - m, where the cosine would rise again, the own class's logit goes on as
    scale * (cos(angle) - m sin(m)).

    Args:
        images: This device's B images; a mixed one is the weighted sum of the losses for both of
            its classes.
        proxies: Class vectors w of any length, trained beside the network, float [C, D].
        margin: m, in radians.
        scale: What the cosines are multiplied by.
        label_smoothing: Share of the target that is spread over all classes.

    Returns:
        A ratio whose count is the valid images. Active are those of them that are misclassified
        under the margin.

    References:
        Deng et al. ArcFace: Additive Angular Margin Loss for Deep Face Recognition. 2019.
        https://arxiv.org/abs/1801.07698
    """
    cosines = distances.cosine_similarity(images.embeddings, proxies)
    with_margin = _add_margin(cosines, margin)
    num_classes = proxies.shape[0]

    def logits_and_losses(labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        own = jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)
        logits = scale * jnp.where(own > 0.0, with_margin, cosines)
        losses = classes.cross_entropy(
            logits, own, valid=images.valid, label_smoothing=label_smoothing
        )
        return logits, losses

    logits, own_losses = logits_and_losses(images.labels)
    _, other_losses = logits_and_losses(images.mixed_labels)
    weights = images.mix_weights
    losses = weights * own_losses + (1.0 - weights) * other_losses
    is_wrong = jnp.argmax(logits, axis=1) != images.labels
    return classes.ratio_of(losses, is_wrong, valid=images.valid)


def _add_margin(cosines: jax.Array, margin: float) -> jax.Array:
    squared_sines = 1.0 - cosines**2
    has_slope = squared_sines > _MIN_SQUARED_SINE
    sines = jnp.where(has_slope, jnp.sqrt(jnp.where(has_slope, squared_sines, 1.0)), 0.0)
    turned = cosines * math.cos(margin) - sines * math.sin(margin)
    return jnp.where(cosines > -math.cos(margin), turned, cosines - margin * math.sin(margin))
