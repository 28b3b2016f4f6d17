"""Which rows make batch number `step`: a function of (labels, seed, step) alone, NumPy only.

So a run that was resumed sees the batches of one that never stopped, with no state to save.
"""

import functools
from collections.abc import Callable

import numpy as np

from simsearch import errors

# Streams of random numbers that must not repeat each other.
_TRIPLETS, _CLASSES, _ROWS, _AUGMENT = range(4)


def classes_by_samples(
    labels: np.ndarray, *, seed: int, batch_size: int, samples_per_class: int
) -> Callable[[int], np.ndarray]:
    """Returns the function from a step to P classes x K rows each, int64 [P * K].

    Classes come round after round, each round a new order of all of them, so that a batch holds P
    different ones or, where there are fewer, all of them again. A class's rows come in passes, each
    a new order of all of them, K at a time: an image is not seen again before the others of its
    class were, but for the up to K - 1 that a pass leaves over. A class of fewer than K images
    repeats some.

    Args:
        labels: Classes, int [N].
        seed: Of the orders.
        batch_size: P * K.
        samples_per_class: K.

    Raises:
        UsageError: Where there is one class only.
    """
    rows_of = _rows_by_class(labels)
    num_classes, num_slots = len(rows_of), batch_size // samples_per_class

    @functools.lru_cache(maxsize=2 * num_classes)
    def order_of(number: int, a_pass: int) -> np.ndarray:
        order = _rng(seed, _ROWS, number, a_pass).permutation(rows_of[number])
        return np.resize(order, max(len(order), samples_per_class))

    def sample(step: int) -> np.ndarray:
        slots = step * num_slots + np.arange(num_slots)
        rounds = {
            number: _rng(seed, _CLASSES, number).permutation(num_classes)
            for number in np.unique(slots // num_classes).tolist()
        }
        rows = []
        for slot in slots.tolist():
            # Every round visits every class once: the round is the number of the class's visit.
            visit, place = divmod(slot, num_classes)
            number = int(rounds[visit][place])
            visits_in_pass = max(1, len(rows_of[number]) // samples_per_class)
            a_pass, part = divmod(visit, visits_in_pass)
            start = part * samples_per_class
            rows.append(order_of(number, a_pass)[start : start + samples_per_class])
        return np.concatenate(rows)

    return sample


def triplets(labels: np.ndarray, *, seed: int, batch_size: int) -> Callable[[int], np.ndarray]:
    """Returns the function from a step to the rows a0, p0, n0, a1, p1, n1, …, int64 [B].

    Args:
        labels: Classes, int [N].
        seed: Of the choice.
        batch_size: B, a multiple of 3.

    Raises:
        UsageError: Where there is one class only.
    """
    draw = triplet_drawer(labels)

    def sample(step: int) -> np.ndarray:
        return np.stack(draw(_rng(seed, _TRIPLETS, step), batch_size // 3), axis=1).reshape(-1)

    return sample


def triplet_drawer(
    labels: np.ndarray,
) -> Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Returns the function `(rng, T) -> anchors, positives, negatives`, int64 [T] each.

    An anchor is any row whose class has another; its positive is any other row of the class, its
    negative any row of another class, all alike likely.

    Args:
        labels: Classes, int [N].

    Raises:
        UsageError: Where there is one class only, or no class with two rows.
    """
    labels = np.asarray(labels)
    counts = np.bincount(labels)
    starts = np.cumsum(counts) - counts
    order = np.argsort(labels, kind="stable")
    place = np.empty(len(labels), np.int64)
    place[order] = np.arange(len(labels)) - starts[labels[order]]
    anchorable = np.flatnonzero(counts[labels] > 1)
    if np.count_nonzero(counts) < 2 or not len(anchorable):
        raise errors.UsageError(
            "triplets need at least 2 classes, one of them with 2 images; there are "
            f"{len(labels)} images of {np.count_nonzero(counts)} classes"
        )

    def draw(rng: np.random.Generator, num_triplets: int) -> tuple[np.ndarray, ...]:
        anchors = rng.choice(anchorable, num_triplets)
        of_class, first = counts[labels[anchors]], starts[labels[anchors]]
        # 1 … count - 1 places on around the class's ring: any of its rows but the anchor.
        steps = rng.integers(1, of_class)
        positives = order[first + (place[anchors] + steps) % of_class]
        # A place outside the class's stretch of `order`.
        others = rng.integers(0, len(labels) - of_class)
        negatives = order[np.where(others < first, others, others + of_class)]
        return anchors, positives, negatives

    return draw


def augment_seeds(*, seed: int, step: int, batch_size: int) -> np.ndarray:
    """Returns a seed for each image of a batch, int32 [B, 2]."""
    return _rng(seed, _AUGMENT, step).integers(0, 2**31 - 1, (batch_size, 2), np.int32)


def _rows_by_class(labels: np.ndarray) -> list[np.ndarray]:
    labels = np.asarray(labels)
    order = np.argsort(labels, kind="stable")
    found = [rows for rows in np.split(order, np.cumsum(np.bincount(labels))[:-1]) if len(rows)]
    if len(found) < 2:
        raise errors.UsageError(
            f"training needs at least 2 classes, to tell apart; there is {len(found)}"
        )
    return found


def _rng(*numbers: int) -> np.random.Generator:
    return np.random.default_rng(numbers)
