"""The trials of a sweep as a table, the best first."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from simsearch import tables
from simsearch.sweeps import plan as plan_lib

State = Literal["finished", "pruned", "failed", "running", "waiting"]
_ORDER = ("finished", "pruned", "running", "waiting", "failed")


class Row(NamedTuple):
    """What is known of one trial.

    Attributes:
        number: Counts the study's trials.
        state: How far it came.
        params: Values by field name.
        value: Its best monitored figure; None where it has none.
        num_validations: Validations that it reported.
        version: The version that was trained for it; None where none was yet.
        is_here: Whether that version is in this folder, and not in another machine's.
        error: Why it failed, where it did.
    """

    number: int
    state: State
    params: Mapping[str, Any]
    value: float | None
    num_validations: int
    version: int | None
    is_here: bool
    error: str


def ranked(rows: Sequence[Row]) -> list[Row]:
    """Returns the trials: finished from best to worst, then pruned likewise, then others."""

    def key(row: Row) -> tuple[int, float, int]:
        value = -math.inf if row.value is None else row.value
        return _ORDER.index(row.state), -value, row.number

    return sorted(rows, key=key)


def table(rows: Sequence[Row], *, monitor: str) -> str:
    """Returns the trials as aligned lines under a header.

    Args:
        rows: The trials, in the table's order.
        monitor: Name of the figure.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.params))
    lines = [("trial", "version", "state", "validations", monitor, *names)]
    for row in rows:
        version = "-" if row.version is None else str(row.version)
        lines.append(
            (
                str(row.number),
                version if row.is_here or row.version is None else f"{version} elsewhere",
                row.state,
                str(row.num_validations),
                "-" if row.value is None else f"{row.value:.4f}",
                *(plan_lib.short(row.params.get(name, "-")) for name in names),
            )
        )
    return tables.aligned(lines)


def to_json(row: Row) -> dict[str, Any]:
    """Returns a trial as plain values."""
    return row._asdict() | {"params": dict(row.params)}
