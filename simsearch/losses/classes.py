"""Images against class vectors ("proxies"): targets, cross-entropy, accuracy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from simsearch.losses import distances, ratio


class Images(NamedTuple):
    """Images and their classes, mixed or not.

    Attributes:
        embeddings: Float [B, D].
        labels: Classes, int [B].
        valid: False for rows to ignore, bool [B].
        mixed_labels: Class of the image that was mixed into each (MixUp), int [B].
        mix_weights: Weight of the own class, float [B]; 1 where nothing was mixed in.
    """

    embeddings: jax.Array
    labels: jax.Array
    valid: jax.Array
    mixed_labels: jax.Array
    mix_weights: jax.Array


def init_proxies(key: jax.Array, num_classes: int, *, embedding_size: int) -> jax.Array:
    """Returns random class vectors of length about 1, float32 [C, D].

    Args:
        key: Of the random numbers.
        num_classes: C.
        embedding_size: D.
    """
    return jax.random.normal(key, (num_classes, embedding_size)) / embedding_size**0.5


def memberships(images: Images, num_classes: int) -> jax.Array:
    """Returns how much of each image is of each class, float32 [B, C]; each row sums to 1.

    Args:
        images: B images.
        num_classes: C.
    """
    own = jax.nn.one_hot(images.labels, num_classes, dtype=jnp.float32)
    other = jax.nn.one_hot(images.mixed_labels, num_classes, dtype=jnp.float32)
    weights = images.mix_weights[:, None]
    return weights * own + (1.0 - weights) * other


def cross_entropy(
    logits: jax.Array, targets: jax.Array, *, valid: jax.Array, label_smoothing: float
) -> jax.Array:
    """Returns the cross-entropy of each image, float32 [B], 0 for images to ignore.

        -sum over c of ((1 - e) targets_c + e / C) log softmax(logits)_c

    Args:
        logits: Float [B, C].
        targets: Share of each class, each row sums to 1, float [B, C].
        valid: False for rows to ignore, bool [B].
        label_smoothing: e, the share of the target that is spread over all classes.
    """
    smooth = (1.0 - label_smoothing) * targets + label_smoothing / logits.shape[1]
    losses = -jnp.sum(smooth * jax.nn.log_softmax(logits, axis=1), axis=1)
    return jnp.where(valid, losses, 0.0)


def ratio_of(losses: jax.Array, is_wrong: jax.Array, *, valid: jax.Array) -> ratio.Ratio:
    """Returns the ratio of a loss that is a mean over the valid images.

    Args:
        losses: Of each image, 0 for those to ignore, float [B].
        is_wrong: Where another class than the image's own comes first, bool [B].
        valid: False for rows to ignore, bool [B].
    """
    count = jnp.sum(valid, dtype=jnp.float32)
    active = jnp.sum(is_wrong & valid, dtype=jnp.float32)
    return ratio.Ratio(jnp.sum(losses), count, active, count)


def num_right(images: Images, proxies: jax.Array) -> jax.Array:
    """Returns how many valid images have the most similar proxy of their own class, float32 [].

    Args:
        images: B images.
        proxies: Class vectors, float [C, D].
    """
    nearest = jnp.argmax(distances.cosine_similarity(images.embeddings, proxies), axis=1)
    return jnp.sum((nearest == images.labels) & images.valid, dtype=jnp.float32)
