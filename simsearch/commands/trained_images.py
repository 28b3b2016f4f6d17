"""Which images a version was trained on: none of them may be measured as if it were unseen.

A folder or a set grows after a training, and images move from one split to another.
"""

from collections.abc import Iterable

import numpy as np

from simsearch import errors, progress, runs
from simsearch.commands import shared
from simsearch.data import sources
from simsearch.data import splits as splits_lib


def remember(version: runs.Version, train: sources.Split) -> None:
    """Stores a version's training images, or checks that they are those that it began with.

    Raises:
        UsageError: Where they are others.
    """
    found, known = np.sort(splits_lib.identities(train)), _load(version)
    if known is None:
        runs.write_arrays(version.trained_images_file, images=found)
        return
    num_new, num_gone = (len(np.setdiff1d(*pair)) for pair in ((found, known), (known, found)))
    if num_new or num_gone or not knows_classes(version, train.class_names):
        raise errors.UsageError(
            f"version {version.number} began with other training images: {num_new} are new, "
            f"{num_gone} are gone or changed, so that going on would not end as if it had never "
            "been stopped; bring them back, or train a new version"
        )


def remember_all(version: runs.Version, others: Iterable[runs.Version]) -> None:
    """Stores with a version the training images of all others that it is made from."""
    known = [images for images in map(_load, others) if images is not None]
    if known:
        runs.write_arrays(version.trained_images_file, images=np.unique(np.concatenate(known)))


def warn(version: runs.Version, split: sources.Split, name: str) -> None:
    """Says how many images of a split a version was trained on, where there are any."""
    known = _load(version)
    if name == "train" or known is None or not shared.is_trained(version.config):
        return
    num_seen = int(np.isin(splits_lib.identities(split), known).sum())
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


def knows_classes(version: runs.Version, class_names: Iterable[str]) -> bool:
    """Returns whether a version's classes are these, so that labels mean the same."""
    return version.read_facts().get("class_names", list(class_names)) == list(class_names)


def _load(version: runs.Version) -> np.ndarray | None:
    try:
        with np.load(version.trained_images_file) as stored:
            return stored["images"]
    except FileNotFoundError:
        return None
