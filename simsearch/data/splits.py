"""What a split of a data set is, and the one form that every source is brought into."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from simsearch.errors import UsageError

SPLITS = ("train", "validation", "test")
_ALIASES = {"train": "train", "training": "train", "test": "test", "testing": "test"}
_ALIASES |= dict.fromkeys(("val", "valid", "validation", "dev"), "validation")
_MIN_TRAIN_IMAGES = 2


@dataclasses.dataclass(frozen=True)
class Split:
    """The images of one split: labels and names in memory, pixels read one row at a time.

    Rows come in the order of their labels, and class names in alphabetical order, whatever the
    source: a set that was downloaded into folders is the same set, row by row.

    Attributes:
        labels: Class numbers, int32 [N], non-decreasing.
        class_names: The same for all splits of a data set.
        names: [N] different names: a path under the data set's root, or such as "train/17".
        read: Returns the encoded bytes of row i; raises `errors.CorruptImage` where the row
            cannot be read. Threads may call it side by side.
        fingerprint: Hex digest of what the rows are.
        num_bytes: Length of what `read` returns for each row, int64 [N]; None where only reading
            would tell.
    """

    labels: np.ndarray
    class_names: tuple[str, ...]
    names: Sequence[str]
    read: Callable[[int], bytes]
    fingerprint: str
    num_bytes: np.ndarray | None = None


class NumberedNames(Sequence):
    """The names "prefix/0", "prefix/1" … of `count` rows, made when they are asked for."""

    def __init__(self, prefix: str, count: int) -> None:
        self._prefix, self._count = prefix, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, i: int) -> str:
        return f"{self._prefix}/{range(self._count)[i]}"


class PickedNames(Sequence):
    """The names of some `rows` of a longer sequence."""

    def __init__(self, names: Sequence[str], rows: np.ndarray) -> None:
        self._names, self._rows = names, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: int) -> str:
        return self._names[int(self._rows[i])]


def standard_name(name: str) -> str | None:
    """Returns "train", "validation" or "test" for a split's name in any spelling, else None."""
    return _ALIASES.get(name.lower())


def digest(*parts: object) -> str:
    """Returns a hex digest of the text of `parts`; equal parts give equal digests."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def pick(split: Split, rows: np.ndarray) -> Split:
    """Returns the given rows of a split, int [n], in that order."""
    return dataclasses.replace(
        split,
        labels=split.labels[rows],
        names=PickedNames(split.names, rows),
        read=lambda i: split.read(int(rows[i])),
        fingerprint=digest(split.fingerprint, np.asarray(rows, np.int64).tobytes()),
        num_bytes=None if split.num_bytes is None else split.num_bytes[rows],
    )


def standardise(
    found: Mapping[str, Split],
    *,
    valid_fraction: float,
    test_fraction: float,
    split_seed: int,
    where: str,
    by_name: bool = False,
) -> dict[str, Split]:
    """Returns the splits train, validation and test of what a source found.

    Classes are sorted by name and those without any image dropped; rows are sorted by class; a
    split that is missing is taken out of train, which keeps two images of each class.

    Args:
        found: Splits by standard name, "train" among them, all with the same class names.
        valid_fraction: Share of each class's train images, where validation is missing.
        test_fraction: Share of each class's train images, where test is missing.
        split_seed: Chooses those images.
        where: What the set is called in messages.
        by_name: Whether the images' names decide which are held out, so that they stay so where
            other images or classes are added; else rows are shuffled, as numbers are no names.

    Raises:
        UsageError: There are fewer than two classes.
    """
    splits = _in_class_order(found)
    train = splits["train"]
    counts = np.bincount(train.labels, minlength=len(train.class_names))
    if np.count_nonzero(counts) < 2:
        raise UsageError(
            f"expected at least 2 classes with images in {where}, found "
            f"{np.count_nonzero(counts)}: a triplet needs images of two classes"
        )
    fractions = {"test": test_fraction, "validation": valid_fraction}
    missing = {name: share for name, share in fractions.items() if name not in splits}
    parts = _hold_out(train, missing, split_seed, by_name=by_name)
    return {name: pick(train, parts[name]) if name in parts else splits[name] for name in SPLITS}


def _in_class_order(found: Mapping[str, Split]) -> dict[str, Split]:
    names = found["train"].class_names
    used = np.unique(np.concatenate([split.labels for split in found.values()]))
    order = sorted((int(label) for label in used), key=lambda label: names[label])
    new_label = np.full(len(names), -1, np.int32)
    new_label[order] = np.arange(len(order))
    class_names = tuple(names[label] for label in order)
    splits = {}
    for key, split in found.items():
        renumbered = dataclasses.replace(
            split, labels=new_label[split.labels], class_names=class_names
        )
        splits[key] = pick(renumbered, np.argsort(renumbered.labels, kind="stable"))
    return splits


def rows_by_class(labels: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each class that has images, in order, and their rows, int [n], in order.

    Args:
        labels: Classes of the rows, int [N].
    """
    order = np.argsort(labels, kind="stable")
    found, starts = np.unique(labels[order], return_index=True)
    # Of no rows at all there is one part, which is empty, and no class.
    yield from zip(found.tolist(), np.split(order, starts[1:]), strict=False)


def summary(splits: Mapping[str, Split]) -> dict[str, list]:
    """Returns what tells the images of a training from others, wherever they lie.

    Args:
        splits: By standard name.

    Returns:
        By what is counted: its number, and a hex digest of what it is.
    """
    names = splits["train"].class_names
    found = {"classes": [len(names), digest(names)]}
    for name in ("train", "validation"):
        numbers = np.sort(identities(splits[name]))
        found[f"{name} images"] = [len(numbers), digest(numbers.tobytes())]
    return found


def changes(before: Mapping[str, Sequence], now: Mapping[str, Sequence]) -> list[str]:
    """Returns one text for each part of a `summary` that is another one now."""
    return [
        f"{name}: {then[0]} then, {now[name][0]} now, and not the same"
        for name, then in before.items()
        if list(then) != list(now[name])
    ]


def identities(split: Split) -> np.ndarray:
    """Returns a number for each image, uint64 [N], which stays where other images come and go.

    It is decided by the image's name and, where that is known, its length.
    """
    lengths = [""] * len(split.labels) if split.num_bytes is None else split.num_bytes.tolist()
    return _numbers(f"{name} {length}" for name, length in zip(split.names, lengths, strict=True))


def _numbers(texts: Iterable[str]) -> np.ndarray:
    # A file's name may be bytes that are no text.
    encoded = (text.encode(errors="surrogateescape") for text in texts)
    digests = [hashlib.blake2b(text, digest_size=8).digest() for text in encoded]
    return np.frombuffer(b"".join(digests), np.uint64)


def _hold_out(
    split: Split, shares: Mapping[str, float], seed: int, *, by_name: bool
) -> dict[str, np.ndarray]:
    """Returns sorted rows by split: of each class a share for each name, the rest for train."""
    parts = {name: [] for name in (*shares, "train")}
    numbers = _numbers(f"{seed} {name}" for name in split.names) if by_name else None
    for label, rows in rows_by_class(split.labels):
        if numbers is None:
            shuffled = np.random.default_rng([seed, label]).permutation(rows)
        else:
            # Those of the lowest numbers are held out: of what is added, a few at the edges move.
            shuffled = rows[np.argsort(numbers[rows], kind="stable")]
        spare = len(rows) - _MIN_TRAIN_IMAGES
        for name, share in shares.items():
            wanted = max(1, round(share * len(rows))) if share > 0 else 0
            taken = max(0, min(wanted, spare))
            parts[name].append(shuffled[:taken])
            shuffled, spare = shuffled[taken:], spare - taken
        parts["train"].append(shuffled)
    return {name: np.sort(np.concatenate(rows)) for name, rows in parts.items()}
