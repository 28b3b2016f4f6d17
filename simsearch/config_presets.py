"""What `augment.preset` stands for: values of the fields that were not set one by one."""

import types
from collections.abc import Mapping
from typing import Any

_OFF = {
    "crop_scale_min": 1.0,
    "crop_ratio_max": 1.0,
    "horizontal_flip": 0.0,
    "rotation_degrees": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "saturation": 0.0,
    "hue": 0.0,
}
_LIGHT = {
    "crop_scale_min": 0.3,
    "crop_ratio_max": 1.33,
    "horizontal_flip": 0.5,
    "rotation_degrees": 15.0,
    "brightness": 0.2,
    "contrast": 0.2,
    "saturation": 0.2,
    "hue": 0.0,
}
AUGMENT = types.MappingProxyType({"none": _OFF, "light": _LIGHT, "custom": _OFF})


def resolve(values: Any) -> Any:
    """Returns a configuration's groups with the preset's value for each field that is None.

    A value that was set wins over the preset's; a preset that does not exist is left for the
    checks to tell.

    Args:
        values: Mapping from group to field to value; anything else comes back as it is.
    """
    augment = values.get("augment") if isinstance(values, Mapping) else None
    if not isinstance(augment, Mapping):
        return values
    preset = AUGMENT.get(augment.get("preset"), _OFF)
    resolved = {
        name: preset.get(name) if value is None else value for name, value in augment.items()
    }
    return {**values, "augment": resolved}
