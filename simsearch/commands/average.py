"""`--mode=average`: one network from several, the mean of their weights."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from simsearch import models, runs, wiring
from simsearch.commands import merging


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
    order, other augmentation, another learning rate) lie in the same low-loss basin; their mean has
    a lower loss still. It is searched with at the cost of one network. Everything else, images and
    sizes among it, is as of the first version. Where BatchNorm's statistics were trained, those of
    the mean are taken from augmented train images.

    Args:
        versions: Their numbers, two at least. Their best checkpoints are taken.
        workdir: Folder of the versions.
        overrides: Fields of the first version's configuration to change, of those that an
            evaluation may (where the images lie by now, how many devices there are), and
            `data.resize_mode` and `model.discriminant`.

    Raises:
        UsageError: Where a version or its checkpoint is not there, or the networks did not start
            from the same weights.

    References:
        Wortsman et al., Model soups, 2022.
        Izmailov et al., Averaging Weights Leads to Wider Optima, 2018: the statistics.
    """
    return merging.merge(_KIND, versions, workdir=workdir, overrides=overrides)


def _combine(
    members: Sequence[merging.Member], images: Callable[[], Iterator[np.ndarray]]
) -> tuple[Any, dict[str, Any]]:
    trees = [(member.variables, member.proxies) for member in members]
    variables, proxies = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *trees)
    trained = [each.config for each in members if not wiring.network.keeps_batch_norm(each.config)]
    if trained:
        # The mean of their statistics is not what the mean of their weights makes of an image.
        network = wiring.network.create(trained[0])
        observed = models.observe(network, variables, images(), train=True)
        variables = models.recalibrate(variables, observed)
    return variables, proxies


_KIND = merging.Kind("average", "their mean", lambda configs, config: config, _combine)
