"""Random weights by name, the same for torch and for Flax, and the images they are tried on."""

import zlib

import numpy as np

BATCH, SIDE = 8, 64


def array(name: str, shape: tuple[int, ...], *, seed: int = 0) -> np.ndarray:
    """Returns the weight of a torch name and shape: plausible, so that no activation explodes."""
    rng = np.random.default_rng(zlib.crc32(name.encode()) + seed)
    if len(shape) > 1:
        fan_in = np.prod(shape[1:])
        return (rng.normal(size=shape) * np.sqrt(1.5 / fan_in)).astype(np.float32)
    if name.endswith(("running_var", "weight")):
        return rng.uniform(0.5, 1.2, shape).astype(np.float32)
    return (0.1 * rng.normal(size=shape)).astype(np.float32)


def images(*, seed: int = 0) -> np.ndarray:
    """Returns uint8 [BATCH, SIDE, SIDE, 3]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (BATCH, SIDE, SIDE, 3), np.uint8)
