"""ResNet, ResNeXt and Wide ResNet, with torchvision's arithmetic and names one step away.

References:
    He et al., Deep Residual Learning for Image Recognition, 2016; the stride of a bottleneck is in
    its 3x3 convolution (v1.5), as torchvision has it.
    Xie et al., Aggregated Residual Transformations for Deep Neural Networks, 2017.
    Zagoruyko and Komodakis, Wide Residual Networks, 2016.
"""

import functools
import re
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from simsearch.models import backbone, layers
from simsearch.models.cpu import materialise, max_pool


class ResNet(nn.Module):
    """The trunk of a residual network: stem and four stages, no classifier.

    Attributes:
        stage_sizes: Blocks of each stage.
        bottleneck: Whether blocks are 1x1, 3x3, 1x1 (else two 3x3).
        groups: Groups of a bottleneck's 3x3 convolution.
        base_width: Channels of a group in the first stage's bottleneck.
        dtype: What it computes in.
        axis_name: The device axis that BatchNorm is synchronised over.
        freeze_batch_norm: Whether BatchNorm keeps its running statistics in training.
        num_frozen: Parts that are not trained, from the input on: 1 is the stem, 5 is all.
    """

    stage_sizes: tuple[int, ...]
    bottleneck: bool = True
    groups: int = 1
    base_width: int = 64
    dtype: Any = jnp.float32
    axis_name: str | None = None
    freeze_batch_norm: bool = False
    num_frozen: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Returns the feature map of normalised images [B, H, W, 3], as [B, H / 32, W / 32, C]."""
        stem = layers.Conv(64, 7, stride=2, dtype=self.dtype, name="stem_conv")
        x = nn.relu(layers.conv_norm(stem, self._norm(0)(name="stem_norm"), x, train=train))
        x = max_pool.max_pool(x)
        for stage, num_blocks in enumerate(self.stage_sizes, start=1):
            if self.num_frozen >= stage:
                # Nothing before this stage is trained: its backward pass is not computed.
                x = jax.lax.stop_gradient(x)
            for block in range(num_blocks):
                x = Block(
                    features=64 * 2 ** (stage - 1),
                    stride=2 if stage > 1 and block == 0 else 1,
                    bottleneck=self.bottleneck,
                    groups=self.groups,
                    base_width=self.base_width,
                    dtype=self.dtype,
                    norm=self._norm(stage),
                    name=f"stage{stage}_block{block}",
                )(x, train=train)
        return jax.lax.stop_gradient(x) if self.num_frozen > backbone.NUM_STAGES else x

    def _norm(self, part: int) -> Callable[..., nn.Module]:
        return functools.partial(
            layers.BatchNorm,
            axis_name=self.axis_name,
            frozen=self.freeze_batch_norm or part < self.num_frozen,
            dtype=self.dtype,
        )


class Block(nn.Module):
    """One residual block; attributes as of `ResNet`, `norm` makes its BatchNorms."""

    features: int
    stride: int
    bottleneck: bool
    groups: int
    base_width: int
    dtype: Any
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Returns the block's output for a feature map [B, H, W, C]."""
        width = self.features * self.base_width // 64 * self.groups
        if self.bottleneck:
            # (channels, kernel side, stride, groups) of each convolution
            convolutions = (
                (width, 1, 1, 1),
                (width, 3, self.stride, self.groups),
                (4 * self.features, 1, 1, 1),
            )
        else:
            convolutions = ((self.features, 3, self.stride, 1), (self.features, 3, 1, 1))
        out = x
        for i, (channels, side, stride, groups) in enumerate(convolutions, start=1):
            conv = layers.Conv(channels, side, stride, groups, self.dtype, name=f"conv{i}")
            out = layers.conv_norm(conv, self.norm(name=f"norm{i}"), out, train=train)
            if i < len(convolutions):
                out = nn.relu(out)
        if x.shape != out.shape:
            shortcut = layers.Conv(
                out.shape[-1], 1, self.stride, dtype=self.dtype, name="downsample_conv"
            )
            norm = self.norm(name="downsample_norm")
            x = layers.conv_norm(shortcut, norm, x, train=train)
        return materialise.materialise(nn.relu(x + out))


def torch_name(path: tuple[str, ...]) -> str:
    """Returns the name in torchvision's and timm's state dictionaries of a module.

    Args:
        path: Names of the modules from the backbone down, such as ("stage1_block0", "conv2").
    """
    if path[0].startswith("stem_"):
        return {"stem_conv": "conv1", "stem_norm": "bn1"}[path[0]]
    stage, block = re.fullmatch(r"stage(\d+)_block(\d+)", path[0]).groups()
    names = {"downsample_conv": "downsample.0", "downsample_norm": "downsample.1"}
    module = names.get(path[1], path[1].replace("norm", "bn"))
    return f"layer{stage}.{block}.{module}"


def _backbone(trunk: Callable[..., nn.Module], imagenet: str) -> backbone.Backbone:
    preprocessing = backbone.Preprocessing()
    if ".tv2_" in imagenet:  # torchvision's second recipe crops less
        preprocessing = preprocessing._replace(crop_ratio=0.965)
    return backbone.Backbone(trunk, (torch_name,), imagenet, preprocessing)


_BASIC = functools.partial(ResNet, bottleneck=False)
BACKBONES = {
    "resnet18": _backbone(functools.partial(_BASIC, (2, 2, 2, 2)), "timm/resnet18.tv_in1k"),
    "resnet34": _backbone(functools.partial(_BASIC, (3, 4, 6, 3)), "timm/resnet34.tv_in1k"),
    "resnet50": _backbone(functools.partial(ResNet, (3, 4, 6, 3)), "timm/resnet50.tv2_in1k"),
    "resnet101": _backbone(functools.partial(ResNet, (3, 4, 23, 3)), "timm/resnet101.tv2_in1k"),
    "resnet152": _backbone(functools.partial(ResNet, (3, 8, 36, 3)), "timm/resnet152.tv2_in1k"),
    "resnext50_32x4d": _backbone(
        functools.partial(ResNet, (3, 4, 6, 3), groups=32, base_width=4),
        "timm/resnext50_32x4d.tv2_in1k",
    ),
    "wide_resnet50_2": _backbone(
        functools.partial(ResNet, (3, 4, 6, 3), base_width=128), "timm/wide_resnet50_2.tv2_in1k"
    ),
}
