"""BatchNorm's statistics, taken from images: for weights that lost theirs, and for mean weights."""

from collections.abc import Iterable
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import numpy as np

from simsearch.models import layers


def observe(
    network: nn.Module, variables: Any, batches: Iterable[np.ndarray], *, train: bool
) -> dict[str, Any]:
    """Returns mean and variance of what each BatchNorm gets.

    Args:
        network: The embedding network.
        variables: Its `params` and `batch_stats`.
        batches: Images, uint8 [B, S, S, 3], one batch at least.
        train: Whether BatchNorms normalise by the batch and not by `batch_stats`; those that are
            frozen then are not looked at.

    Returns:
        A tree like `batch_stats`, float32 [C] each, over all batches.
    """

    @jax.jit
    def look(variables: Any, images: jax.Array) -> Any:
        _, seen = network.apply(variables, images, train=train, mutable=[layers.OBSERVED])
        return flax.traverse_util.flatten_dict(seen.get(layers.OBSERVED, {}))

    sums: dict[tuple[str, ...], np.ndarray] = {}
    count = 0
    for images in batches:
        seen = {path: np.asarray(x, np.float64) for path, x in look(variables, images).items()}
        for path, value in seen.items():
            # Means of the squares can be averaged, variances cannot.
            if path[-1] == "var":
                value = value + seen[*path[:-1], "mean"] ** 2
            sums[path] = sums.get(path, 0) + value
        count += 1
    found = {path: value / count for path, value in sums.items()}
    for path in [path for path in found if path[-1] == "var"]:
        found[path] = np.maximum(found[path] - found[*path[:-1], "mean"] ** 2, 0)
    return flax.traverse_util.unflatten_dict(
        {path: value.astype(np.float32) for path, value in found.items()}
    )


def unfold(variables: Any, observed: Any, *, epsilon: float) -> dict[str, Any]:
    """Returns variables with statistics that were folded into the kernels, of the same function.

    With BatchNorm's statistics as they are, the network computes what it did; with those of a
    batch, nearly so, where it would compute another thing before. The opposite of
    `folding.fold_batch_norm`.

    Args:
        variables: `params` and `batch_stats`.
        observed: What `observe` returns with `train=False`. A head's BatchNorms are left alone.
        epsilon: Of the backbone's BatchNorms.
    """
    flat = flax.traverse_util.flatten_dict(variables)
    found = flax.traverse_util.flatten_dict(observed)
    for path in [path for path in found if path[-1] == "mean"]:
        norm = path[:-1]
        if norm[0] != "backbone":
            continue
        scale, bias = ("params", *norm, "scale"), ("params", *norm, "bias")
        old_mean, old_var = (flat["batch_stats", *norm, name] for name in ("mean", "var"))
        mean, var = found[*norm, "mean"], found[*norm, "var"]
        factor = flat[scale] / (old_var + epsilon) ** 0.5
        flat[scale] = factor * (var + epsilon) ** 0.5
        flat[bias] = flat[bias] + factor * (mean - old_mean)
        flat["batch_stats", *norm, "mean"], flat["batch_stats", *norm, "var"] = mean, var
    return flax.traverse_util.unflatten_dict(flat)


def recalibrate(variables: Any, observed: Any) -> dict[str, Any]:
    """Returns variables with other statistics, of which those that are not observed stay.

    Args:
        variables: `params` and `batch_stats`.
        observed: What `observe` returns with `train=True`.

    References:
        Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, 2018:
        mean weights need it.
    """
    flat = flax.traverse_util.flatten_dict(variables)
    for path, value in flax.traverse_util.flatten_dict(observed).items():
        flat["batch_stats", *path] = value
    return flax.traverse_util.unflatten_dict(flat)
