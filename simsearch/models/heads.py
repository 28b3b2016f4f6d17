"""From pooled features to an embedding, before it is normalised."""

from collections.abc import Callable

import flax.linen as nn
import jax

_MLP_SIZES = (512, 256)


class Linear(nn.Module):
    """One linear layer.

    Attributes:
        embedding_size: Dimensions of the embedding.
    """

    embedding_size: int

    @nn.compact
    def __call__(self, features: jax.Array, *, train: bool) -> jax.Array:
        """Returns the embeddings [B, D] of features [B, C]."""
        return nn.Dense(self.embedding_size, name="projection")(features)


class Mlp(nn.Module):
    """Linear layers of 512, 256 and D units, BatchNorm and LeakyReLU between them.

    Attributes:
        embedding_size: Dimensions D of the embedding.
        norm: Makes a BatchNorm under a name.
    """

    embedding_size: int
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, features: jax.Array, *, train: bool) -> jax.Array:
        """Returns the embeddings [B, D] of features [B, C]."""
        x = features
        for i, size in enumerate(_MLP_SIZES, start=1):
            x = nn.Dense(size, use_bias=False, name=f"dense{i}")(x)
            x = nn.leaky_relu(self.norm(name=f"norm{i}")(x, train=train))
        return nn.Dense(self.embedding_size, name="projection")(x)
