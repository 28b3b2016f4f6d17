"""Which rows make batch number `step`: a function of (labels, seed, step) alone, NumPy only.

So a run that was resumed sees the batches of one that never stopped, with no state to save.
"""

import functools
import math
from collections.abc import Callable

import numpy as np

from simsearch import errors
from simsearch.data import splits, streams


def classes_by_samples(
    labels: np.ndarray, *, seed: int, batch_size: int, samples_per_class: int
) -> Callable[[int], np.ndarray]:
    """Returns the function from a step to P classes x K rows each, int64 [P * K].

    A batch holds P different classes or, where there are fewer, all of them equally often but for
    one. They come round after round, each round a new order of all of them. A class's rows come in
    passes, each a new order of all of them, K at a time: an image is not seen again before the
    others of its class were, but for the up to K - 1 that a pass leaves over. With fewer classes
    than P a batch may begin a new pass with rows that it does not hold yet: those of a class are
    then seen only about equally often. No batch holds a row twice, but of a class that has too few.

    Args:
        labels: Classes, int [N].
        seed: Decides every order.
        batch_size: P * K.
        samples_per_class: K.

    Raises:
        UsageError: Where there is one class only.
    """
    rows_of = rows_to_tell_apart(labels)
    visits = _class_visits(len(rows_of), batch_size // samples_per_class, seed=seed)

    @functools.lru_cache(maxsize=2 * len(rows_of))
    def order_of(number: int, a_pass: int) -> np.ndarray:
        order = streams.rng(seed, streams.ROWS, number, a_pass).permutation(rows_of[number])
        return np.resize(order, max(len(order), samples_per_class))

    def sample(step: int) -> np.ndarray:
        batch: list[np.ndarray] = []
        of_class: dict[int, list[np.ndarray]] = {}
        for number, visit in visits(step):
            a_pass, part = divmod(visit, max(1, len(rows_of[number]) // samples_per_class))
            order, start = order_of(number, a_pass), part * samples_per_class
            rows = order[start : start + samples_per_class]
            if number in of_class:  # A new pass may start with what the batch has already.
                order = np.roll(order, -start)
                is_taken = np.isin(order, np.concatenate(of_class[number]))
                rows = order[np.argsort(is_taken, kind="stable")][:samples_per_class]
            batch.append(rows)
            of_class.setdefault(number, []).append(batch[-1])
        return np.concatenate(batch)

    return sample


def _class_visits(
    num_classes: int, num_slots: int, *, seed: int
) -> Callable[[int], list[tuple[int, int]]]:
    """Returns the function from a step to its classes, each with how often it came before."""
    # Every batch takes all classes `repeats` times, and `extra` more out of the rounds.
    repeats, extra = divmod(num_slots, num_classes)
    # After a block of so many rounds, a round and a batch start together again.
    divisor = math.gcd(num_classes, extra)
    num_rounds, num_steps = extra // divisor, num_classes // divisor

    @functools.lru_cache(maxsize=1)
    def rounds_of(block: int) -> np.ndarray:
        return _rounds(streams.rng(seed, streams.CLASSES, block), num_rounds, num_classes, extra)

    def visits(step: int) -> list[tuple[int, int]]:
        block, step_in_block = divmod(step, num_steps)
        first = step_in_block * extra
        found = []
        if repeats:
            seen = np.full(num_classes, block * num_rounds + first // num_classes)
            if extra:  # The classes that came already in the round that is under way.
                seen[rounds_of(block).reshape(-1)[first - first % num_classes : first]] += 1
            for repeat in range(step * repeats, (step + 1) * repeats):
                order = streams.rng(seed, streams.REPEATS, repeat).permutation(num_classes)
                found += zip(order.tolist(), (seen[order] + repeat).tolist(), strict=True)
        if extra:
            numbers = rounds_of(block).reshape(-1)[first : first + extra].tolist()
            before = (step + 1) * repeats + block * num_rounds
            found += [
                (number, before + slot // num_classes) for slot, number in enumerate(numbers, first)
            ]
        return found

    return visits


def _rounds(
    rng: np.random.Generator, num_rounds: int, num_classes: int, num_slots: int
) -> np.ndarray:
    """Returns orders of all classes, such that slots that straddle two hold no class twice.

    Args:
        rng: Draws the orders.
        num_rounds: R.
        num_classes: C.
        num_slots: How many consecutive ones, below C, make a batch.

    Returns:
        int32 [R, C].
    """
    rounds = np.empty((num_rounds, num_classes), np.int32)
    for i in range(num_rounds):
        order = rng.permutation(num_classes)
        carried = -i * num_classes % num_slots
        if carried:
            begun = rounds[i - 1, num_classes - (num_slots - carried) :]
            is_free = ~np.isin(order, begun)
            is_head = is_free & (np.cumsum(is_free) <= carried)
            order = np.concatenate([order[is_head], order[~is_head]])
        rounds[i] = order
    return rounds


def triplets(labels: np.ndarray, *, seed: int, batch_size: int) -> Callable[[int], np.ndarray]:
    """Returns the function from a step to the rows a0, p0, n0, a1, p1, n1, …, int64 [B].

    Args:
        labels: Classes, int [N].
        seed: Decides, with the step, which images are drawn.
        batch_size: B, a multiple of 3.

    Raises:
        UsageError: Where there is one class only.
    """
    anchors, draw = triplet_drawer(labels)

    def sample(step: int) -> np.ndarray:
        rng = streams.rng(seed, streams.TRIPLETS, step)
        chosen = rng.choice(anchors, batch_size // 3)
        return np.stack([chosen, *draw(rng, chosen)], axis=1).reshape(-1)

    return sample


def triplet_drawer(
    labels: np.ndarray,
) -> tuple[np.ndarray, Callable[[np.random.Generator, np.ndarray], tuple[np.ndarray, np.ndarray]]]:
    """Returns all anchors, and the function `(rng, anchors) -> positives, negatives`, int64 [T].

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

    def draw(rng: np.random.Generator, anchors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        of_class, first = counts[labels[anchors]], starts[labels[anchors]]
        # 1 … count - 1 places on around the class's ring: any of its rows but the anchor.
        steps = rng.integers(1, of_class)
        positives = order[first + (place[anchors] + steps) % of_class]
        # A place outside the class's stretch of `order`.
        others = rng.integers(0, len(labels) - of_class)
        negatives = order[np.where(others < first, others, others + of_class)]
        return positives, negatives

    return anchorable, draw


def augment_seeds(*, seed: int, step: int, batch_size: int) -> np.ndarray:
    """Returns a seed for each image of a batch, int32 [B, 2]."""
    return streams.rng(seed, streams.AUGMENT, step).integers(
        0, 2**31 - 1, (batch_size, 2), np.int32
    )


def mixup(*, seed: int, step: int, batch_size: int, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns which image of a batch is mixed into each, int64 [B], and the own share, float32 [B].

    The shares are drawn from Beta(alpha, alpha) and turned so that the own image has the larger
    one: MixUp is symmetric in the two, and an image keeps its class. Alpha 0 mixes nothing.

    References:
        Zhang, Cisse, Dauphin and Lopez-Paz, mixup: Beyond Empirical Risk Minimization, 2018.
    """
    if alpha == 0:
        return np.arange(batch_size), np.ones(batch_size, np.float32)
    rng = streams.rng(seed, streams.MIXUP, step)
    partners = rng.permutation(batch_size)
    shares = rng.beta(alpha, alpha, batch_size)
    return partners, np.maximum(shares, 1 - shares).astype(np.float32)


def rows_to_tell_apart(labels: np.ndarray) -> list[np.ndarray]:
    """Returns the rows of each class that has any, in the order of the classes.

    Raises:
        UsageError: Where there is one class only.
    """
    found = [rows for _, rows in splits.rows_by_class(labels)]
    if len(found) < 2:
        classes = "1 class" if found else "no class"
        raise errors.UsageError(
            f"training needs at least 2 classes, to tell apart; train has images of {classes} "
            "(without those that are held out as well: data.drop_duplicates)"
        )
    return found
