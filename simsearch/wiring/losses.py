"""From a configuration to the losses that it names, their class vectors and their memory."""

import dataclasses

import jax

from simsearch import keys
from simsearch.config import Config
from simsearch.losses import classes, pairs
from simsearch.losses import memory as memory_lib
from simsearch.losses import terms as terms_lib
from simsearch.wiring import network


def terms(config: Config) -> tuple[terms_lib.Term, ...]:
    """Returns the losses that have a weight, with their options."""
    loss = dataclasses.asdict(config.loss)
    return tuple(
        terms_lib.Term(name, weight, loss[name]) for name, weight in loss["terms"].items() if weight
    )


def initial_proxies(config: Config, num_classes: int) -> dict[str, jax.Array]:
    """Returns the first class vectors of each loss that has some, float32 [C, D].

    Args:
        config: The run's configuration.
        num_classes: C, classes of the training images.
    """
    names = [term.name for term in terms(config) if terms_lib.has_proxies(term.name)]
    size = network.embedding_size(config) if names else 0
    key = jax.random.key(config.train.seed)
    return {
        name: classes.init_proxies(keys.stream(key, name), num_classes, embedding_size=size)
        for name in names
    }


def empty_memory(config: Config) -> pairs.Gallery | None:
    """Returns the cross-batch memory before the first step, None where there is none."""
    size = config.loss.memory_size
    return memory_lib.empty(size, embedding_size=network.embedding_size(config)) if size else None
