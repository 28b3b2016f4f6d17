"""Two versions on the same queries: the difference, how sure it is, and which queries changed."""

from typing import NamedTuple

import numpy as np

from simsearch.retrieval import bootstrap

# Signs held at a time; 64 MiB of float64.
_BLOCK_ELEMENTS = 2**23
# Up to this many groups that differ, every one of the 2**n assignments of signs is tried.
_MOST_EXACT = 12


class PairedTest(NamedTuple):
    """One figure of two versions on the same queries; positive: the second is better.

    Attributes:
        first: Mean of the first version.
        second: Mean of the second version.
        difference: second - first.
        low: Lower bound of the difference's bootstrap interval.
        high: Upper bound.
        p_value: Of the difference, two-sided, were the two versions equally good.
        num_groups: Groups of queries behind it; of fewer than 6 no p-value is under 0.05.
        won: Queries on which the second version is better, the clearest first, int64 [W].
        lost: Queries on which the first version is better, the clearest first, int64 [L].
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float
    num_groups: int
    won: np.ndarray
    lost: np.ndarray


def measure(
    first: np.ndarray,
    second: np.ndarray,
    *,
    groups: np.ndarray,
    num_bootstrap: int,
    confidence: float,
    seed: int,
    num_permutations: int = 10_000,
) -> PairedTest:
    """Returns what the second version gains over the first, query by query.

    Interval and p-value take groups of queries for independent, not queries: the images of a class
    are each other's gallery, so that one which moves changes what all of them find. Of few groups
    that differ, percentile intervals are too narrow; the p-value holds its level with any number.

    Args:
        first: The first version's value of each query, float [Q], Q >= 1.
        second: The second version's value of the same queries in the same order, float [Q].
        groups: Group of each query, such as its class, int [Q].
        num_bootstrap: Resamples of the groups behind the interval.
        confidence: Of the interval, such as 0.95.
        seed: Of the resamples and the signs.
        num_permutations: Random assignments of signs behind the p-value; where at most 12 groups
            differ, all assignments are tried instead and the p-value is exact.

    Raises:
        ValueError: Where the two do not have a value for each of the same queries.

    References:
        Fisher, The Design of Experiments, 1935: the sign-flip test.
        Smucker, Allan and Carterette, A Comparison of Statistical Significance Tests for
            Information Retrieval Evaluation, 2007.
        Cameron, Gelbach and Miller, Bootstrap-Based Improvements for Inference with Clustered
            Errors, 2008: resampling and signs by group.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(
            f"two versions are compared by one value for each of the same queries; got shapes "
            f"{first.shape} and {second.shape}"
        )
    gains = second - first
    members = np.unique(groups, return_inverse=True)[1]
    sums, sizes = np.bincount(members, gains), np.bincount(members)
    (interval,) = bootstrap.of_counts(
        [gains.mean()],
        lambda drawn: [drawn[..., 0] / drawn[..., 1]],
        [np.stack([sums, sizes], axis=-1)],
        num_samples=num_bootstrap,
        confidence=confidence,
        seed=seed,
    )
    order = np.argsort(-np.abs(gains), kind="stable")
    return PairedTest(
        first=float(first.mean()),
        second=float(second.mean()),
        difference=interval.value,
        low=interval.low,
        high=interval.high,
        p_value=sign_flip_p_value(sums, num_permutations=num_permutations, seed=seed),
        num_groups=len(sums),
        won=order[gains[order] > 0],
        lost=order[gains[order] < 0],
    )


def sign_flip_p_value(gains: np.ndarray, *, num_permutations: int, seed: int) -> float:
    """Returns how often random signs bring the mean as far from 0 as it is, two-sided.

    Were the versions equally good, each gain would be as likely with the other sign.

    Args:
        gains: Independent differences, float [G]; those of 0 say nothing and are left out.
        num_permutations: Random assignments of signs, where not all are tried.
        seed: Of the signs.
    """
    gains = np.asarray(gains, np.float64)
    gains = gains[gains != 0]
    if not len(gains):
        return 1.0
    # Sums in another order round differently; a tie is a tie all the same.
    observed = abs(gains.sum()) - 1e-9 * np.abs(gains).sum()
    if len(gains) <= _MOST_EXACT:
        bits = np.arange(2 ** len(gains))[:, None] >> np.arange(len(gains)) & 1
        return float(np.mean(np.abs((2.0 * bits - 1) @ gains) >= observed))
    rng = np.random.default_rng(seed)
    size = max(1, _BLOCK_ELEMENTS // len(gains))
    reached = 0
    for start in range(0, num_permutations, size):
        shape = (min(size, num_permutations - start), len(gains))
        signs = 2.0 * rng.integers(0, 2, shape, dtype=np.int8) - 1
        reached += int(np.sum(np.abs(signs @ gains) >= observed))
    # The assignment that was observed counts as one of them, so the p-value is never 0.
    return (1 + reached) / (1 + num_permutations)
