"""BatchNorm with running statistics as part of the convolution before it: once, to embed."""

from typing import Any

import flax.traverse_util
import numpy as np

from simsearch.models import catalog


def fold_batch_norm(variables: Any, *, backbone: str) -> dict[str, Any]:
    """Returns variables that embed as these do, with less to compute; they cannot be trained on.

    A BatchNorm's factor is multiplied into the kernel of the convolution before it, and its shift
    stays as the bias. The BatchNorms of a head follow no convolution and are left as they are.

    Args:
        variables: A network's `params` and, with BatchNorm, `batch_stats`.
        backbone: Name of the backbone.

    Returns:
        The same tree of NumPy arrays, without the scales and the statistics that were folded.
    """
    epsilon = catalog.find(backbone).norm_epsilon
    flat = {
        path: np.asarray(leaf) for path, leaf in flax.traverse_util.flatten_dict(variables).items()
    }
    for path in [path for path in flat if path[0] == "params" and path[-1] == "scale"]:
        norm = path[1:-1]
        kernel = ("params", *norm[:-1], norm[-1].replace("norm", "conv"), "kernel")
        if kernel not in flat:
            continue
        mean, var = (flat.pop(("batch_stats", *norm, name)) for name in ("mean", "var"))
        factor = flat.pop(path) / np.sqrt(var + epsilon)
        flat[kernel] = flat[kernel] * factor
        bias = ("params", *norm, "bias")
        flat[bias] = flat[bias] - mean * factor
    return flax.traverse_util.unflatten_dict(flat)
