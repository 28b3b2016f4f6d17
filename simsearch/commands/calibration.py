"""A version's calibration: fitted when training ends, or where an evaluation finds none."""

from collections.abc import Mapping

import numpy as np

from simsearch import progress, runs
from simsearch.commands import trained_images
from simsearch.config import Config
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sources
from simsearch.retrieval import calibration as calibration_lib
from simsearch.retrieval import embed, embedding_cache
from simsearch.retrieval.metrics import pairs

_WITHOUT = "scores are shown without a probability"


def store(
    version: runs.Version,
    splits: Mapping[str, sources.Split],
    *,
    corrupt: corrupt_lib.CorruptLog,
) -> None:
    """Fits the calibration of a version's best checkpoint and stores it with the version.

    Args:
        version: Trained to its end.
        splits: Its images; the validation split is embedded.
        corrupt: Collects the rows that could not be read.
    """
    embedder = embed.Embedder.from_version(version)
    found = of(version, embedder, splits, config=version.config, corrupt=corrupt)
    if found is not None:
        runs.write_text(version.calibration_file, found.to_json())


def of(
    version: runs.Version,
    embedder: embed.Embedder,
    splits: Mapping[str, sources.Split],
    *,
    config: Config,
    corrupt: corrupt_lib.CorruptLog,
) -> calibration_lib.Calibration | None:
    """Returns the calibration of an embedder, None where the validation images allow none.

    Args:
        version: Whose stored calibration is taken, where it is of this embedder and as configured.
        embedder: Of the version; embeds the validation split where nothing fits that is stored.
        splits: The version's images.
        config: The version's configuration, with what the caller overrides.
        corrupt: Collects the rows that could not be read.
    """
    options, weights = config.eval, embedder.fingerprint
    stored = calibration_lib.load(version)
    if stored and (stored.weights, stored.method) == (weights, options.calibration):
        return stored
    split = splits["validation"]
    trained_images.warn(version, split, "validation")
    if not _has_pairs(split.labels):
        return None
    embedded = embedding_cache.embed_cached(
        embedder, split, version.eval_dir / "cache", corrupt=corrupt
    )
    labels = split.labels[embedded.valid]
    if not _has_pairs(labels):
        return None
    counts = pairs.count(
        embedded.embeddings[embedded.valid],
        labels,
        max_pairs=options.max_pairs,
        seed=options.seed,
    )
    try:
        found = calibration_lib.fit(counts, method=options.calibration, weights=weights)
    except ValueError as error:
        progress.log.warning("%s: %s", _WITHOUT, error)
        return None
    if doubt := found.doubt(options.false_match_rate):
        progress.log.warning(
            "%s; what helps is more validation images than these %d, a larger data.valid_fraction "
            "or a larger eval.false_match_rate",
            doubt,
            len(split.labels),
        )
    return found


def _has_pairs(labels: np.ndarray) -> bool:
    """Returns whether images make a pair, and says so where they do not."""
    if len(labels) < 2:
        progress.log.warning(
            "%s: a calibration needs pairs of validation images, of which there %s %d",
            _WITHOUT,
            "is" if len(labels) else "are",
            len(labels),
        )
    return len(labels) > 1
