"""Writes golden_timm.json: timm's names and shapes, and how its checkpoints' images are made ready.

    pip install torch==2.13.0 numpy && pip install --no-deps torchvision timm
    python -m tests.models.make_golden_timm

torchvision's operators are declared as `tests/models/torch_peer.py` says.
"""

import json
import pathlib

from simsearch.models import catalog
from tests.models import torch_peer

_KEPT = (
    *("input_size", "test_input_size", "interpolation", "crop_pct", "test_crop_pct"),
    *("crop_mode", "mean", "std"),
)


def golden(timm, backbone: str) -> dict:
    """Returns what timm says of the checkpoint that a backbone's ImageNet weights are."""
    model_name, _, tag = catalog.find(backbone).imagenet.removeprefix("timm/").partition(".")
    model = timm.create_model(model_name)
    shapes = {
        name: tuple(value.shape)
        for name, value in model.state_dict().items()
        if value.ndim and not name.startswith(("fc.", "classifier."))
    }
    if "mobilenetv3" in model_name:
        # After the pooling: a part of the classifier, as in torchvision.
        shapes = {name: shape for name, shape in shapes.items() if not name.startswith("conv_head")}
    facts = timm.models.get_pretrained_cfg(f"{model_name}.{tag}").to_dict()
    return {
        "model": model_name,
        "tag": tag,
        "digest": torch_peer.digest(shapes),
        "config": {
            "architecture": model_name,
            "pretrained_cfg": {name: facts[name] for name in _KEPT if name in facts},
        },
    }


if __name__ == "__main__":
    module = torch_peer.load("timm")
    values = {"timm": module.__version__}
    values["backbones"] = {name: golden(module, name) for name in catalog.NAMES}
    path = pathlib.Path(__file__).with_name("golden_timm.json")
    path.write_text(json.dumps(values) + "\n")
