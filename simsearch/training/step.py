"""The triplet step: one shard of a batch in, the next state and the step's figures out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from simsearch.data import batch as batch_lib
from simsearch.losses import parts as parts_lib
from simsearch.losses import triplet
from simsearch.training import optimizer as optimizer_lib
from simsearch.training import state as state_lib


class StepMetrics(NamedTuple):
    """Figures of one step over the whole batch, each float32 []."""

    loss: jax.Array  # mean over the triplets that the miner counts
    active_fraction: jax.Array  # share of the valid triplets that the loss still pulls at
    spread: jax.Array  # 1 - |mean embedding|^2: 0 when all embeddings are one, 1 at best
    gradient_norm: jax.Array  # global norm, before clipping
    num_skipped: jax.Array  # images of the batch that could not be read


def create_train_step(
    network: nn.Module,
    optimizer: Any,
    *,
    miner: str,
    margin: float,
    distance: str,
    soft_margin: bool,
    axis_name: str | None,
) -> Callable[[state_lib.TrainState, Any, jax.Array], tuple[state_lib.TrainState, StepMetrics]]:
    """Returns the pure step `(state, batch, key) -> (state, metrics)`.

    Args:
        network: Embedding network, uint8 images [b, S, S, 3] to float [b, D].
        optimizer: Gradient transformation.
        miner: Name of an in-batch miner, or "none" for the triplets that the sampler laid out.
        margin: Margin of the triplet loss, in units of the distance.
        distance: Name of the distance between embeddings.
        soft_margin: Whether softplus takes the hinge's place.
        axis_name: The device axis that a batch is spread over; None where it is on one device.
    """
    options = {"margin": margin, "distance": distance, "soft_margin": soft_margin}

    def total(value: Any) -> Any:
        return value if axis_name is None else jax.lax.psum(value, axis_name)

    def loss_parts(embeddings: jax.Array, batch: Any) -> parts_lib.LossParts:
        if miner == "none":
            return triplet.explicit(embeddings, batch.valid, **options)
        # Mining sees the whole batch; each device takes its own rows as anchors.
        rows = jnp.arange(len(embeddings))
        everyone = (embeddings, batch.labels, batch.valid)
        if axis_name is not None:
            rows += jax.lax.axis_index(axis_name) * len(embeddings)
            everyone = jax.lax.all_gather(everyone, axis_name, tiled=True)
        return triplet.mined(embeddings, batch.labels, rows, *everyone, miner=miner, **options)

    def step(
        state: state_lib.TrainState, batch: batch_lib.Batch, key: jax.Array
    ) -> tuple[state_lib.TrainState, StepMetrics]:
        if axis_name is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))

        def loss_of(params: Any) -> tuple[jax.Array, Any]:
            embeddings, changed = network.apply(
                {"params": params, "batch_stats": state.batch_stats},
                batch.images,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": key},
            )
            parts = loss_parts(embeddings, batch)
            # A mean over active triplets is a ratio: both halves are summed over the devices.
            loss = parts_lib.mean(parts._replace(count=total(parts.count)))
            return loss, (parts, embeddings, changed.get("batch_stats", {}))

        (loss, (parts, embeddings, batch_stats)), gradients = jax.value_and_grad(
            loss_of, has_aux=True
        )(state.params)
        gradients = total(gradients)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        new_state = state_lib.TrainState(
            step=state.step + 1,
            params=optimizer_lib.apply_updates(state.params, updates),
            batch_stats=batch_stats,
            opt_state=opt_state,
        )
        valid = batch.valid.astype(jnp.float32)
        metrics = StepMetrics(
            loss=total(loss),
            active_fraction=total(parts.num_active) / jnp.maximum(total(parts.num_triplets), 1.0),
            spread=_spread(total(valid @ embeddings), total(jnp.sum(valid))),
            gradient_norm=optimizer_lib.global_norm(gradients),
            num_skipped=total(jnp.sum(1.0 - valid)),
        )
        return new_state, metrics

    return step


def _spread(embedding_sum: jax.Array, count: jax.Array) -> jax.Array:
    mean = embedding_sum / jnp.maximum(count, 1.0)
    return 1.0 - jnp.sum(mean**2)
