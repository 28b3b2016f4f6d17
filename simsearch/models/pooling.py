"""From a feature map to one feature vector: average, maximum or generalised mean."""

import flax.linen as nn
import jax
import jax.numpy as jnp

_EPSILON = 1e-6


class GeM(nn.Module):
    """Generalised mean with a trained exponent: 1 is the average, infinity the maximum.

    References:
        Radenović et al., Fine-tuning CNN Image Retrieval with No Human Annotation, 2019.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns the pooled features [B, C] of a feature map [B, H, W, C]."""
        exponent = self.param("exponent", nn.initializers.constant(3.0), ())
        x = jnp.maximum(x, _EPSILON)
        # Of shares of the largest value: powers of the values themselves leave float32 from an
        # exponent of 6 on, and gradients are no numbers then. What they are shares of cancels out.
        largest = jax.lax.stop_gradient(jnp.max(x, axis=(1, 2), keepdims=True))
        mean = jnp.mean((x / largest) ** exponent, axis=(1, 2))
        return largest[:, 0, 0] * mean ** (1.0 / exponent)


def pool(x: jax.Array, kind: str, *, name: str = "pooling") -> jax.Array:
    """Returns the pooled features, float32 [B, C], of a feature map [B, H, W, C].

    Args:
        x: Feature map.
        kind: "average", "max" or "gem"; the last makes a parameter, so call it inside a module.
        name: Of that parameter's module.
    """
    x = x.astype(jnp.float32)
    if kind == "gem":
        return GeM(name=name)(x)
    return jnp.mean(x, axis=(1, 2)) if kind == "average" else jnp.max(x, axis=(1, 2))
