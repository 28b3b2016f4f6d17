"""What a training is watched by: the figures of its validation images."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from simsearch import parallel, wiring
from simsearch.commands import measurable
from simsearch.config import Config
from simsearch.data import confusion as confusion_lib
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sources
from simsearch.retrieval import classifier, embed
from simsearch.retrieval.metrics import ranking


def has_train_classes(splits: Mapping[str, sources.Split]) -> bool:
    """Returns whether class vectors can be right: not where validation is of classes of its own."""
    return bool(np.isin(splits["validation"].labels, splits["train"].labels).any())


def create(
    config: Config,
    splits: dict[str, sources.Split],
    corrupt: corrupt_lib.CorruptLog,
    *,
    confusion: confusion_lib.Confusion,
) -> Callable[[Any, Any], dict[str, float]]:
    """Returns the function from variables and class vectors to the figures that the loop wants."""
    split = splits["validation"]
    is_told_apart = has_train_classes(splits)
    embed_function = embed.create_embed_function(config)
    devices = parallel.local_devices(config.train.num_devices)

    def validate(variables: Any, proxies: Any) -> dict[str, float]:
        embedded = embed.embed_batches(
            embed_function,
            variables,
            batches=wiring.images.eval_batches(config, split, corrupt=corrupt),
            devices=devices,
            num_rows=len(split.labels),
        )
        kept = embedded.valid
        measurable.check_embedded(embedded, split, "validation", corrupt=corrupt)
        embeddings, labels = embedded.embeddings[kept], split.labels[kept]
        scores = ranking.leave_one_out(embeddings, labels)
        if config.sampling.mode == "hard_classes":
            confusion.counts = ranking.confusion(scores, labels, num_classes=len(split.class_names))
        means = scores.means()
        vectors = classifier.chosen(config, proxies) if is_told_apart else None
        if vectors is not None:
            right = classifier.is_right(
                embeddings, labels, vectors=vectors, trained_labels=splits["train"].labels
            )
            means["classifier_accuracy"] = float(np.mean(right))
        return means

    return validate
