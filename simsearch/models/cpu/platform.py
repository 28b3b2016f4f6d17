"""Which form of a computation is traced: the one for a CPU, or that of every other platform."""

from collections.abc import Callable
from typing import Any

import jax


def choose(*operands: Any, cpu: Callable[..., Any], default: Callable[..., Any]) -> Any:
    """Returns what the form for the platform that computes here gives for the operands.

    `jax.lax.platform_dependent` traces both forms, at every call and in every form inside it: a
    server that makes five batch sizes warm then takes half as long again to start.

    Args:
        operands: Of both forms.
        cpu: Where jax computes on CPUs.
        default: Elsewhere.
    """
    return (cpu if jax.default_backend() == "cpu" else default)(*operands)
