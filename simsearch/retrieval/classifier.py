"""A version's class vectors as a classifier: the nearest one names the class."""

import jax
import numpy as np

from simsearch import checkpoints, runs, wiring
from simsearch.config import Config
from simsearch.losses import terms as terms_lib
from simsearch.retrieval import discriminant, neighbors


def chosen(config: Config, proxies: dict[str, jax.Array]) -> np.ndarray | None:
    """Returns the class vectors that classify, L2-normalised float32 [C, D]; None without any.

    Args:
        config: The run's configuration; of several losses its heaviest with class vectors counts.
        proxies: Class vectors by loss.
    """
    name = terms_lib.classifier(wiring.losses.terms(config))
    if name is None or name not in proxies:
        return None
    return neighbors.unit_rows(np.asarray(proxies[name], np.float32))


def load(version: runs.Version) -> np.ndarray | None:
    """Returns the class vectors of a version's best checkpoint, None without any.

    They are its discriminant's where it has one, else those that `chosen` chooses.
    """
    config = version.config
    with checkpoints.best_of(version) as (store, step):
        if (found := discriminant.load(version, step=step)) is not None:
            return found.class_vectors
        like = jax.eval_shape(
            lambda: wiring.losses.initial_proxies(config, len(version.read_facts()["class_names"]))
        )
        return chosen(config, store.restore_proxies(step, like)) if like else None


def is_right(
    embeddings: np.ndarray, labels: np.ndarray, *, vectors: np.ndarray, trained_labels: np.ndarray
) -> np.ndarray:
    """Returns whether the class vector nearest to each image is its own class's, float [N].

    Args:
        embeddings: L2-normalised, float32 [N, D].
        labels: Classes, int [N].
        vectors: L2-normalised, float32 [C, D].
        trained_labels: Classes of the train images, int [M]. The vector of a class without any
            says nothing, and takes no part.
    """
    trained = np.unique(trained_labels)
    nearest = np.argmax(embeddings @ vectors[trained].T, axis=1)
    return (trained[nearest] == labels).astype(np.float64)
