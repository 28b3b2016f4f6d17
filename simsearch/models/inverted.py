"""Trunks of inverted residual blocks: what MobileNet V2, V3 and EfficientNet V2 have in common.

A family is a table of blocks, a few choices (`InvertedResidualNet`) and its names in torch.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from simsearch.models import folding, layers
from simsearch.models.cpu import chunks, materialise

Activation = Callable[[jax.Array], jax.Array]


class BlockSpec(NamedTuple):
    """One block of a family's table."""

    stage: int  # 0 is the stem, to 1/2 of the image's side; stages 1-4 go to 1/4, ... 1/32
    inputs: int  # channels that come in
    expanded: int  # channels in the middle
    features: int  # channels that go out
    kernel_size: int
    stride: int
    activation: Activation
    squeezed: int = 0  # channels of the squeeze-and-excitation; 0: none
    fused: bool = False  # one full convolution in place of expansion and depthwise

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of what the block does, in order."""
        names = (
            "fused" if self.fused else "expand" if self.expanded != self.inputs else "",
            "" if self.fused else "depthwise",
            "squeeze" if self.squeezed else "",
            "" if self.fused and self.expanded == self.inputs else "project",
        )
        return tuple(name for name in names if name)


class InvertedResidualNet(nn.Module):
    """The trunk: stem, blocks, and a 1x1 convolution to the features; no classifier.

    Stochastic depth, with which torchvision trains EfficientNet, is left out.

    Attributes:
        blocks: Table of the blocks.
        stem_features: Channels of the stem's convolution.
        last_features: Channels of the last convolution.
        activation: Of the stem and the last convolution.
        squeeze_activation: Between the two layers of a squeeze-and-excitation.
        gate: After them.
        epsilon: Of BatchNorm.
        momentum: Of BatchNorm: the share of the old running statistics that a step keeps.
        same_padding: Whether convolutions pad as TensorFlow's do, and not as torch's.
        dtype: What it computes in.
        axis_name: The device axis that BatchNorm is synchronised over.
        freeze_batch_norm: Whether BatchNorm keeps its running statistics in training.
        num_frozen: Parts that are not trained, from the input on: 1 is the stem, 5 is all.
    """

    blocks: tuple[BlockSpec, ...]
    stem_features: int
    last_features: int
    activation: Activation
    squeeze_activation: Activation = nn.relu
    gate: Activation = nn.sigmoid
    epsilon: float = 1e-5
    momentum: float = 0.9
    same_padding: bool = False
    dtype: Any = jnp.float32
    axis_name: str | None = None
    freeze_batch_norm: bool = False
    num_frozen: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Returns the feature map of normalised images [B, H, W, 3], as [B, H / 32, W / 32, C]."""
        conv = functools.partial(layers.Conv, dtype=self.dtype, same_padding=self.same_padding)
        stem = conv(self.stem_features, 3, stride=2, name="stem_conv")
        norm = self._norm(0)(name="stem_norm")
        x = self.activation(layers.conv_norm(stem, norm, x, train=train))
        stage = 0
        for name, block in zip(module_names(self.blocks), self.blocks, strict=True):
            if block.stage != stage:
                stage = block.stage
                if self.num_frozen >= stage:
                    # Nothing before this stage is trained: its backward pass is not computed.
                    x = jax.lax.stop_gradient(x)
            make = functools.partial(Block, block, self.squeeze_activation, self.gate)
            module = make(conv, self._norm(stage), self.dtype, name=name)
            x = chunks.apply(
                module,
                x,
                widest=x.shape[1] * x.shape[2] * block.expanded,
                train=train,
                independent=self._is_independent(stage, train=train),
                prepare=functools.partial(folding.fold_batch_norm, epsilon=self.epsilon),
            )
        last = conv(self.last_features, 1, name=f"stage{stage}_conv")
        norm = self._norm(stage)(name=f"stage{stage}_norm")
        x = self.activation(layers.conv_norm(last, norm, x, train=train))
        return jax.lax.stop_gradient(x) if self.num_frozen > stage else x

    def _is_independent(self, part: int, *, train: bool) -> bool:
        return self._is_frozen(part) if train else not layers.is_observed(self)

    def _is_frozen(self, part: int) -> bool:
        return self.freeze_batch_norm or part < self.num_frozen

    def _norm(self, part: int) -> Callable[..., nn.Module]:
        return functools.partial(
            layers.BatchNorm,
            axis_name=self.axis_name,
            frozen=self._is_frozen(part),
            momentum=self.momentum,
            epsilon=self.epsilon,
            dtype=self.dtype,
        )


class Block(nn.Module):
    """One inverted residual block: narrow in, wide in the middle, narrow out.

    Attributes:
        spec: Its row of the table.
        squeeze_activation: Between the two layers of the squeeze-and-excitation.
        gate: After them.
        conv: Makes a convolution.
        norm: Makes a BatchNorm.
        dtype: What it computes in.

    References:
        Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018.
    """

    spec: BlockSpec
    squeeze_activation: Activation
    gate: Activation
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Returns the block's output for a feature map [B, H, W, C]."""
        spec = self.spec
        # (channels, kernel side, stride, groups) of each convolution
        convolutions = {
            "expand": (spec.expanded, 1, 1, 1),
            "depthwise": (spec.expanded, spec.kernel_size, spec.stride, spec.expanded),
            "fused": (spec.expanded, spec.kernel_size, spec.stride, 1),
            "project": (spec.features, 1, 1, 1),
        }
        out = x
        for step in spec.steps:
            if step == "squeeze":
                out = self._squeeze_and_excite(out)
                continue
            conv = self.conv(*convolutions[step], name=f"{step}_conv")
            out = layers.conv_norm(conv, self.norm(name=f"{step}_norm"), out, train=train)
            if step == "expand" and spec.stride == 1:
                # Of a map that is not made smaller, the product costs more than the memory.
                out = chunks.keep(out)
            if step != "project":
                out = spec.activation(out)
        return materialise.materialise(x + out) if x.shape == out.shape else out

    def _squeeze_and_excite(self, x: jax.Array) -> jax.Array:
        """Returns x [B, H, W, C] with each channel weighed by what all pixels say of it.

        References:
            Hu et al., Squeeze-and-Excitation Networks, 2018.
        """
        spec = self.spec
        means = jnp.mean(x, axis=(1, 2), dtype=jnp.float32).astype(self.dtype)
        hidden = nn.Dense(spec.squeezed, dtype=self.dtype, name="squeeze")(means)
        hidden = self.squeeze_activation(hidden)
        weights = self.gate(nn.Dense(spec.expanded, dtype=self.dtype, name="excite")(hidden))
        return x * weights[:, None, None]


def module_names(blocks: Sequence[BlockSpec]) -> list[str]:
    """Returns the names of the blocks' modules, such as "stem_block0" or "stage3_block1"."""
    counts, names = dict.fromkeys(range(5), 0), []
    for block in blocks:
        part = f"stage{block.stage}" if block.stage else "stem"
        names.append(f"{part}_block{counts[block.stage]}")
        counts[block.stage] += 1
    return names


class Place(NamedTuple):
    """Where a block stands, as torch's names count it."""

    spec: BlockSpec
    index: int  # among all blocks
    row: int  # a row is a run of blocks of one number of features
    index_in_row: int


def places(blocks: Sequence[BlockSpec]) -> dict[str, Place]:
    """Returns the place of each block by the name of its module."""
    found, row, index_in_row = {}, 0, 0
    for index, (name, block) in enumerate(zip(module_names(blocks), blocks, strict=True)):
        if index and block.features != blocks[index - 1].features:
            row, index_in_row = row + 1, 0
        found[name] = Place(block, index, row, index_in_row)
        index_in_row += 1
    return found


def timm_name(path: tuple[str, ...], *, blocks: Sequence[BlockSpec], last_row: bool) -> str:
    """Returns the name in timm's state dictionaries of a module.

    Args:
        path: Names of the modules from the backbone down, such as ("stage1_block0", "expand_conv").
        blocks: Table of the family's blocks.
        last_row: Whether the last convolution is a row of its own, as in MobileNet V3.
    """
    place = places(blocks).get(path[0])
    if place is None:
        row = places(blocks)[module_names(blocks)[-1]].row + 1
        last = (f"blocks.{row}.0.conv", f"blocks.{row}.0.bn1") if last_row else ("conv_head", "bn2")
        names = {"stem_conv": "conv_stem", "stem_norm": "bn1"}
        return names.get(path[0]) or last[path[0].endswith("norm")]
    spec = place.spec
    convolutions = [step for step in spec.steps if step != "squeeze"]
    names = {
        "squeeze": "se.conv_reduce",
        "excite": "se.conv_expand",
        "expand_conv": "conv_pw",
        "depthwise_conv": "conv_dw",
        "fused_conv": "conv_exp" if "project" in spec.steps else "conv",
        "project_conv": "conv_pwl" if convolutions[0] in ("expand", "fused") else "conv_pw",
    }
    names |= {f"{step}_norm": f"bn{i}" for i, step in enumerate(convolutions, start=1)}
    return f"blocks.{place.row}.{place.index_in_row}.{names[path[1]]}"


def torchvision_step(module: str, spec: BlockSpec) -> str:
    """Returns the end of a name in torchvision's MobileNet V3 and EfficientNet V2.

    Args:
        module: Name of a module of the block, such as "expand_conv".
        spec: The block.
    """
    if module in ("squeeze", "excite"):
        layer = {"squeeze": "fc1", "excite": "fc2"}[module]
        return f"block.{spec.steps.index('squeeze')}.{layer}"
    step, kind = module.split("_")
    return f"block.{spec.steps.index(step)}.{int(kind == 'norm')}"
