"""MobileNet V3, small and large, with torchvision's arithmetic.

The features are those of the last convolution, pooled: 576 or 960 of them. The layer that both
libraries put after the pooling belongs to the classifier.

References:
    Howard et al., Searching for MobileNetV3, 2019.
"""

import functools
from collections.abc import Sequence

import jax

from simsearch.models import backbone, inverted

_STEM_FEATURES = 16
_EPSILON = 1e-3
# (stage, kernel side, expanded, features, squeeze-and-excitation, hard swish, stride)
_LARGE = (
    (0, 3, 16, 16, False, False, 1),
    (1, 3, 64, 24, False, False, 2),
    (1, 3, 72, 24, False, False, 1),
    (2, 5, 72, 40, True, False, 2),
    (2, 5, 120, 40, True, False, 1),
    (2, 5, 120, 40, True, False, 1),
    (3, 3, 240, 80, False, True, 2),
    (3, 3, 200, 80, False, True, 1),
    (3, 3, 184, 80, False, True, 1),
    (3, 3, 184, 80, False, True, 1),
    (3, 3, 480, 112, True, True, 1),
    (3, 3, 672, 112, True, True, 1),
    (4, 5, 672, 160, True, True, 2),
    (4, 5, 960, 160, True, True, 1),
    (4, 5, 960, 160, True, True, 1),
)
_SMALL = (
    (1, 3, 16, 16, True, False, 2),
    (2, 3, 72, 24, False, False, 2),
    (2, 3, 88, 24, False, False, 1),
    (3, 5, 96, 40, True, True, 2),
    (3, 5, 240, 40, True, True, 1),
    (3, 5, 240, 40, True, True, 1),
    (3, 5, 120, 48, True, True, 1),
    (3, 5, 144, 48, True, True, 1),
    (4, 5, 288, 96, True, True, 2),
    (4, 5, 576, 96, True, True, 1),
    (4, 5, 576, 96, True, True, 1),
)


def _blocks(rows: Sequence[tuple]) -> tuple[inverted.BlockSpec, ...]:
    blocks, inputs = [], _STEM_FEATURES
    for stage, kernel_size, expanded, features, squeeze, hard_swish, stride in rows:
        activation = jax.nn.hard_swish if hard_swish else jax.nn.relu
        squeezed = _multiple_of_8(expanded / 4) if squeeze else 0
        blocks.append(
            inverted.BlockSpec(
                stage, inputs, expanded, features, kernel_size, stride, activation, squeezed
            )
        )
        inputs = features
    return tuple(blocks)


def _multiple_of_8(channels: float) -> int:
    """Returns the nearest multiple of 8, at least 8, and not under nine tenths of `channels`."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def torchvision_name(path: tuple[str, ...], *, blocks: Sequence[inverted.BlockSpec]) -> str:
    """Returns the name in torchvision's state dictionary of a module.

    Args:
        path: Names of the modules from the backbone down, such as ("stage1_block0", "expand_conv").
        blocks: Table of the blocks.
    """
    place = inverted.places(blocks).get(path[0])
    if place is None:
        layer = 0 if path[0].startswith("stem") else len(blocks) + 1
        return f"features.{layer}.{int(path[0].endswith('norm'))}"
    return f"features.{place.index + 1}.{inverted.torchvision_step(path[1], place.spec)}"


def _backbone(rows: Sequence[tuple], last_features: int, imagenet: str) -> backbone.Backbone:
    blocks = _blocks(rows)
    return backbone.Backbone(
        functools.partial(
            inverted.InvertedResidualNet,
            blocks,
            _STEM_FEATURES,
            last_features,
            jax.nn.hard_swish,
            gate=jax.nn.hard_sigmoid,
            epsilon=_EPSILON,
            momentum=0.99,
        ),
        (
            functools.partial(torchvision_name, blocks=blocks),
            functools.partial(inverted.timm_name, blocks=blocks, last_row=True),
        ),
        imagenet,
        backbone.Preprocessing(interpolation="bicubic"),
        can_pad_same=True,
        timm_variance_shift=1e-5 - _EPSILON,
        norm_epsilon=_EPSILON,
    )


BACKBONES = {
    "mobilenet_v3_small": _backbone(_SMALL, 576, "timm/mobilenetv3_small_100.lamb_in1k"),
    "mobilenet_v3_large": _backbone(_LARGE, 960, "timm/mobilenetv3_large_100.ra_in1k"),
}
