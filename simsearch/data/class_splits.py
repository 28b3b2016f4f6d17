"""Splits by class: train on some classes, validate and test on classes that were never seen."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import numpy as np

from simsearch import wording
from simsearch.data import splits
from simsearch.errors import UsageError

# A class alone is retrieved without a mistake, whatever the network does.
_MIN_CLASSES = 2
_FIELDS = {"test": "test_classes", "validation": "valid_classes"}


def by_class(
    found: Mapping[str, splits.Split],
    *,
    valid_class_fraction: float,
    test_class_fraction: float,
    valid_classes: Sequence[str] = (),
    test_classes: Sequence[str] = (),
    split_seed: int,
) -> dict[str, splits.Split]:
    """Returns train, validation and test splits that share no class, of all images of the source.

    The source's own splits are merged first, and each class goes whole to one split: 15 test
    images of a class would make another, easier task than all of them. A source that already keeps
    its test or validation classes apart from all others keeps that split as it is.

    Args:
        found: The splits "train", "validation" and "test" of a source.
        valid_class_fraction: Share of the classes for validation, two at least.
        test_class_fraction: Share of the classes for test, two at least.
        valid_classes: Names that take the place of a share.
        test_classes: Names that take the place of a share.
        split_seed: Chooses the classes.

    Raises:
        UsageError: A name is no class, or fewer than two classes are left for a split.

    References:
        Oh Song, Xiang, Jegelka and Savarese, Deep Metric Learning via Lifted Structured Feature
        Embedding, 2016: the protocol.
    """
    named = {"test": test_classes, "validation": valid_classes}
    fractions = {"test": test_class_fraction, "validation": valid_class_fraction}
    kept = {name: found[name] for name in named if not named[name] and _is_apart(found, name)}
    pooled = merge([split for name, split in found.items() if name not in kept])
    present = np.unique(pooled.labels)
    chosen = {
        name: _numbers(names, pooled.class_names, present, name=name)
        for name, names in named.items()
        if names
    }
    both = np.intersect1d(*(chosen.get(name, np.empty(0, int)) for name in named))
    if len(both):
        raise UsageError(
            f"data.test_classes and data.valid_classes share "
            f"{wording.listed(pooled.class_names[i] for i in both)}: leave each in one of them"
        )
    # Shuffled once, so that the validation fraction does not change which classes test.
    free = np.setdiff1d(present, np.concatenate([[], *chosen.values()]).astype(int))
    free = np.random.default_rng([split_seed, len(present)]).permutation(free)
    for name in named:
        if name not in chosen and name not in kept:
            count = max(_MIN_CLASSES, round(fractions[name] * len(present)))
            chosen[name], free = free[:count], free[count:]
    parts = {"train": free, **chosen}
    _check(parts, len(present), named=[name for name in named if named[name]])
    made = {
        name: splits.pick(pooled, np.flatnonzero(np.isin(pooled.labels, classes)))
        for name, classes in parts.items()
    }
    return {name: kept[name] if name in kept else made[name] for name in splits.SPLITS}


def merge(parts: Sequence[splits.Split]) -> splits.Split:
    """Returns the rows of several splits as one, in the order of their labels."""
    starts = np.cumsum([0] + [len(part.labels) for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    order = np.argsort(labels, kind="stable")
    owner = np.searchsorted(starts, order, side="right") - 1

    def read(i: int) -> bytes:
        part = owner[i]
        return parts[part].read(int(order[i] - starts[part]))

    lengths = [part.num_bytes for part in parts]
    is_known = all(length is not None for length in lengths)
    places = zip(owner, order, strict=True)
    return splits.Split(
        labels=labels[order],
        class_names=parts[0].class_names,
        names=[parts[part].names[int(row - starts[part])] for part, row in places],
        read=read,
        fingerprint=splits.digest([part.fingerprint for part in parts]),
        num_bytes=np.concatenate(lengths)[order] if is_known else None,
    )


def classes_of(split: splits.Split) -> list[str]:
    """Returns the names of the classes that a split has images of."""
    return [split.class_names[label] for label in np.unique(split.labels)]


def describe(found: Mapping[str, splits.Split], by: str) -> str:
    """Returns one line: images and classes of each split, and the protocol.

    Args:
        found: The splits "train", "validation" and "test".
        by: "image" or "class".
    """
    images = ", ".join(f"{len(split.labels)} {name}" for name, split in found.items())
    train = found["train"]
    lonely = np.flatnonzero(np.bincount(train.labels) == 1)
    # Its augmented copies are its own positives where a batch takes more samples of a class.
    note = wording.listed(train.class_names[label] for label in lonely)
    tail = f"; a single train image of {note}" if len(lonely) else ""
    if by == "image":
        return f"{images} images of {len(train.class_names)} classes, split by image{tail}"
    counts = ", ".join(f"{len(classes_of(split))} {name}" for name, split in found.items())
    return f"{images} images of {counts} classes, split by class: none is in two splits{tail}"


def _is_apart(found: Mapping[str, splits.Split], name: str) -> bool:
    others = [split.labels for other, split in found.items() if other != name]
    own = found[name].labels
    return len(np.unique(own)) >= _MIN_CLASSES and not np.isin(own, np.concatenate(others)).any()


def _numbers(
    names: Sequence[str], class_names: Sequence[str], present: np.ndarray, *, name: str
) -> np.ndarray:
    field = _FIELDS[name]
    number = {class_names[i]: i for i in present}
    unknown = [name for name in names if name not in number]
    if unknown:
        near = difflib.get_close_matches(unknown[0], number, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there: {wording.listed(number)}"
        raise UsageError(f"data.{field} names {unknown[0]!r}, which is no class here; {hint}")
    return np.unique([number[name] for name in names])


def _check(parts: Mapping[str, np.ndarray], num_classes: int, *, named: Sequence[str]) -> None:
    needed = _MIN_CLASSES * len(parts)
    if num_classes < needed:
        raise UsageError(
            f"data.split=class needs {needed} classes, {_MIN_CLASSES} for each split, and there "
            f"are {num_classes}; use data.split=image"
        )
    for name, classes in parts.items():
        if name in named and len(classes) < _MIN_CLASSES:
            raise UsageError(
                f"data.{_FIELDS[name]} names {len(classes)} class and must name {_MIN_CLASSES} or "
                "more, which are told apart: name another, or leave it empty"
            )
        if len(classes) < _MIN_CLASSES:
            raise UsageError(
                f"data.split=class leaves {len(classes)} of {num_classes} classes for {name}, "
                f"which needs {_MIN_CLASSES}: lower data.valid_class_fraction and "
                "data.test_class_fraction, name the classes, or use data.split=image"
            )
