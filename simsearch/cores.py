"""How many of a machine's cores this process may use."""

import os


def count() -> int:
    """Returns the cores that this process may use, which `taskset` makes fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
