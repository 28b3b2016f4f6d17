"""AdamW with warm-up and cosine decay; the only door to optax."""

import functools
from typing import Any

import jax
import optax


def create_schedule(
    *, peak_learning_rate: float, num_steps: int, num_warmup_steps: int, final_fraction: float
) -> optax.Schedule:
    """Returns the learning rate by step: linear from 0 to the peak, then a cosine down.

    Args:
        peak_learning_rate: Reached at step `num_warmup_steps`.
        num_steps: Steps of the whole run; the decay ends with the last one.
        num_warmup_steps: Steps of the warm-up, part of `num_steps`; cut to leave one for the decay.
        final_fraction: Where the decay ends, as a fraction of the peak.

    References:
        Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017.
    """
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0 if num_warmup_steps else peak_learning_rate,
        peak_value=peak_learning_rate,
        warmup_steps=min(num_warmup_steps, max(num_steps - 1, 0)),
        decay_steps=max(num_steps, 1),  # Counted from step 0, the warm-up included.
        end_value=final_fraction * peak_learning_rate,
    )


def create_optimizer(
    schedule: optax.Schedule,
    *,
    weight_decay: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    clip_norm: float,
    trainable: Any,
    backbone_multiplier: float = 1.0,
    proxy_multiplier: float = 1.0,
    accumulate_steps: int = 1,
) -> optax.GradientTransformation:
    """Returns AdamW; its state holds the learning rate and the weight decay that are in use.

    Args:
        schedule: Learning rate by update.
        weight_decay: Decoupled decay, on kernels and class vectors alone: not on biases, scales
            and frozen arrays.
        beta1: Decay of the gradient's mean.
        beta2: Decay of the gradient's square.
        epsilon: Added to the square root in the denominator.
        clip_norm: Largest global norm of the gradient; 0 leaves it as it is.
        trainable: Tree of the parameters' shape with a bool for each, or a function from the
            parameters to one: False is left untouched.
        backbone_multiplier: Learning rate of the parameters below "backbone" over that of the rest.
        proxy_multiplier: Learning rate of the parameters below "proxies" over that of the rest.
        accumulate_steps: Steps whose mean gradient makes one update; the others change nothing.

    References:
        Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019.
    """

    def kernels(params: Any) -> Any:
        return jax.tree.map(lambda array: array.ndim > 1, params)

    adamw = optax.inject_hyperparams(optax.adamw, static_args=("mask", "b1", "b2", "eps"))(
        learning_rate=schedule,
        b1=beta1,
        b2=beta2,
        eps=epsilon,
        weight_decay=weight_decay,
        mask=kernels,
    )
    clip = optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity()

    def roles(params: Any) -> Any:
        flags = trainable(params) if callable(trainable) else trainable
        return jax.tree.map(lambda train: "trained" if train else "frozen", flags)

    steps = [clip, adamw]
    for part, multiplier in (("backbone", backbone_multiplier), ("proxies", proxy_multiplier)):
        if multiplier != 1:
            # After AdamW, which would undo a change of the gradient; its decay is scaled as well.
            steps.append(optax.masked(optax.scale(multiplier), functools.partial(_is_in, part)))
    updates = optax.partition(
        {"trained": optax.chain(*steps), "frozen": optax.set_to_zero()}, roles
    )
    if accumulate_steps == 1:
        return updates
    return optax.MultiSteps(updates, every_k_schedule=accumulate_steps).gradient_transformation()


def _is_in(part: str, params: Any) -> Any:
    return jax.tree_util.tree_map_with_path(lambda path, _: path[0].key == part, params)


apply_updates = optax.apply_updates
global_norm = optax.tree.norm
