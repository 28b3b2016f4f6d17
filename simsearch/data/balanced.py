"""Batches for unequal classes: all alike often, or those together that are taken for each other."""

from collections.abc import Callable

import numpy as np

from simsearch.data import confusion as confusion_lib
from simsearch.data import sampling, streams


def class_balanced(
    labels: np.ndarray, *, seed: int, batch_size: int
) -> Callable[[int], np.ndarray]:
    """Returns the function from a step to rows, int64 [B], every class alike likely.

    So an image is drawn with a probability inverse to the size of its class. No batch holds a row
    twice, but of a class that is drawn more often than it has images.

    Args:
        labels: Classes, int [N].
        seed: Decides, with the step, which images are drawn.
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
    confusion: confusion_lib.Counts | None,
) -> Callable[[int], np.ndarray]:
    """Returns the function from a step to P classes x K rows, confused classes together.

    A share of the P classes is drawn at random; the others one by one, each with a probability in
    proportion to how often it was taken for those already there, or they for it. Without a
    confusion all are drawn at random. With fewer classes than P all come equally often but for one,
    and only the classes that come once more are chosen so.

    Args:
        labels: Classes, int [N].
        seed: Decides, with the step, which images are drawn.
        batch_size: P * K.
        samples_per_class: K.
        hard_fraction: Share of the classes that are drawn by the confusion, [0, 1].
        confusion: What the last validation took for what; None before the first.

    Raises:
        UsageError: Where there is one class only.

    References:
        Sohn, Improved Deep Metric Learning with Multi-class N-pair Loss Objective, 2016: negative
        class mining.
    """
    rows_of = sampling.rows_to_tell_apart(labels)
    similar = _similar(confusion, np.unique(labels))
    repeats, extra = divmod(batch_size // samples_per_class, len(rows_of))
    num_free = max(1, round((1 - hard_fraction) * extra))

    def sample(step: int) -> np.ndarray:
        rng = streams.rng(seed, streams.HARD, step)
        slots = np.full(len(rows_of), repeats)
        if extra:
            slots[_choose(rng, similar, count=extra, num_free=min(num_free, extra))] += 1
        numbers = rng.permutation(np.flatnonzero(slots))
        return np.concatenate(
            [
                np.resize(rng.permutation(rows_of[number]), slots[number] * samples_per_class)
                for number in numbers
            ]
        )

    return sample


def _similar(
    confusion: confusion_lib.Counts | None, classes: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns for each of the classes, int [C], the places of those that it was confused with.

    Beside them how often, float: as much as they with it. Of thousands of classes they are few.
    """
    size = len(classes)
    if confusion is None:
        return [(np.empty(0, int), np.empty(0))] * size
    # In shares of its queries, so that a large class is not taken for a hard one.
    _, own, other, shares = confusion.shares().among(classes)
    own, other, shares = (column[own != other] for column in (own, other, shares))
    both_ways = np.concatenate([own * size + other, other * size + own])
    pairs, place = np.unique(both_ways, return_inverse=True)
    values = np.bincount(place, weights=np.tile(shares, 2))
    numbers, others = np.divmod(pairs, size)
    ends = np.searchsorted(numbers, np.arange(1, size))
    return list(zip(np.split(others, ends), np.split(values, ends), strict=True))


def _choose(
    rng: np.random.Generator,
    similar: list[tuple[np.ndarray, np.ndarray]],
    *,
    count: int,
    num_free: int,
) -> np.ndarray:
    chosen: list[int] = []
    is_free, similarity = np.ones(len(similar), bool), np.zeros(len(similar))

    def choose(number: int) -> None:
        chosen.append(number)
        is_free[number] = False
        others, values = similar[number]
        similarity[others] += values

    for number in rng.permutation(len(similar))[:num_free]:
        choose(int(number))
    while len(chosen) < count:
        weights = np.where(is_free, similarity, 0.0)
        if not weights.any():
            weights = is_free.astype(float)
        choose(int(rng.choice(len(weights), p=weights / weights.sum())))
    return np.asarray(chosen)
