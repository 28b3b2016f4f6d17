"""From a configuration to the network that it names, and to its first weights."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from simsearch import errors, models, preprocessing
from simsearch.config import Config
from simsearch.models import pretrained
from simsearch.wiring import paths


class Initial(NamedTuple):
    """A network's first variables, and where they come from."""

    variables: dict[str, Any]
    weights: dict[str, Any]
    is_folded: bool = False  # whether BatchNorm's statistics are lost, folded into the kernels


def create(config: Config, *, axis_name: str | None = None) -> nn.Module:
    """Returns the embedding network.

    Args:
        config: The run's configuration.
        axis_name: The device axis that a training batch is spread over; None to embed.
    """
    config = preprocessing.resolve(config)
    model = config.model
    return models.create_network(
        backbone=model.backbone,
        embedding_size=model.embedding_size,
        head=model.head,
        pooling=model.pooling,
        dtype=jnp.dtype(model.dtype),
        image_mean=config.data.image_mean,
        image_std=config.data.image_std,
        same_padding=model.padding == "tensorflow",
        axis_name=axis_name,
        freeze_batch_norm=model.freeze_batch_norm,
        freeze=model.freeze,
        num_backbones=model.num_backbones,
    )


def abstract_variables(config: Config) -> Any:
    """Returns the shapes of the network's variables, without computing any."""
    config = preprocessing.resolve(config)
    return models.abstract_variables(create(config), image_size=config.data.image_size)


def embedding_size(config: Config) -> int:
    """Returns the dimensions of an embedding, without computing any."""
    if config.model.head != "none":
        return config.model.embedding_size
    size = preprocessing.resolve(config).data.image_size
    images = jax.ShapeDtypeStruct((1, size, size, 3), np.uint8)
    network = create(config)
    embedded = jax.eval_shape(
        lambda variables, images: network.apply(variables, images, train=False),
        abstract_variables(config),
        images,
    )
    return embedded.shape[-1]


def check(config: Config) -> None:
    """Raises UsageError where the network is none to be trained; reads and computes nothing.

    Args:
        config: The run's configuration, what it leaves to the weights still open.
    """
    if config.model.num_backbones > 1:
        raise errors.UsageError(
            f"model.num_backbones={config.model.num_backbones} is made of trained versions: train "
            "them one by one, then join them with --mode=ensemble --versions=A,B,…"
        )
    create(config)
    pretrained.check(config.model.weights, config.model.backbone)


def read_weights(config: Config) -> pretrained.Weights:
    """Returns the configured weights, fetched where they are not cached."""
    return pretrained.read_weights(
        config.model.weights,
        config.model.backbone,
        cache_dir=paths.cache_dir(config, "weights"),
    )


def keeps_batch_norm(config: Config) -> bool:
    """Returns whether training leaves BatchNorm's statistics as they are."""
    return config.model.freeze_batch_norm or config.model.freeze == "all"


def initial_variables(config: Config, weights: pretrained.Weights | None = None) -> Initial:
    """Returns the configured weights, and random variables for what they leave open.

    Args:
        config: The run's configuration.
        weights: As `read_weights` returns them; None: read now.
    """
    # Read first: a file that is not there is told before anything is compiled.
    weights = weights or read_weights(config)
    known = pretrained.lay_over(abstract_variables(config), weights, config.model.backbone)
    variables = random_variables(config, known=known)
    facts = {"source": weights.source, "sha256": weights.sha256}
    return Initial(variables, facts, pretrained.has_folded_batch_norm(weights))


def trainable(config: Config, params: Any) -> Any:
    """Returns a tree of the parameters' shape: True where the configuration lets them train."""
    return models.trainable(params, freeze=config.model.freeze)


def random_variables(config: Config, *, known: Any | None = None) -> Any:
    """Returns the network's variables as they are without weights.

    Args:
        config: The run's configuration.
        known: What is not random of them, as of `models.initialise`.
    """
    config = preprocessing.resolve(config)
    return models.initialise(
        create(config),
        seed=config.train.seed,
        image_size=config.data.image_size,
        known=known,
    )
