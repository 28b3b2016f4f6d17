"""From a source's name to its splits."""

from __future__ import annotations

from simsearch.data import splits
from simsearch.data.sources import digits, folder
from simsearch.errors import UsageError


def load(
    source: str,
    *,
    path: str = "",
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
    split_seed: int = 0,
    image_column: str = "",
    label_column: str = "",
    cache_dir: str = "",
) -> dict[str, splits.Split]:
    """Returns the splits "train", "validation" and "test" of a source.

    Args:
        source: "folder", "digits", "hf:ORG/NAME[:CONFIGURATION][@REVISION]" or "tfds:NAME".
        path: The folder of "folder".
        valid_fraction: Share of each class's train images, where there is no validation split.
        test_fraction: Share of each class's train images, where there is no test split.
        split_seed: Chooses those images.
        image_column: Column of an hf: or tfds: set; empty: found by its type.
        label_column: Column of an hf: or tfds: set; empty: found by its type.
        cache_dir: Folder that downloaded sets are kept in; empty: their client's own.

    Raises:
        UsageError: The source does not exist or does not hold labelled images.
        RunError: The source cannot be reached.
    """
    kind, _, name = source.partition(":")
    fractions = {"valid_fraction": valid_fraction, "test_fraction": test_fraction}
    columns = {"image_column": image_column, "label_column": label_column}
    if source == "folder":
        return folder.load(path, split_seed=split_seed, **fractions)
    if source == "digits":
        return digits.load(valid_fraction=valid_fraction, split_seed=split_seed)
    if kind == "hf" and name:
        from simsearch.data.sources import hub

        found = hub.load(name, cache_dir=cache_dir, **columns)
    elif kind == "tfds" and name:
        from simsearch.data.sources import tensorflow_sets

        found = tensorflow_sets.load(name, cache_dir=cache_dir, **columns)
    else:
        raise UsageError(
            "expected data.source folder, digits, hf:ORG/NAME[:CONFIGURATION][@REVISION] or "
            f"tfds:NAME, got {source!r}"
        )
    return splits.standardise(found, where=source, split_seed=split_seed, **fractions)
