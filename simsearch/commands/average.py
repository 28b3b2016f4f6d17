"""`--mode=average`: one network from several, the mean of their weights."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from simsearch import progress, runs, wiring
from simsearch.commands import merging
from simsearch.config import Config


def main(
    *, versions: Sequence[str] | None, workdir: str | os.PathLike, overrides: Mapping[str, Any]
) -> runs.Version:
    """Averages the versions of `--versions`."""
    return merging.main(_KIND, versions=versions, workdir=workdir, overrides=overrides)


def average(
    versions: Sequence[int],
    *,
    workdir: str | os.PathLike = "runs",
    overrides: Mapping[str, Any] | None = None,
) -> runs.Version:
    """Makes a version whose weights are the mean of others', and returns it.

    Networks that were trained from the same first weights in different ways (images in another
    order, other augmentation, another learning rate) lie in one valley of the loss; their mean lies
    deeper in it. It is searched with at the cost of one network. Everything else, images and sizes
    among it, is as of the first version.

    Args:
        versions: As of `merging.merge`.
        workdir: As of `merging.merge`.
        overrides: As of `merging.merge`.

    Raises:
        UsageError: As of `merging.merge`.

    References:
        Wortsman et al., Model soups, 2022.
    """
    return merging.merge(_KIND, versions, workdir=workdir, overrides=overrides)


def _configure(configs: Sequence[Config], config: Config) -> Config:
    if not all(map(wiring.keeps_batch_norm, configs)):
        progress.log.warning(
            "BatchNorm's statistics were trained (model.freeze_batch_norm=False), and their means "
            "do not fit the mean of the weights well"
        )
    return config


def _combine(members: Sequence[merging.Member]) -> tuple[Any, dict[str, Any]]:
    trees = [(member.variables, member.proxies) for member in members]
    return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *trees)


_KIND = merging.Kind("average", "their mean", _configure, _combine)
