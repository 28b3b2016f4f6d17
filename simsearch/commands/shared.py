"""What several modes do before and after their work."""

import math
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from simsearch import errors, hardware, preprocessing, progress, runs, wiring
from simsearch.config import Config
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sources
from simsearch.retrieval import embed

# What a mode that measures may change without making another model of the version.
EVAL_FIELDS = (
    *("eval.", "data.path", "data.cache_dir", "data.num_threads", "data.on_corrupt"),
    "train.num_devices",
)


# Of a class with fewer images no fractions give two to each of three splits.
_LEAST_TO_SPLIT = 6


def start_devices(config: Config) -> None:
    """Turns the compilation cache on, and says what computes."""
    hardware.enable_compilation_cache(os.path.join(wiring.cache_dir(config), "compiled"))
    hardware.log_devices(config.train.num_devices)


def log_origin(version: runs.Version) -> None:
    """Says what a version's network was made from, and what it takes images to be."""
    config, facts = version.config, version.read_facts()
    origin = facts.get("average_of", ())
    progress.log.info(
        "%s%s%s from weights %s",
        config.model.backbone,
        f", the mean of versions {', '.join(map(str, origin))}," if origin else "",
        "" if is_trained(config) else ", not trained,",
        wiring.describe_weights(facts.get("weights", {})),
    )
    progress.log.info("images %s", preprocessing.describe(config))
    if not is_trained(config) and config.model.head != "none":
        progress.log.info(
            "its head is random; with --config.model.head=none the baseline is that of the weights"
        )


def is_trained(config: Config) -> bool:
    """Returns whether a version trains at all, and is no baseline of the first weights."""
    return config.train.num_steps > 0 or config.train.num_epochs > 0


def version_numbers(texts: Sequence[str] | None) -> list[int]:
    """Returns the numbers of different versions; none where one is no number, or twice."""
    words = [text.strip() for text in texts or ()]
    is_right = len(set(words)) == len(words) and all(map(str.isdigit, words))
    return [int(word) for word in words] if is_right else []


def check_queries(splits: Mapping[str, sources.Split], name: str) -> None:
    """Raises UsageError where a split of a version's images cannot be measured."""
    if problem := _query_problem(splits[name], name):
        raise errors.UsageError(
            f"{problem}; measure another with --split, or train again with more images in it"
        )


def check_new_queries(splits: Mapping[str, sources.Split], config: Config) -> None:
    """Says which splits could not be measured before a training begins.

    Raises:
        UsageError: Where the validation split could not be.
    """
    kind = "" if config.data.split == "image" else "class_"
    fields = [f"--config.data.{part}_{kind}fraction" for part in ("valid", "test")]
    total = sum(
        np.bincount(split.labels, minlength=len(split.class_names)) for split in splits.values()
    )
    advice = "add images"
    if kind:
        advice += f", or hold more classes out with {' and '.join(fields)}"
    elif (largest := int(np.max(total))) >= _LEAST_TO_SPLIT:
        # What gives two images of the largest class to each split that the source does not have.
        needed = math.ceil(200 / largest) / 100
        given = " ".join(f"{field}={needed:g}" for field in fields)
        advice += f", or hold more of them out, where the source has not split them, with {given}"
    if problem := _query_problem(splits["validation"], "validation"):
        raise errors.UsageError(f"{problem}; {advice}")
    if problem := _query_problem(splits["test"], "test"):
        progress.log.warning(
            "%s: --mode=eval can measure this version with --split=validation alone; %s",
            problem,
            advice,
        )


def _query_problem(split: sources.Split, name: str) -> str:
    """Returns why nothing of a split can be found, or nothing but what is right; or no text.

    A query needs another image of its class to find, and one of another class to be misled by.
    """
    counts = np.bincount(split.labels)
    if not np.any(counts > 1):
        return (
            f"the {name} split has {len(split.labels)} images and no class with two of them, so "
            "nothing can be retrieved"
        )
    if np.count_nonzero(counts) < 2:
        alone = split.class_names[int(np.flatnonzero(counts)[0])]
        return (
            f"the {name} split has images of the class {alone!r} alone, so that whatever is "
            "retrieved is right"
        )
    return ""


def check_output(output: str | os.PathLike) -> None:
    """Raises UsageError where no picture can be written to a path."""
    path = pathlib.Path(output)
    if path.suffix.lower() != ".png":
        raise errors.UsageError(f"--output={output} must end in .png, which is what is drawn")
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir() or path.is_dir():
        raise errors.UsageError(
            f"--output={output} must be a file in a folder, and "
            f"{path if path.is_dir() else above} is {'a folder' if path.is_dir() else 'a file'}"
        )


def check_embedded(
    embedded: embed.Embedded, split: sources.Split, name: str, *, corrupt: corrupt_lib.CorruptLog
) -> None:
    """Raises an error where the embeddings of a split cannot be measured.

    Args:
        embedded: Of all its images.
        split: The images.
        name: Of the split.
        corrupt: The images that could not be read.

    Raises:
        RunError: Where too few could be read: no class has two of them.
        NotFiniteError: Where the network's weights are no numbers any more.
    """
    labels = split.labels[embedded.valid]
    if not np.any(np.bincount(labels) > 1):
        raise errors.RunError(
            f"{len(labels)} images of the {name} split could be read, no two of them of one class, "
            f"so that nothing can be retrieved: {corrupt.summary()}"
        )
    if not np.isfinite(embedded.embeddings).all():
        raise errors.NotFiniteError(
            f"the embeddings of the {name} images are not finite; lower optimizer.learning_rate, "
            "set optimizer.clip_norm, or, with model.dtype=bfloat16, try float32"
        )


def log_corrupt(corrupt: corrupt_lib.CorruptLog) -> None:
    """Names and counts the images that could not be read, where there were any."""
    if len(corrupt):
        progress.log.warning("%s", corrupt.summary())
