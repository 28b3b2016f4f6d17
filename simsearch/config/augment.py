"""The `augment` group: types and ranges of its fields, and what its presets stand for."""

import dataclasses
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from simsearch.config import checks
from simsearch.config.checks import Count, Fraction, NonNegative


@dataclasses.dataclass(frozen=True)
class Augment:
    """Random changes to a training image; what is not set is the preset's."""

    preset: Literal["none", "light", "trivial", "rand", "custom"]
    crop_scale_min: Annotated[float, checks.Range(above=0, at_most=1)]
    crop_ratio_max: Annotated[float, checks.Range(at_least=1)]
    horizontal_flip: Fraction
    rotation_degrees: Annotated[float, checks.Range(at_least=0, at_most=180)]
    brightness: Fraction
    contrast: Fraction
    saturation: Fraction
    hue: Annotated[float, checks.Range(at_least=0, at_most=0.5)]
    policy: Literal["none", "trivial", "rand"]
    policy_num_ops: Count
    policy_magnitude: Annotated[int, checks.Range(at_least=0, at_most=30)]
    policy_shear: Fraction
    policy_translate: Fraction
    policy_degrees: Annotated[float, checks.Range(at_least=0, at_most=180)]
    policy_enhance: Fraction
    policy_posterize_bits: Annotated[int, checks.Range(at_least=0, at_most=8)]
    erase_probability: Fraction
    erase_area_min: Fraction
    erase_area_max: Fraction
    erase_ratio_max: Annotated[float, checks.Range(at_least=1)]
    mixup_alpha: NonNegative


_NONE = {
    "crop_scale_min": 1.0,
    "crop_ratio_max": 1.0,
    "horizontal_flip": 0.0,
    "rotation_degrees": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "saturation": 0.0,
    "hue": 0.0,
    "policy": "none",
}
_CROP = _NONE | {"crop_scale_min": 0.2, "crop_ratio_max": 1.33, "horizontal_flip": 0.5}
_LIGHT = _CROP | {
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.3,
}
AUGMENT = types.MappingProxyType(
    {
        "none": _NONE,
        "light": _LIGHT,
        "trivial": _CROP | {"policy": "trivial"},
        "rand": _CROP | {"policy": "rand"},
        "custom": _NONE,
    }
)
# torchvision's strengths, 32 pixels as a share of a side of 224. TrivialAugment's are its paper's
# ranges; RandAugment's paper means 9 of 10, which torchvision reads as 9 of 30.
POLICIES = types.MappingProxyType(
    {
        "none": {
            "policy_num_ops": 0,
            "policy_magnitude": 0,
            "policy_shear": 0.0,
            "policy_translate": 0.0,
            "policy_degrees": 0.0,
            "policy_enhance": 0.0,
            "policy_posterize_bits": 0,
        },
        "trivial": {
            "policy_num_ops": 1,
            "policy_magnitude": 30,
            "policy_shear": 0.99,
            "policy_translate": 32 / 224,
            "policy_degrees": 135.0,
            "policy_enhance": 0.99,
            "policy_posterize_bits": 6,
        },
        "rand": {
            "policy_num_ops": 2,
            "policy_magnitude": 9,
            "policy_shear": 0.3,
            "policy_translate": 150 / 331,
            "policy_degrees": 30.0,
            "policy_enhance": 0.9,
            "policy_posterize_bits": 4,
        },
    }
)

# Fields that may be left to the preset, which None does.
OPEN = frozenset(f"augment.{name}" for name in (*_NONE, *POLICIES["none"]))


def resolve(values: Any) -> Any:
    """Returns a configuration's groups with a value for each augmentation field that is None.

    The preset gives it, and the strengths of the policy that is then in force give the rest. A
    value that was set wins; a preset or policy that does not exist is left for the checks to tell.

    Args:
        values: Mapping from group to field to value; anything else comes back as it is.
    """
    augment = values.get("augment") if isinstance(values, Mapping) else None
    if not isinstance(augment, Mapping):
        return values
    resolved = _filled(augment, AUGMENT.get(augment.get("preset"), _NONE))
    strengths = POLICIES.get(resolved.get("policy"), POLICIES["none"])
    return {**values, "augment": _filled(resolved, strengths)}


def _filled(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {name: defaults.get(name) if v is None else v for name, v in values.items()}


def contradictions(augment: Augment) -> Iterator[str]:
    """Yields what is wrong between fields that are each right."""
    if augment.erase_area_min > augment.erase_area_max:
        yield (
            f"augment.erase_area_min={augment.erase_area_min} must be at most "
            f"augment.erase_area_max={augment.erase_area_max}"
        )
