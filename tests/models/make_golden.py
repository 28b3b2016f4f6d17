"""Writes golden.json: what torchvision computes with random weights, for every backbone.

    pip install torch==2.13.0 numpy pillow && pip install --no-deps torchvision
    python tests/models/make_golden.py

Where torchvision's compiled operators do not load beside a CPU-only torch, put a module that
declares them first on PYTHONPATH and name it in TORCHVISION_SHIM.
"""

import importlib
import json
import os
import pathlib
import sys

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import random_weights

if shim := os.environ.get("TORCHVISION_SHIM"):
    importlib.import_module(shim)
import torchvision

BACKBONES = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "efficientnet_v2_s",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "mobilenet_v2",
)
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def create(backbone: str) -> torch.nn.Module:
    """Returns a model that ends with the pooled features, its weights random by name."""
    # What is left out at random cannot be compared.
    options = {"stochastic_depth_prob": 0.0} if "efficientnet" in backbone else {}
    model = getattr(torchvision.models, backbone)(**options)
    state = {
        name: torch.from_numpy(random_weights.array(name, tuple(value.shape)))
        for name, value in model.state_dict().items()
        if value.ndim
    }
    model.load_state_dict(state, strict=False)
    setattr(model, "fc" if hasattr(model, "fc") else "classifier", torch.nn.Identity())
    # In double precision, so that only one side of the comparison rounds.
    return model.double()


def golden(backbone: str) -> dict:
    """Returns the features of each image in eval mode, and after one forward in training mode."""
    model = create(backbone)
    images = torch.from_numpy(random_weights.images()).permute(0, 3, 1, 2).double() / 255
    pixels = (images - MEAN) / STD
    with torch.no_grad():
        evaluated = model.eval()(pixels).numpy()
        trained = model.train()(pixels).numpy()
    statistics = {
        name: value.numpy()[:3].tolist()
        for name, value in model.state_dict().items()
        if "running_" in name
    }
    # The last statistics depend on all before them; a few of each kind keep the file small.
    kept = dict(list(statistics.items())[:2] + list(statistics.items())[-4:])
    return {"eval": summary(evaluated), "train": summary(trained), "statistics": kept}


def summary(features: np.ndarray) -> dict:
    """Returns a few features of each image and their norm, which sees all of them."""
    return {
        "first": features[:, :8].tolist(),
        "norm": np.linalg.norm(features, axis=1).tolist(),
        "largest": np.abs(features).max(axis=1).tolist(),
    }


if __name__ == "__main__":
    values = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    values["backbones"] = {backbone: golden(backbone) for backbone in BACKBONES}
    path = pathlib.Path(__file__).with_name("golden.json")
    path.write_text(json.dumps(values) + "\n")
