"""Metadata as engines keep it: a field for each name and type.

So no image's value changes another's type, and what is missing or of another type passes no
comparison.
"""

from collections.abc import Mapping

from simsearch.index.filters import matching
from simsearch.index.record import Value

_PREFIXES = {"text": "s_", "number": "n_", "boolean": "b_"}


def name(field: str, kind: str) -> str:
    """Returns where the values of one kind of a metadata field are kept."""
    return _PREFIXES[kind] + field


def names(field: str) -> list[str]:
    """Returns where the values of a metadata field may be kept."""
    return [name(field, kind) for kind in _PREFIXES]


def of(metadata: Mapping[str, Value]) -> dict[str, str | float | bool]:
    """Returns an image's metadata by where it is kept; every number is a float."""
    found: dict[str, str | float | bool] = {}
    for field, value in metadata.items():
        if value is not None:
            kind = matching.kind(value)
            found[name(field, kind)] = float(value) if kind == "number" else value
    return found
