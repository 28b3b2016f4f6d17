"""What training carries from one step to the next: arrays only; and what a checkpoint is of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from simsearch.losses import pairs

# Where the class vectors of the losses stand among the parameters, beside "backbone" and "head".
PROXIES = "proxies"


@flax.struct.dataclass
class TrainState:
    """The state of training after `step` steps."""

    step: jax.Array  # int32 []
    params: Any  # of the network, and under PROXIES those of the losses, where any has some
    batch_stats: Any
    opt_state: Any
    average: Any = None  # moving averages of `params` and `batch_stats`; None: not kept
    memory: pairs.Gallery | None = None  # of past embeddings, where the losses look at some

    @property
    def variables(self) -> dict[str, Any]:
        """The network's variables to evaluate and to keep: averages where they are kept."""
        params, batch_stats = self.average or (self.params, self.batch_stats)
        return {"params": network_params(params), "batch_stats": batch_stats}

    @property
    def proxies(self) -> dict[str, Any]:
        """The class vectors by loss, to evaluate and to keep: averages where they are kept."""
        params, _ = self.average or (self.params, None)
        return params.get(PROXIES, {})


class Saved(NamedTuple):
    """A state as a checkpoint holds it."""

    variables: dict[str, Any]  # what the network is; all that evaluation and search read
    proxies: dict[str, Any]  # class vectors by loss; empty where no loss has any
    training: dict[str, Any]  # what only training needs


def network_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the network's own parameters."""
    return {name: value for name, value in params.items() if name != PROXIES}


def create(
    variables: Mapping[str, Any],
    optimizer: Any,
    *,
    proxies: Mapping[str, jax.Array] | None = None,
    is_averaged: bool = False,
    memory: pairs.Gallery | None = None,
) -> TrainState:
    """Returns the state before the first step.

    Args:
        variables: The network's.
        optimizer: Gradient transformation; its state is made for the parameters.
        proxies: Class vectors by loss, where there are any.
        is_averaged: Whether moving averages are kept.
        memory: An empty memory, where the losses look at one.
    """
    params = dict(variables["params"]) | ({PROXIES: dict(proxies)} if proxies else {})
    batch_stats = variables.get("batch_stats", {})
    return TrainState(
        step=jnp.asarray(0, jnp.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=optimizer.init(params),
        # A copy: the step is given its state's memory, and no array can be given twice.
        average=jax.tree.map(jnp.copy, (params, batch_stats)) if is_averaged else None,
        memory=memory,
    )


def to_save(state: TrainState) -> Saved:
    """Returns what a checkpoint holds of a state, or of the shapes of one."""
    training = {"opt_state": state.opt_state}
    if state.average is not None:
        training["raw"] = {"params": state.params, "batch_stats": state.batch_stats}
    if state.memory is not None:
        training["memory"] = state.memory
    return Saved(state.variables, state.proxies, training)


def from_saved(saved: Saved, *, step: int) -> TrainState:
    """Returns the state after `step` steps that `to_save` took apart."""
    params = dict(saved.variables["params"])
    if saved.proxies:
        params[PROXIES] = saved.proxies
    batch_stats, average = saved.variables["batch_stats"], None
    if "raw" in saved.training:
        average = (params, batch_stats)
        params, batch_stats = (saved.training["raw"][n] for n in ("params", "batch_stats"))
    return TrainState(
        step=jnp.asarray(step, jnp.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=saved.training["opt_state"],
        average=average,
        memory=saved.training.get("memory"),
    )


def averaged(
    average: Any, current: Any, *, step: jax.Array, decay: float, every_steps: int = 1
) -> Any:
    """Returns the moving average after another step.

    The decay is min(decay, (1 + t) / (10 + t)) at update t, so that the first weights are soon
    forgotten.

    Args:
        average: The average before it.
        current: Tree of the same shape, after the step.
        step: Steps before this one, int [].
        decay: Weight of the average so far, in the long run.
        every_steps: Steps from one update to the next; the others leave the average as it is.
    """
    t = (step // every_steps).astype(jnp.float32)
    kept = jnp.minimum(decay, (1.0 + t) / (10.0 + t))
    kept = jnp.where((step + 1) % every_steps == 0, kept, 1.0)
    # In this form what does not change stays as it is, bit for bit.
    return jax.tree.map(lambda old, new: old + (1.0 - kept) * (new - old), average, current)
