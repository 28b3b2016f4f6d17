"""What training carries from one step to the next: arrays only."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class TrainState:
    """The state of training after `step` steps."""

    step: jax.Array  # int32 []
    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """The network's variables, as `network.apply` takes them."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def create(variables: Any, opt_state: Any, *, step: int = 0) -> TrainState:
    """Returns the state at a step, from a network's variables and its optimizer's state."""
    return TrainState(
        step=jnp.asarray(step, jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=opt_state,
    )
