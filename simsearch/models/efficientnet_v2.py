"""EfficientNet V2 S, with torchvision's arithmetic.

References:
    Tan and Le, EfficientNetV2: Smaller Models and Faster Training, 2021.
"""

import functools

import jax

from simsearch.models import backbone, inverted

_STEM_FEATURES = 24
_EPSILON = 1e-3
# (stage, fused, expansion, features, blocks, stride of the first)
_ROWS = (
    (0, True, 1, 24, 2, 1),
    (1, True, 4, 48, 4, 2),
    (2, True, 4, 64, 4, 2),
    (3, False, 4, 128, 6, 2),
    (3, False, 6, 160, 9, 1),
    (4, False, 6, 256, 15, 2),
)


def _blocks() -> tuple[inverted.BlockSpec, ...]:
    blocks, inputs = [], _STEM_FEATURES
    for stage, fused, expansion, features, count, stride in _ROWS:
        for index in range(count):
            blocks.append(
                inverted.BlockSpec(
                    stage,
                    inputs,
                    expansion * inputs,
                    features,
                    kernel_size=3,
                    stride=stride if index == 0 else 1,
                    activation=jax.nn.silu,
                    squeezed=0 if fused else inputs // 4,
                    fused=fused,
                )
            )
            inputs = features
    return tuple(blocks)


_BLOCKS = _blocks()


def torchvision_name(path: tuple[str, ...]) -> str:
    """Returns the name in torchvision's state dictionary of a module.

    Args:
        path: Names of the modules from the backbone down, such as ("stage1_block0", "fused_conv").
    """
    place = inverted.places(_BLOCKS).get(path[0])
    if place is None:
        layer = 0 if path[0].startswith("stem") else len(_ROWS) + 1
        return f"features.{layer}.{int(path[0].endswith('norm'))}"
    step = inverted.torchvision_step(path[1], place.spec)
    return f"features.{place.row + 1}.{place.index_in_row}.{step}"


BACKBONES = {
    "efficientnet_v2_s": backbone.Backbone(
        functools.partial(
            inverted.InvertedResidualNet,
            _BLOCKS,
            _STEM_FEATURES,
            1280,
            jax.nn.silu,
            squeeze_activation=jax.nn.silu,
            epsilon=_EPSILON,
        ),
        (
            torchvision_name,
            functools.partial(inverted.timm_name, blocks=_BLOCKS, last_row=False),
        ),
        # Ported from TensorFlow by timm; torchvision's own is on no hub.
        "timm/tf_efficientnetv2_s.in1k",
        backbone.Preprocessing(
            image_mean=(0.5, 0.5, 0.5),
            image_std=(0.5, 0.5, 0.5),
            image_size=384,
            crop_ratio=1.0,
            interpolation="bicubic",
            same_padding=True,
        ),
        norm_epsilon=_EPSILON,
        torchvision=backbone.Preprocessing(image_size=384, crop_ratio=1.0),
        can_pad_same=True,
    )
}
