"""Which columns of a table are the images and the labels, and class numbers for the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from simsearch import progress, wording
from simsearch.data import splits
from simsearch.errors import UsageError

# Names that decide between several columns, best first.
_WELL_KNOWN = {
    "image_column": ("image", "images", "img", "picture", "photo"),
    "label_column": (
        "label",
        "labels",
        "class",
        "category",
        "target",
        "fine_label",
        "coarse_label",
    ),
}


def choose(
    typed: Sequence[str],
    plain: Sequence[str],
    columns: Sequence[str],
    *,
    asked: str,
    field: Literal["image_column", "label_column"],
    where: str,
) -> str:
    """Returns the column to take: the one asked for, the only candidate, or a well-known name.

    Args:
        typed: Columns that are marked as what is looked for.
        plain: Others that could be; candidates where no column is marked, or one is asked for.
        columns: All columns, for the message.
        asked: What the user set; empty: nothing.
        field: The config field.
        where: What the set is called in messages.

    Raises:
        UsageError: The column that was asked for does not fit, or the choice is not clear.
    """
    candidates = [*typed, *plain] if asked else typed or plain
    if asked in candidates:
        return asked
    kind = field.removesuffix("_column")
    if asked:
        came = f"a column {asked!r} of another type" if asked in columns else f"no {asked!r}"
        advice = f"set data.{field} to one of {wording.listed(candidates)}"
        raise UsageError(
            f"expected data.{field} to name a column of {kind}s in {where}, found {came} among "
            f"{wording.listed(columns)}: {advice if candidates else 'choose another set'}"
        )
    if len(candidates) == 1:
        return candidates[0]
    for name in _WELL_KNOWN[field]:
        if name in candidates:
            return name
    found = wording.listed(candidates) if candidates else f"none among {wording.listed(columns)}"
    raise UsageError(
        f"expected one {kind} column in {where}, found {found}: "
        + (f"set data.{field}" if candidates else f"choose a set with {kind}s")
    )


def log_choice(where: str, *, image_column: str, label_column: str) -> None:
    """Says which columns of a set are taken."""
    progress.log.info(
        "%s: images from column %r, labels from column %r", where, image_column, label_column
    )


def number_labels(
    values: Mapping[str, Sequence], class_names: Sequence[str] | None
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Returns class numbers and names for the labels of each split.

    Args:
        values: By split: class numbers where `class_names` is given; texts or integers where not;
            None, or a negative class number, marks an image without a label.
        class_names: Names of the class numbers, None where the values name themselves.

    Returns:
        By split, int32 [N] with -1 for an image without a label; and the class names. Integers
        are padded to the same width, so that the alphabetical order is theirs, negative ones
        excepted.
    """
    if class_names is not None:
        numbers = {
            split: np.asarray([-1 if value is None else value for value in column], np.int32)
            for split, column in values.items()
        }
        return numbers, tuple(class_names)
    found = sorted({value for column in values.values() for value in column if value is not None})
    number = {value: i for i, value in enumerate(found)} | {None: -1}
    # A boolean is an integer to Python, and no number to a person.
    width = max((len(str(value)) for value in found if type(value) is int), default=0)
    names = tuple(f"{v:0{width}d}" if type(v) is int else str(v) for v in found)
    numbers = {
        split: np.asarray([number[value] for value in column], np.int32)
        for split, column in values.items()
    }
    return numbers, names


def labelled(found: Mapping[str, splits.Split], *, where: str) -> dict[str, splits.Split]:
    """Returns the splits without the images that have no label, and without splits of only such.

    Raises:
        UsageError: Nothing is left to train on.
    """
    kept = {
        name: pick_labelled
        for name, split in found.items()
        if len((pick_labelled := splits.pick(split, np.flatnonzero(split.labels >= 0))).labels)
    }
    if "train" not in kept:
        raise UsageError(
            f"expected labelled images in a train split of {where}, found splits "
            f"{wording.listed(found)} with labels in "
            f"{wording.listed(kept)}: choose another set"
        )
    return kept


def standard_splits(names: Sequence[str], *, where: str) -> dict[str, str]:
    """Returns a set's own name of each split by its standard name; a lone split is train.

    Raises:
        UsageError: None of several splits is called train, or two are the same by their names.
    """
    if len(names) == 1:
        return {"train": names[0]}
    found: dict[str, str] = {}
    for name in names:
        standard = splits.standard_name(name)
        if standard in found:
            raise UsageError(
                f"expected one {standard} split in {where}, found {found[standard]!r} and "
                f"{name!r}: choose another set, or download it and sort it into folders"
            )
        if standard:
            found[standard] = name
    if "train" not in found:
        raise UsageError(
            f"expected a split called train in {where}, found {wording.listed(names)}: "
            "choose another set"
        )
    return found
