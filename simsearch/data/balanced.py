"""Batches for unequal classes: all alike often, or those together that are taken for each other."""

from collections.abc import Callable

import numpy as np

from simsearch.data import sampling, streams


def class_balanced(
    labels: np.ndarray, *, seed: int, batch_size: int
) -> Callable[[int], np.ndarray]:
    """Returns the function from a step to rows, int64 [B], every class alike likely.

    So an image is drawn with a probability inverse to the size of its class. No batch holds a row
    twice, but of a class that is drawn more often than it has images.

    Args:
        labels: Classes, int [N].
        seed: Of the choice.
        batch_size: B, any.

    Raises:
        UsageError: Where there is one class only.
    """
    rows_of = sampling.rows_to_tell_apart(labels)

    def sample(step: int) -> np.ndarray:
        rng = streams.rng(seed, streams.BALANCED, step)
        numbers = rng.integers(0, len(rows_of), batch_size)
        rows = np.empty(batch_size, np.int64)
        for number in np.unique(numbers):
            places = np.flatnonzero(numbers == number)
            rows[places] = np.resize(rng.permutation(rows_of[number]), len(places))
        return rows

    return sample


def hard_classes(
    labels: np.ndarray,
    *,
    seed: int,
    batch_size: int,
    samples_per_class: int,
    hard_fraction: float,
    confusion: np.ndarray | None,
) -> Callable[[int], np.ndarray]:
    """Returns the function from a step to P classes x K rows, confused classes together.

    A share of the P classes is drawn at random; the others one by one, each with a probability in
    proportion to how often it was taken for those already there, or they for it. Without a
    confusion all are drawn at random. With fewer classes than P all come equally often but for one,
    and only the classes that come once more are chosen so.

    Args:
        labels: Classes, int [N].
        seed: Of the choice.
        batch_size: P * K.
        samples_per_class: K.
        hard_fraction: Share of the classes that are drawn by the confusion, [0, 1].
        confusion: Queries of class i whose nearest neighbour is of class j, int [C, C]; None
            before the first validation.

    Raises:
        UsageError: Where there is one class only.

    References:
        Sohn, Improved Deep Metric Learning with Multi-class N-pair Loss Objective, 2016: negative
        class mining.
    """
    rows_of = sampling.rows_to_tell_apart(labels)
    similarity = _similarity(confusion, np.unique(labels))
    repeats, extra = divmod(batch_size // samples_per_class, len(rows_of))
    num_free = max(1, round((1 - hard_fraction) * extra))

    def sample(step: int) -> np.ndarray:
        rng = streams.rng(seed, streams.HARD, step)
        slots = np.full(len(rows_of), repeats)
        if extra:
            slots[_choose(rng, similarity, count=extra, num_free=min(num_free, extra))] += 1
        numbers = rng.permutation(np.flatnonzero(slots))
        return np.concatenate(
            [
                np.resize(rng.permutation(rows_of[number]), slots[number] * samples_per_class)
                for number in numbers
            ]
        )

    return sample


def _similarity(confusion: np.ndarray | None, classes: np.ndarray) -> np.ndarray:
    """Returns how often each two of the given classes were confused, float [C, C], symmetric."""
    if confusion is None:
        return np.zeros((len(classes), len(classes)))
    # In shares of its queries, so that a large class is not taken for a hard one.
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    shares = shares[np.ix_(classes, classes)]
    similarity = shares + shares.T
    np.fill_diagonal(similarity, 0.0)
    return similarity


def _choose(
    rng: np.random.Generator, similarity: np.ndarray, *, count: int, num_free: int
) -> np.ndarray:
    chosen = rng.permutation(len(similarity))[:num_free].tolist()
    is_free = np.ones(len(similarity), bool)
    is_free[chosen] = False
    while len(chosen) < count:
        weights = np.where(is_free, similarity[chosen].sum(0), 0.0)
        if not weights.any():
            weights = is_free.astype(float)
        number = int(rng.choice(len(weights), p=weights / weights.sum()))
        chosen.append(number)
        is_free[number] = False
    return np.asarray(chosen)
