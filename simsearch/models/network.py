"""The embedding network: normalised pixels, one backbone or several, pooling, head, L2 norm."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from simsearch import errors, keys
from simsearch.models import backbone as backbone_lib
from simsearch.models import catalog, heads, layers, parts, pooling

_NORM_EPSILON = 1e-12
# Of first weights: counter-based, so that the numbers are the same on every kind of device.
RANDOM_GENERATOR = "threefry2x32"


class EmbeddingNetwork(nn.Module):
    """Images to L2-normalised embeddings.

    Attributes:
        make_backbone: Makes the trunk under a name.
        make_head: Makes the head under a name; None leaves the pooled features.
        pooling: "average", "max" or "gem".
        image_mean: Mean of each channel, RGB in [0, 1].
        image_std: Standard deviation of each channel.
        dtype: What the backbone computes in; all that follows is float32.
        num_backbones: Trunks side by side, whose features the head sees as one vector.
    """

    make_backbone: Callable[..., nn.Module]
    make_head: Callable[..., nn.Module] | None
    pooling: str
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]
    dtype: Any
    num_backbones: int = 1

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Returns the embeddings, float32 [B, D], of images, uint8 [B, S, S, 3].

        Args:
            images: RGB, as the data pipeline gives them.
            train: Whether BatchNorm uses the batch's statistics and updates its own.
        """
        mean, std = np.asarray(self.image_mean), np.asarray(self.image_std)
        scale, shift = (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)
        pixels = (images.astype(jnp.float32) * scale + shift).astype(self.dtype)
        features = []
        names = (parts.names_of(module, self.num_backbones) for module in parts.REPEATED)
        for trunk, pool in zip(*names, strict=True):
            x = self.make_backbone(name=trunk)(pixels, train=train)
            features.append(pooling.pool(x, self.pooling, name=pool))
        x = jnp.concatenate(features, axis=-1)
        if self.make_head is not None:
            x = self.make_head(name="head")(x, train=train)
        return unit(x)


def unit(x: jax.Array) -> jax.Array:
    """Returns vectors [B, D] divided by their length; a zero vector stays one."""
    # Under the root, so that the gradient is finite there too.
    return x * jax.lax.rsqrt(jnp.sum(x**2, -1, keepdims=True) + _NORM_EPSILON)


def create_network(
    *,
    backbone: str,
    embedding_size: int,
    head: str = "linear",
    pooling: str = "average",
    dtype: Any = jnp.float32,
    image_mean: tuple[float, ...] = backbone_lib.IMAGE_MEAN,
    image_std: tuple[float, ...] = backbone_lib.IMAGE_STD,
    same_padding: bool = False,
    axis_name: str | None = None,
    freeze_batch_norm: bool = False,
    freeze: str = "none",
    num_backbones: int = 1,
) -> EmbeddingNetwork:
    """Returns the network; its variables are `params` and `batch_stats`, backbone and head apart.

    Args:
        backbone: A name or a short name of the catalog.
        embedding_size: Dimensions D of the embedding, where there is a head.
        head: "linear", "mlp" or "none", which leaves the pooled features.
        pooling: "average", "max" or "gem".
        dtype: What the backbone computes in.
        image_mean: Mean of each channel, RGB in [0, 1].
        image_std: Standard deviation of each channel.
        same_padding: Whether the backbone pads as TensorFlow does; only those have it of which
            there are checkpoints trained so.
        axis_name: The device axis that BatchNorm is synchronised over.
        freeze_batch_norm: Whether the backbone's BatchNorm keeps its running statistics.
        freeze: What of the backbone is not trained: "none", "stem", a number of stages, "all".
        num_backbones: Backbones side by side, whose features the head sees as one vector.

    Raises:
        UsageError: Where there is no such backbone, no such part to freeze, or no such padding.
    """
    known = catalog.find(backbone)
    if same_padding and not known.can_pad_same:
        raise errors.UsageError(
            f"model.padding=tensorflow is not for {backbone}, of which there are only torch's "
            "weights; leave it out, or set model.padding=torch"
        )
    # Where it is not asked for, a trunk need not know it.
    padding = {"same_padding": True} if same_padding else {}
    make_backbone = functools.partial(
        known.make,
        **padding,
        dtype=dtype,
        axis_name=axis_name,
        freeze_batch_norm=freeze_batch_norm,
        num_frozen=parts.num_frozen_parts(freeze),
    )
    norm = functools.partial(layers.BatchNorm, axis_name=axis_name)
    make_head = {
        "none": None,
        "linear": functools.partial(heads.Linear, embedding_size),
        "mlp": functools.partial(heads.Mlp, embedding_size, norm),
    }[head]
    return EmbeddingNetwork(
        make_backbone, make_head, pooling, image_mean, image_std, dtype, num_backbones
    )


def abstract_variables(network: EmbeddingNetwork, *, image_size: int) -> Any:
    """Returns the shapes of a network's variables, without computing any; as of `initialise`."""
    return jax.eval_shape(lambda: _init(network, jax.random.key(0), image_size))


def initialise(
    network: EmbeddingNetwork, *, seed: int, image_size: int, known: Any | None = None
) -> Any:
    """Returns a network's variables, `params` and, with BatchNorm, `batch_stats`: random ones.

    The numbers depend on the seed alone, up to rounding, whatever the kind of device: versions of
    one seed can be averaged wherever they were trained.

    Args:
        network: As `create_network` returns it.
        seed: Of the numbers.
        image_size: Side of the images, in pixels.
        known: The same tree, of which the arrays are returned as they are and the
            ShapeDtypeStructs are drawn, to the numbers that they have where all are; None: all are
            drawn.
    """
    key = keys.stream(jax.random.key(seed, impl=RANDOM_GENERATOR), "initialise")

    def draw() -> Any:
        variables = _init(network, key, image_size)
        if known is None:
            return variables
        return jax.tree.map(
            lambda old, new: new if isinstance(old, jax.ShapeDtypeStruct) else None,
            known,
            variables,
        )

    # What runs once need not run fast: XLA:CPU compiles this generator for all the kernels twice
    # as long at its usual level.
    drawn = jax.jit(draw, compiler_options={"xla_backend_optimization_level": 1})()
    if known is None:
        return drawn
    return jax.tree.map(
        lambda new, old: old if new is None else new, drawn, known, is_leaf=lambda x: x is None
    )


def _init(network: EmbeddingNetwork, key: jax.Array, image_size: int) -> Any:
    images = jnp.zeros((1, image_size, image_size, 3), jnp.uint8)
    return network.init(key, images, train=False)
