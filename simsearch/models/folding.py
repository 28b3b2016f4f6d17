"""BatchNorm with running statistics as part of the convolution before it."""

from typing import Any

import flax.traverse_util


def fold_batch_norm(variables: Any, *, epsilon: float) -> dict[str, Any]:
    """Returns variables whose output is the same, with less to compute.

    A BatchNorm's factor is multiplied into the kernel of the convolution before it, and its shift
    stays as the bias. One that follows no convolution, as in a head, is left as it is.

    Args:
        variables: `params` and, with BatchNorm, `batch_stats`, of a network or a part of one. Of
            NumPy arrays nothing is compiled.
        epsilon: Of the BatchNorms.

    Returns:
        The same tree without the scales and the statistics that were folded, which training with
        the batch's statistics would need.
    """
    flat = flax.traverse_util.flatten_dict(variables)
    for path in [path for path in flat if path[0] == "params" and path[-1] == "scale"]:
        norm = path[1:-1]
        kernel = ("params", *norm[:-1], norm[-1].replace("norm", "conv"), "kernel")
        if kernel not in flat:
            continue
        mean, var = (flat.pop(("batch_stats", *norm, name)) for name in ("mean", "var"))
        factor = flat.pop(path) / (var + epsilon) ** 0.5
        flat[kernel] = flat[kernel] * factor
        bias = ("params", *norm, "bias")
        flat[bias] = flat[bias] - mean * factor
    return flax.traverse_util.unflatten_dict(flat)
