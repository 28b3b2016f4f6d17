"""Triplet mining inside a batch: from all distances to the triplets that count.

Every miner takes the distances of this device's A anchors to the gathered batch of N images, and
returns its share of the loss. Shapes are static: what does not count is masked, never dropped.
"""

from typing import Protocol

import jax
import jax.numpy as jnp

from simsearch.losses import ratio

# `batch_all` looks at A * N * N triplets; this many at a time (float32: 8 MiB).
_TRIPLETS_AT_A_TIME = 2**21
# Euclidean distances on the unit sphere, of the authors: nearer negatives are noise and no more
# likely than at this distance; beyond the other there is no loss to be had.
_NEAREST, _FARTHEST = 0.5, 1.4
_MIN_SQUARED = 1e-8


class Miner(Protocol):
    """What `triplet.mined` asks of a miner; one that needs more (a key) binds it beforehand."""

    def __call__(
        self,
        distances: jax.Array,
        positive_mask: jax.Array,
        negative_mask: jax.Array,
        *,
        margin: float,
        soft_margin: bool = False,
    ) -> ratio.Ratio:
        """Returns the loss over the triplets that the miner chose."""


def batch_all(
    distances: jax.Array,
    positive_mask: jax.Array,
    negative_mask: jax.Array,
    *,
    margin: float,
    soft_margin: bool = False,
) -> ratio.Ratio:
    """Sums the loss over every triplet; the mean is over the active ones.

    A triplet is active while d(a, p) - d(a, n) + margin > 0. With the hinge the others add
    nothing and are left out of the denominator, or the mean would fade as training succeeds. With
    the soft margin every triplet adds something, so every triplet is counted.

    Args:
        distances: Distance of each anchor to each image, float [A, N].
        positive_mask: Pairs of one class, without the anchor itself, bool [A, N].
        negative_mask: Pairs of two classes, bool [A, N].
        margin: By how much a negative must be further than a positive, in units of `distances`.
        soft_margin: softplus(violation) in place of max(violation, 0).

    Returns:
        A ratio whose count is the active triplets (soft margin: all triplets).

    References:
        Hermans, Beyer, Leibe. In Defense of the Triplet Loss for Person Re-Identification. 2017.
        https://arxiv.org/abs/1703.07737
    """

    # Without the checkpoint the backward pass would keep all A * N * N violations.
    @jax.checkpoint
    def one_anchor(row: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        to_images, positive, negative = row
        violations = to_images[:, None] - to_images[None, :] + margin
        triplets = positive[:, None] & negative[None, :]
        loss = jnp.where(triplets, penalty(violations, soft_margin=soft_margin), 0.0)
        return jnp.sum(loss), jnp.sum(triplets & (violations > 0.0))

    num_images = distances.shape[1]
    totals, active = jax.lax.map(
        one_anchor,
        (distances, positive_mask, negative_mask),
        batch_size=max(1, _TRIPLETS_AT_A_TIME // num_images**2),
    )
    num_active = jnp.sum(active.astype(jnp.float32))
    # Counted pair by pair: the product of two counts needs no N x N mask.
    positives, negatives = (
        jnp.sum(m, axis=1, dtype=jnp.float32) for m in (positive_mask, negative_mask)
    )
    num_candidates = jnp.sum(positives * negatives)
    count = num_candidates if soft_margin else num_active
    return ratio.Ratio(jnp.sum(totals), count, num_active, num_candidates)


def batch_hard(
    distances: jax.Array,
    positive_mask: jax.Array,
    negative_mask: jax.Array,
    *,
    margin: float,
    soft_margin: bool = False,
) -> ratio.Ratio:
    """Takes, for each anchor, its farthest positive and its nearest negative.

    Args:
        distances: Distance of each anchor to each image, float [A, N].
        positive_mask: Pairs of one class, without the anchor itself, bool [A, N].
        negative_mask: Pairs of two classes, bool [A, N].
        margin: By how much a negative must be further than a positive, in units of `distances`.
        soft_margin: softplus(violation) in place of max(violation, 0).

    Returns:
        A ratio whose count is the anchors that have a positive and a negative, active or not.
        Images that tie for the hardest share its gradient, so the order of the batch is nothing.

    References:
        Hermans, Beyer, Leibe. In Defense of the Triplet Loss for Person Re-Identification. 2017.
        https://arxiv.org/abs/1703.07737
    """
    has_triplet = jnp.any(positive_mask, axis=1) & jnp.any(negative_mask, axis=1)
    farthest = jnp.max(jnp.where(positive_mask, distances, -jnp.inf), axis=1)
    nearest = jnp.min(jnp.where(negative_mask, distances, jnp.inf), axis=1)
    return sum_over(has_triplet, farthest, negative=nearest, margin=margin, soft_margin=soft_margin)


def semi_hard(
    distances: jax.Array,
    positive_mask: jax.Array,
    negative_mask: jax.Array,
    *,
    margin: float,
    soft_margin: bool = False,
) -> ratio.Ratio:
    """Takes, for each positive pair, the nearest negative that is further than the positive.

    That is FaceNet's semi-hard negative wherever it lies within the margin. Two cases are left,
    settled as TensorFlow Addons does: when the nearest further negative is beyond the margin the
    pair is satisfied, and adds 0 (soft margin: little) to the total and 1 to the count; when no
    negative is further at all, the farthest of the nearer ones stands in, the least hard there is.

    Args:
        distances: Distance of each anchor to each image, float [A, N].
        positive_mask: Pairs of one class, without the anchor itself, bool [A, N].
        negative_mask: Pairs of two classes, bool [A, N].
        margin: By how much a negative must be further than a positive, in units of `distances`.
        soft_margin: softplus(violation) in place of max(violation, 0).

    Returns:
        A ratio whose count is the positive pairs that have a negative, active or not.

    References:
        Schroff, Kalenichenko, Philbin. FaceNet. 2015. https://arxiv.org/abs/1503.03832
    """
    num_negatives = jnp.sum(negative_mask, axis=1)
    # Sorting makes it A * N * log N: the negatives come first, the others at infinity after them.
    fixed = jax.lax.stop_gradient(distances)
    to_negatives = jnp.where(negative_mask, fixed, jnp.inf)
    order = jnp.argsort(to_negatives, axis=1)
    ascending = jnp.take_along_axis(to_negatives, order, axis=1)
    first_further = jax.vmap(lambda row, at: jnp.searchsorted(row, at, side="right"))(
        ascending, fixed
    )
    last_negative = jnp.maximum(num_negatives - 1, 0)[:, None]
    place = jnp.minimum(first_further, last_negative)
    chosen = jnp.take_along_axis(distances, jnp.take_along_axis(order, place, axis=1), axis=1)
    has_triplet = positive_mask & (num_negatives > 0)[:, None]
    return sum_over(has_triplet, distances, negative=chosen, margin=margin, soft_margin=soft_margin)


def distance_weighted(
    distances: jax.Array,
    positive_mask: jax.Array,
    negative_mask: jax.Array,
    *,
    margin: float,
    soft_margin: bool = False,
    euclidean: jax.Array,
    uniforms: jax.Array,
    num_dimensions: int,
) -> ratio.Ratio:
    """Draws, for each positive pair, a negative at any distance about as likely as at another.

    Distances of random points on a sphere crowd around sqrt(2): negatives drawn evenly are nearly
    all far. So each is drawn with a probability in inverse proportion to how common its distance
    is, at least `_NEAREST`; those beyond `_FARTHEST` are drawn only where there is no other.

    Args:
        distances: Distance of each anchor to each image, float [A, N].
        positive_mask: Pairs of one class, without the anchor itself, bool [A, N].
        negative_mask: Pairs of two classes, bool [A, N].
        margin: By how much a negative must be further than a positive, in units of `distances`.
        soft_margin: softplus(violation) in place of max(violation, 0).
        euclidean: Euclidean distance of each pair on the unit sphere, float [A, N].
        uniforms: Random numbers in [0, 1), one for each pair, float [A, N].
        num_dimensions: D of the embeddings.

    Returns:
        A ratio whose count is the positive pairs that have a negative, active or not.

    References:
        Wu et al. Sampling Matters in Deep Embedding Learning. 2017.
        https://arxiv.org/abs/1706.07567
    """
    weights = _inverse_density(jax.lax.stop_gradient(euclidean), negative_mask, num_dimensions)
    # One sorted look-up for each pair: the N x N x N table of a draw for each is never made.
    ends = jnp.cumsum(weights, axis=1)
    last = ends[:, -1:]
    chosen = jax.vmap(lambda row, at: jnp.searchsorted(row, at, side="right"))(
        ends, uniforms * last
    )
    # Rounding can reach the end of the last interval, past which nothing lies.
    final = jax.vmap(lambda row, at: jnp.searchsorted(row, at, side="left"))(ends, last)
    negative = jnp.take_along_axis(distances, jnp.minimum(chosen, final), axis=1)
    has_triplet = positive_mask & jnp.any(negative_mask, axis=1)[:, None]
    return sum_over(
        has_triplet, distances, negative=negative, margin=margin, soft_margin=soft_margin
    )


def _inverse_density(
    euclidean: jax.Array, negative_mask: jax.Array, num_dimensions: int
) -> jax.Array:
    """Returns a weight for each negative, float [A, N]: the more, the rarer its distance is."""
    at = jnp.maximum(euclidean, _NEAREST)
    # log of d^(D - 2) (1 - d^2 / 4)^((D - 3) / 2); the guard is for points opposite each other.
    log_density = (num_dimensions - 2) * jnp.log(at)
    log_density += (num_dimensions - 3) / 2 * jnp.log(jnp.maximum(1.0 - at**2 / 4.0, _MIN_SQUARED))
    candidates = negative_mask & (euclidean < _FARTHEST)
    rarest = jnp.max(jnp.where(candidates, -log_density, -jnp.inf), axis=1, keepdims=True)
    has_candidate = jnp.isfinite(rarest)
    exponents = jnp.where(candidates, -log_density - jnp.where(has_candidate, rarest, 0.0), 0.0)
    weights = jnp.where(candidates, jnp.exp(exponents), 0.0)
    return jnp.where(has_candidate, weights, negative_mask.astype(jnp.float32))


def penalty(violations: jax.Array, *, soft_margin: bool) -> jax.Array:
    """Returns max(violation, 0), or softplus(violation) with a soft margin.

    With margin 0 the latter is Hermans et al.'s soft margin. The hinge's slope at 0 is 0.

    Args:
        violations: d(a, p) - d(a, n) + margin, float, any shape.
        soft_margin: Which of the two.
    """
    return jax.nn.softplus(violations) if soft_margin else jax.nn.relu(violations)


def sum_over(
    has_triplet: jax.Array,
    positive: jax.Array,
    *,
    negative: jax.Array,
    margin: float,
    soft_margin: bool,
) -> ratio.Ratio:
    """Returns the loss summed over chosen triplets, counting each, active or not.

    Args:
        has_triplet: Where there is a triplet at all, bool, any shape.
        positive: Distance of its anchor and positive, float, same shape; ignored elsewhere.
        negative: Distance of its anchor and negative, float, same shape; ignored elsewhere.
        margin: By how much a negative must be further than a positive.
        soft_margin: softplus(violation) in place of max(violation, 0).
    """
    # Cleared before the penalty: an infinity where there is no triplet would make NaN gradients.
    violations = jnp.where(has_triplet, positive, 0.0) - jnp.where(has_triplet, negative, 0.0)
    violations = violations + margin
    loss = jnp.where(has_triplet, penalty(violations, soft_margin=soft_margin), 0.0)
    num_candidates = jnp.sum(has_triplet, dtype=jnp.float32)
    num_active = jnp.sum(has_triplet & (violations > 0.0), dtype=jnp.float32)
    return ratio.Ratio(jnp.sum(loss), num_candidates, num_active, num_candidates)


MINERS = {"batch_all": batch_all, "batch_hard": batch_hard, "semi_hard": semi_hard}
