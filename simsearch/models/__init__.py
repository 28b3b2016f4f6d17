"""Embedding networks: a file for each backbone family, heads, pooling, pretrained weights."""

from simsearch.models.network import (
    BACKBONES,
    IMAGE_MEAN,
    IMAGE_STD,
    EmbeddingNetwork,
    create_network,
    initialise,
    trainable,
)

__all__ = [
    "BACKBONES",
    "IMAGE_MEAN",
    "IMAGE_STD",
    "EmbeddingNetwork",
    "create_network",
    "initialise",
    "trainable",
]
