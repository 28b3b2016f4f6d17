"""A version's discriminant: fitted to the train images when training ends."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from simsearch import checkpoints, progress, runs
from simsearch.commands import shared
from simsearch.config import Config
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sources
from simsearch.data import splits as splits_lib
from simsearch.retrieval import discriminant as discriminant_lib
from simsearch.retrieval import embed

# Of a larger set so many are drawn: enough for the directions of thousands of classes.
_MAX_IMAGES = 50_000


def store(
    version: runs.Version,
    splits: Mapping[str, sources.Split],
    *,
    corrupt: corrupt_lib.CorruptLog,
) -> None:
    """Fits the discriminant of a version's best checkpoint and stores it, where it is to have one.

    Args:
        version: Trained to its end.
        splits: Its images; the train split is embedded, as it is without augmentation.
        corrupt: Collects the rows that could not be read.
    """
    config = version.config
    if not is_wanted(config):
        return
    with checkpoints.best_of(version) as (kept, step):
        if discriminant_lib.load(version, step=step) is not None:
            return
        variables, trained = discriminant_lib.features_of(kept.restore_variables(step))
    split = splits["train"]
    if len(split.labels) > _MAX_IMAGES:
        rng = np.random.default_rng(config.train.seed)
        rows = np.sort(rng.choice(len(split.labels), _MAX_IMAGES, replace=False))
        split = splits_lib.pick(split, rows)
    progress.log.info("fitting the discriminant to %d train images", len(split.labels))
    # It embeds images as the last layer sees them.
    model = dataclasses.replace(config.model, embedding_size=len(trained))
    embedder = embed.Embedder(dataclasses.replace(config, model=model), variables)
    embedded = embedder.embed_split(split, corrupt=corrupt)
    found = discriminant_lib.fit(
        embedded.embeddings[embedded.valid],
        split.labels[embedded.valid],
        trained=trained,
        num_classes=len(split.class_names),
        step=step,
    )
    discriminant_lib.save(version, found)


def tell_of_figures(config: Config) -> None:
    """Says of figures that were taken before there was a discriminant that they were."""
    if is_wanted(config):
        progress.log.info(
            "validation figures are those before the discriminant; --mode=eval measures with it"
        )


def warn(version: runs.Version) -> None:
    """Says that a version was not trained to its end, where it is to have a discriminant."""
    if not is_wanted(version.config):
        return
    with checkpoints.best_of(version) as (_, step):
        found = discriminant_lib.load(version, step=step)
    if found is None:
        progress.log.warning(
            "version %d was not trained to its end: this is its best checkpoint so far, without "
            "the discriminant that makes another network of it; go on with "
            "`python main.py --mode=train %s`",
            version.number,
            version.flags,
        )


def is_wanted(config: Config) -> bool:
    """Returns whether a version is to have a discriminant.

    It needs a head that was trained, and it tells apart the classes that were trained on alone:
    others are confused more than before, so that a split by class is evaluated without.
    """
    has_trained_head = config.model.head != "none" and shared.is_trained(config)
    return config.model.discriminant and config.data.split == "image" and has_trained_head
