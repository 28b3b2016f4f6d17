"""Whether a split of the images can be measured: asked before work starts, and of what was read."""

import math
from collections.abc import Mapping

import numpy as np

from simsearch import errors, progress, runs
from simsearch.config import Config
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sources
from simsearch.retrieval import embed, embedding_cache

# Of a class with fewer images no fractions give two to each of three splits.
_LEAST_TO_SPLIT = 6


def check_queries(
    splits: Mapping[str, sources.Split],
    name: str,
    *,
    advice: str = "measure another with --split, or train again with more images in it",
) -> None:
    """Raises UsageError with advice where a split of a version's images cannot be measured."""
    if problem := _query_problem(splits[name], name):
        raise errors.UsageError(f"{problem}; {advice}")


def check_new_queries(splits: Mapping[str, sources.Split], config: Config) -> None:
    """Says which splits could not be measured before a training begins.

    Raises:
        UsageError: Where the validation split could not be.
    """
    if problem := _query_problem(splits["validation"], "validation"):
        advice = _advice(splits, config, config.data.valid_fraction)
        raise errors.UsageError(f"{problem}; {advice}")
    if problem := _query_problem(splits["test"], "test"):
        progress.log.warning(
            "%s: --mode=eval can measure this version with --split=validation alone; %s",
            problem,
            _advice(splits, config, config.data.test_fraction),
        )


def _advice(splits: Mapping[str, sources.Split], config: Config, fraction: float) -> str:
    """Returns what gives a split more images, of which `fraction` of each class was held out."""
    if config.data.split == "class":
        return (
            "add images, or hold more classes out with --config.data.valid_class_fraction and "
            "--config.data.test_class_fraction"
        )
    counts = np.bincount(np.concatenate([split.labels for split in splits.values()]))
    second, largest = np.sort(counts)[-2:].tolist()
    if second < _LEAST_TO_SPLIT <= largest:
        return f"add images of other classes: no other has {_LEAST_TO_SPLIT} to share out"
    # Two images of the two largest classes for each split that the source does not have.
    needed = math.ceil(200 / max(second, 1)) / 100
    if second < _LEAST_TO_SPLIT or needed <= fraction:
        return "add images"
    return (
        "add images, or hold more of them out, where the source has not split them, with "
        f"--config.data.valid_fraction={needed:g} --config.data.test_fraction={needed:g}"
    )


def _query_problem(
    split: sources.Split, name: str, *, valid: np.ndarray | slice = slice(None)
) -> str:
    """Returns why nothing of a split can be found, or nothing but what is right; or no text.

    A query needs another image of its class to find, and one of another class to be misled by.

    Args:
        split: The images.
        name: What the split is called.
        valid: Which of them count, bool [N].
    """
    labels = split.labels[valid]
    counts = np.bincount(labels)
    if not np.any(counts > 1):
        return (
            f"the {name} split has {len(labels)} images and no class with two of them, so "
            "nothing can be retrieved"
        )
    if np.count_nonzero(counts) < 2:
        alone = split.class_names[int(np.flatnonzero(counts)[0])]
        return (
            f"the {name} split has images of the class {alone!r} alone, so that whatever is "
            "retrieved is right"
        )
    return ""


def check_readable(
    valid: np.ndarray, split: sources.Split, name: str, *, corrupt: corrupt_lib.CorruptLog
) -> None:
    """Raises RunError where a split cannot be measured by those of its images that could be read.

    Args:
        valid: False for an image that could not be, bool [N].
        split: The images.
        name: What the split is called.
        corrupt: The images that could not be read.
    """
    if problem := _query_problem(split, name, valid=valid):
        raise errors.RunError(f"without what could not be read {problem}: {corrupt.summary()}")


def embed_both(
    version: runs.Version,
    embedder: embed.Embedder,
    splits: Mapping[str, sources.Split],
    name: str,
    *,
    corrupt: corrupt_lib.CorruptLog,
) -> dict[str, embed.Embedded]:
    """Returns the embeddings of a split and of the train images, by name, from the cache or anew.

    Args:
        version: Whose cache it is.
        embedder: The version's.
        splits: Its images.
        name: Of the split that is to be measured.
        corrupt: Gets the images that could not be read.

    Raises:
        RunError: Where what could be read has too few images or classes to be measured.
        NotFiniteError: Where the network's weights are no numbers any more.
    """
    cache = version.eval_dir / "cache"
    found = {
        each: embedding_cache.embed_cached(embedder, splits[each], cache, corrupt=corrupt)
        for each in dict.fromkeys((name, "train"))
    }
    check_embedded(found[name], splits[name], name, corrupt=corrupt)
    return found


def check_embedded(
    embedded: embed.Embedded, split: sources.Split, name: str, *, corrupt: corrupt_lib.CorruptLog
) -> None:
    """Raises an error where the embeddings of a split cannot be measured.

    Args:
        embedded: The embeddings of all its images.
        split: The images.
        name: What the split is called.
        corrupt: The images that could not be read.

    Raises:
        RunError: Where what could be read has too few images or classes to be measured.
        NotFiniteError: Where the network's weights are no numbers any more.
    """
    check_readable(embedded.valid, split, name, corrupt=corrupt)
    if not np.isfinite(embedded.embeddings).all():
        raise errors.NotFiniteError(f"the embeddings of the {name} images are not finite")
