"""`--mode=ensemble`: several networks side by side, whose features make one embedding."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from simsearch import errors, runs
from simsearch.commands import merging
from simsearch.config import Config
from simsearch.models import parts
from simsearch.retrieval import neighbors


def main(
    *, versions: Sequence[str] | None, workdir: str | os.PathLike, overrides: Mapping[str, Any]
) -> runs.Version:
    """Joins the versions of `--versions`."""
    return merging.main(_KIND, versions=versions, workdir=workdir, overrides=overrides)


def ensemble(
    versions: Sequence[int],
    *,
    workdir: str | os.PathLike = "runs",
    overrides: Mapping[str, Any] | None = None,
) -> runs.Version:
    """Makes a version of others' networks side by side, and returns it.

    Networks that were trained in different ways err in different places. The features of all of
    them, one after the other, go into one last layer; it is the sum of theirs until the
    discriminant takes its place. An embedding is no longer than that of one network, and takes as
    many times the work as there are networks. Everything else is as of the first version.

    Args:
        versions: Numbers of two at least, of a linear head or none. Their best checkpoints are
            taken.
        workdir: Folder of the versions.
        overrides: Fields of the first version's configuration to change, of those that
            `merging.merge` allows.

    Raises:
        UsageError: Where a version or its checkpoint is not there, the networks did not start from
            the same weights, or they have another head.

    References:
        Hansen and Salamon, Neural Network Ensembles, 1990.
    """
    return merging.merge(_KIND, versions, workdir=workdir, overrides=overrides)


def _configure(configs: Sequence[Config], config: Config) -> Config:
    if config.model.num_backbones > 1:
        raise errors.UsageError(
            "the versions are ensembles already; give those that they were made of"
        )
    if config.model.head == "mlp":
        raise errors.UsageError(
            "--mode=ensemble joins networks with model.head=linear or none, whose last layer sees "
            "the features; these have mlp"
        )
    model = dataclasses.replace(config.model, num_backbones=len(configs))
    return dataclasses.replace(config, model=model)


def _combine(members: Sequence[merging.Member], *_: Any) -> tuple[Any, dict[str, Any]]:
    variables: dict[str, dict[str, Any]] = {
        kind: {
            name: member.variables[kind][module]
            for module in parts.REPEATED
            if module in tree
            for name, member in zip(parts.names_of(module, len(members)), members, strict=True)
        }
        for kind, tree in members[0].variables.items()
    }
    if "head" in members[0].variables["params"]:
        last = [member.variables["params"]["head"]["projection"] for member in members]
        # Applied to the features one after the other it gives the sum of the embeddings.
        variables["params"]["head"] = {
            "projection": {
                "kernel": np.concatenate([layer["kernel"] for layer in last]),
                "bias": sum(layer["bias"] for layer in last),
            }
        }
    is_headless = "head" not in members[0].variables["params"]
    join = _beside if is_headless else lambda *leaves: sum(leaves) / len(leaves)
    return variables, jax.tree.map(join, *(member.proxies for member in members))


def _beside(*vectors: np.ndarray) -> np.ndarray:
    """Returns class vectors of features one after the other, as the embedding has them.

    Each network's are as long as the others', since its losses saw their directions alone.
    """
    return np.concatenate([neighbors.unit_rows(np.asarray(part)) for part in vectors], axis=-1)


_KIND = merging.Kind("ensemble", "their ensemble", _configure, _combine)
