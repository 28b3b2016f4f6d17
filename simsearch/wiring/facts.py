"""What a version remembers of the images and the weights that it was trained with."""

from collections.abc import Mapping
from typing import Any

from simsearch import models
from simsearch.config import Config
from simsearch.data import class_splits, sources


def collect(
    config: Config, splits: Mapping[str, sources.Split], weights: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns what a version remembers of its images and weights."""
    return {
        "class_names": list(splits["train"].class_names),
        "split": config.data.split,
        "classes": {name: class_splits.classes_of(part) for name, part in splits.items()},
        "num_images": {name: len(part.labels) for name, part in splits.items()},
        "train_fingerprint": splits["train"].fingerprint,
        "weights": dict(weights),
        "random_generator": models.RANDOM_GENERATOR,
    }


def describe_weights(facts: Mapping[str, Any]) -> str:
    """Returns where weights come from in words, from what a version remembers of them."""
    if not facts.get("sha256"):
        return "none (random)"
    return f"{facts['source']}, SHA-256 {facts['sha256']}"
