"""MobileNet V2, with torchvision's arithmetic.

References:
    Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018.
"""

import functools

import jax

from simsearch.models import backbone, inverted

_STEM_FEATURES = 32
# (stage, expansion, features, blocks, stride of the first)
_ROWS = (
    (0, 1, 16, 1, 1),
    (1, 6, 24, 2, 2),
    (2, 6, 32, 3, 2),
    (3, 6, 64, 4, 2),
    (3, 6, 96, 3, 1),
    (4, 6, 160, 3, 2),
    (4, 6, 320, 1, 1),
)


def _blocks() -> tuple[inverted.BlockSpec, ...]:
    blocks, inputs = [], _STEM_FEATURES
    for stage, expansion, features, count, stride in _ROWS:
        for index in range(count):
            step = stride if index == 0 else 1
            blocks.append(
                inverted.BlockSpec(
                    stage, inputs, expansion * inputs, features, 3, step, jax.nn.relu6
                )
            )
            inputs = features
    return tuple(blocks)


_BLOCKS = _blocks()


def torchvision_name(path: tuple[str, ...]) -> str:
    """Returns the name in torchvision's state dictionary of a module.

    Args:
        path: Names of the modules from the backbone down, such as ("stage1_block0", "expand_conv").
    """
    place = inverted.places(_BLOCKS).get(path[0])
    if place is None:
        layer = 0 if path[0].startswith("stem") else len(_BLOCKS) + 1
        return f"features.{layer}.{int(path[0].endswith('norm'))}"
    step, kind = path[1].split("_")
    index, is_norm = place.spec.steps.index(step), int(kind == "norm")
    # The last convolution and its norm are not wrapped together as the others are.
    within = f"{index + is_norm}" if step == "project" else f"{index}.{is_norm}"
    return f"features.{place.index + 1}.conv.{within}"


BACKBONES = {
    "mobilenet_v2": backbone.Backbone(
        functools.partial(
            inverted.InvertedResidualNet, _BLOCKS, _STEM_FEATURES, 1280, jax.nn.relu6
        ),
        (
            torchvision_name,
            functools.partial(inverted.timm_name, blocks=_BLOCKS, last_row=False),
        ),
        "timm/mobilenetv2_100.ra_in1k",
        backbone.Preprocessing(interpolation="bicubic"),
        can_pad_same=True,
    )
}
