"""What several modes do before and after their work."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from simsearch import errors, hardware, preprocessing, progress, runs, wiring
from simsearch.config import Config, differences
from simsearch.data import corrupt as corrupt_lib
from simsearch.models import pretrained

# What a mode that measures may change without making another model of the version.
EVAL_FIELDS = (
    *("eval.", "data.path", "data.cache_dir", "data.num_threads", "data.on_corrupt"),
    "train.num_devices",
)
_SPLITS = ("train", "validation", "test")


class Origin(NamedTuple):
    """The versions that another one was made of.

    Attributes:
        mode: The mode that made it, "average" or "ensemble".
        numbers: The numbers of those versions.
    """

    mode: str
    numbers: Sequence[int]

    def __str__(self) -> str:
        words = {"average": "the mean", "ensemble": "the ensemble"}
        return f"{words[self.mode]} of versions {', '.join(map(str, self.numbers))}"


def origin(facts: Mapping[str, Any]) -> Origin | None:
    """Returns what a version was made of, by what it remembers; None where it was trained."""
    for mode in ("average", "ensemble"):
        if numbers := facts.get(f"{mode}_of"):
            return Origin(mode, numbers)
    return None


def start_devices(config: Config) -> None:
    """Turns the compilation cache on, and says what computes."""
    hardware.enable_compilation_cache(wiring.paths.cache_dir(config, "compiled"))
    hardware.log_devices(config.train.num_devices)


def log_origin(version: runs.Version) -> None:
    """Says what a version's network was made from, and what it takes images to be."""
    config, facts = version.config, version.read_facts()
    made_of, weights = origin(facts), facts.get("weights", {})
    progress.log.info(
        "%s%s%s from weights %s",
        config.model.backbone,
        f", {made_of}," if made_of else "",
        "" if is_trained(config) else ", not trained,",
        wiring.facts.describe_weights(weights),
    )
    progress.log.info("images %s", preprocessing.describe(config))
    if weights.get("sha256") and not is_trained(config) and config.model.head != "none":
        progress.log.info(
            "its head is random; for the baseline of the weights alone make a version without one: "
            "--mode=train --config.train.num_epochs=0 --config.model.head=none"
        )


def is_trained(config: Config) -> bool:
    """Returns whether a version trains at all, and is no baseline of the first weights."""
    return config.train.num_steps > 0 or config.train.num_epochs > 0


def version_numbers(texts: Sequence[str] | None) -> list[int]:
    """Returns the numbers of different versions; none where one is no number, or twice."""
    words = [text.strip() for text in texts or ()]
    numbers = [int(word) for word in words if word.isdecimal()]
    return numbers if len(set(numbers)) == len(words) else []


def check_split(name: str) -> None:
    """Raises UsageError where images have no split of this name."""
    if name not in _SPLITS:
        raise errors.UsageError(f"--split={name} must be one of {', '.join(_SPLITS)}")


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


def log_corrupt(corrupt: corrupt_lib.CorruptLog) -> None:
    """Names and counts the images that were skipped as unreadable, where there were any."""
    if len(corrupt) and not corrupt.is_failure:
        progress.log.warning("%s", corrupt.summary())


def changes(own: Config, expected: Config) -> list[str]:
    """Returns one text for each field in which a version's own configuration is not as expected.

    Args:
        own: The version's.
        expected: What it should be; what this leaves to the weights is taken to be the version's.
    """
    expected = preprocessing.resolve_as(with_absolute_paths(expected), own)
    # What was a folder then can be a link to it today, in both.
    return differences(with_absolute_paths(own), expected)


def with_absolute_paths(config: Config) -> Config:
    """Returns the configuration with paths that mean the same from every working directory."""
    data = dataclasses.replace(
        config.data,
        path=wiring.paths.absolute(config.data.path),
        cache_dir=wiring.paths.absolute(config.data.cache_dir),
    )
    model = config.model
    if pretrained.is_file(model.weights):
        model = dataclasses.replace(model, weights=wiring.paths.absolute(model.weights))
    return dataclasses.replace(config, data=data, model=model)
