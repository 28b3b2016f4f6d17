"""torchvision and timm, as far as they are there: the independent implementations of the backbones.

torchvision's Python code works beside a CPU-only torch, but imports only where its compiled
operators are declared; `shared/peers` beside the repository has a module that does that.
"""

import hashlib
import importlib
import pathlib
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.models import random_weights

_PEERS = pathlib.Path(__file__).resolve().parents[3] / "shared" / "peers"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load(name: str) -> Any:
    """Returns the module "torch", "torchvision" or "timm"; skips the test where it is not there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Theirs, and not what is tested.
        try:
            if name != "torch" and _PEERS.is_dir() and "torchvision" not in sys.modules:
                sys.path.append(str(_PEERS))
                importlib.import_module("torchvision_cpu")
            return importlib.import_module(name)
        except (ImportError, RuntimeError) as error:
            pytest.skip(f"{name} cannot be imported: {error}")


def fill(model: Any, *, seed: int) -> None:
    """Gives a model's parameters and statistics random values, by name."""
    torch = load("torch")
    state = {
        name: torch.from_numpy(random_weights.array(name, tuple(value.shape), seed=seed))
        for name, value in model.state_dict().items()
        if value.ndim
    }
    model.load_state_dict(state, strict=False)


def features(
    model: Any,
    images: np.ndarray,
    *,
    train: bool,
    forward: Callable[[Any], Any] | None = None,
    is_double: bool = True,
) -> np.ndarray:
    """Returns a model's features of uint8 images [B, S, S, 3], L2-normalised.

    Args:
        model: The model.
        images: RGB.
        train: Whether its BatchNorm uses the batch's statistics and updates its own.
        forward: From pixels to features; None: the model itself.
        is_double: In double precision only one side of a comparison rounds; in single precision
            it tells how much rounding is.
    """
    torch = load("torch")
    (model.double() if is_double else model.float()).train(train)
    pixels = torch.from_numpy((images / 255 - np.array(MEAN)) / np.array(STD))
    pixels = pixels.to(torch.float64 if is_double else torch.float32).permute(0, 3, 1, 2)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = (forward or model)(pixels).numpy()
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns [O, I, H, W] of a kernel, also of a dense one, which is a 1x1 convolution there."""
    if len(shape) == 1:
        return tuple(shape)
    *side, inputs, features = shape
    return (features, inputs, *(side or (1, 1)))


def digest(shapes: dict[str, tuple[int, ...]]) -> str:
    """Returns a hex SHA-256 of names and shapes, whatever their order."""
    lines = (f"{name} {tuple(shape)}\n" for name, shape in sorted(shapes.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
