"""How stored configurations looked before: fields that moved, and what was done without one."""

import types
from typing import Any

# What was done before there were these fields, where it is not today's default.
BEFORE = types.MappingProxyType(
    {
        "data": {
            "drop_duplicates": False,
            "interpolation": "bilinear",
            "image_mean": (0.485, 0.456, 0.406),
            "image_std": (0.229, 0.224, 0.225),
        },
        "augment": {"preset": "light"},
        "model": {"padding": "torch", "discriminant": False},
        "optimizer": {"backbone_multiplier": 1.0},
        "train": {"patience": 0, "ema_decay": 0.0},
    }
)


def with_moved_fields(values: Any) -> Any:
    """Returns a stored configuration with fields where they stand today.

    The triplet loss was the only one, and its options stood in the group `loss` itself.

    Args:
        values: What the JSON text holds; anything but a mapping is left to the checks.
    """
    loss = values.get("loss") if isinstance(values, dict) else None
    if not isinstance(loss, dict) or "name" not in loss:
        return values
    options = {name: value for name, value in loss.items() if name != "name"}
    return values | {"loss": {"terms": {loss["name"]: 1.0}, loss["name"]: options}}


def defaults(today: dict[str, Any]) -> dict[str, Any]:
    """Returns the values of fields that a stored configuration lacks.

    Args:
        today: The values of `configs/train.py`.
    """
    changed = {group: fields | BEFORE.get(group, {}) for group, fields in today.items()}
    # A loss that a version does not know had no weight in it, whatever it has today.
    changed["loss"]["terms"] = dict.fromkeys(changed["loss"]["terms"], 0.0)
    return changed
