"""Embedding networks: a file for each backbone family, heads, pooling, pretrained weights."""

from simsearch.models.backbone import IMAGE_MEAN, IMAGE_STD
from simsearch.models.catalog import ALIASES
from simsearch.models.catalog import NAMES as BACKBONES
from simsearch.models.catalog import find as find_backbone
from simsearch.models.folding import fold_batch_norm
from simsearch.models.network import (
    RANDOM_GENERATOR,
    EmbeddingNetwork,
    abstract_variables,
    create_network,
    initialise,
    unit,
)
from simsearch.models.parts import trainable
from simsearch.models.statistics import observe, recalibrate, unfold

__all__ = [
    "ALIASES",
    "BACKBONES",
    "IMAGE_MEAN",
    "IMAGE_STD",
    "RANDOM_GENERATOR",
    "EmbeddingNetwork",
    "abstract_variables",
    "create_network",
    "find_backbone",
    "fold_batch_norm",
    "initialise",
    "observe",
    "recalibrate",
    "trainable",
    "unfold",
    "unit",
]
