"""Which images a version was trained on: none of them may be measured as if it were unseen.

A folder or a set grows after a training, and images move from one split to another.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from simsearch import errors, progress, runs
from simsearch.commands import shared
from simsearch.data import sources
from simsearch.data import splits as splits_lib

# Under which a version's file has the images of a split.
_KEY_OF_SPLIT = {"train": "images", "validation": "validation"}


def remember(version: runs.Version, splits: Mapping[str, sources.Split]) -> None:
    """Stores a version's train and validation images, or checks that it began with those.

    Raises:
        UsageError: Where they are others.
    """
    found = {
        key: np.sort(splits_lib.identities(splits[name])) for name, key in _KEY_OF_SPLIT.items()
    }
    known = _load(version)
    if known is None:
        runs.write_arrays(version.trained_images_file, **found)
        return
    require_classes(version, splits)
    for name, key in _KEY_OF_SPLIT.items():
        # Versions of an earlier time kept the train images alone.
        before, now = known.get(key, found[key]), found[key]
        num_new, num_gone = (len(np.setdiff1d(*pair)) for pair in ((now, before), (before, now)))
        if num_new or num_gone:
            raise errors.UsageError(
                f"version {version.number} began with other {name} images: {num_new} are new, "
                f"{num_gone} are gone or changed, so that going on would not end as if it had "
                "never been stopped; bring them back, or train a new version"
            )


def remember_all(version: runs.Version, others: Iterable[runs.Version]) -> None:
    """Stores with a version the training images of all others that it is made from."""
    known = [arrays["images"] for arrays in map(_load, others) if arrays is not None]
    if known:
        runs.write_arrays(version.trained_images_file, images=np.unique(np.concatenate(known)))


def warn(version: runs.Version, split: sources.Split, name: str) -> None:
    """Says how many images of a split a version was trained on, where there are any."""
    known = _load(version)
    if name == "train" or known is None or not shared.is_trained(version.config):
        return
    num_seen = int(np.isin(splits_lib.identities(split), known["images"]).sum())
    if num_seen:
        progress.log.warning(
            "version %d was trained on %d of the %d %s images, which were not held out then: its "
            "figures are too good; train a new version, or keep train, val and test images in "
            "folders of their own",
            version.number,
            num_seen,
            len(split.labels),
            name,
        )


def require_classes(version: runs.Version, splits: Mapping[str, sources.Split]) -> None:
    """Raises UsageError where a version began with other classes than the images have."""
    if not knows_classes(version, splits["train"].class_names):
        raise errors.UsageError(
            f"version {version.number} began with other classes; bring them back, or train a new "
            "version"
        )


def knows_classes(version: runs.Version, class_names: Iterable[str]) -> bool:
    """Returns whether a version's classes are these, so that labels mean the same."""
    return version.read_facts().get("class_names", list(class_names)) == list(class_names)


def _load(version: runs.Version) -> dict[str, np.ndarray] | None:
    return runs.read_arrays(
        version.trained_images_file,
        ["images"],
        advice="delete it where nothing was changed since: it says what was trained on",
    )
