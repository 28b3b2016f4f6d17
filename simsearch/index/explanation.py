"""Why a search found nothing: what in a filter was probably mistyped."""

import difflib
from collections.abc import Iterable

from simsearch.index import filters
from simsearch.index import record as record_lib


def of_filter(tree: filters.Filter, records: Iterable[record_lib.Record]) -> str | None:
    """Returns why a filter that let nothing through was probably mistyped; None: no idea.

    Args:
        tree: The filter.
        records: What it was asked of, or some of them.
    """
    kinds: dict[str, set[str]] = {name: set() for name in record_lib.FIELDS}
    for record in records:
        for name in (*record_lib.FIELDS, *record.metadata):
            if (value := record_lib.field(record, name)) is not None:
                kinds.setdefault(name, set()).add(filters.kind(value))
    for leaf in filters.leaves(tree):
        if leaf.field not in kinds:
            close = difflib.get_close_matches(leaf.field, kinds, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            return f"no image has a field {leaf.field}; {hint}there are {', '.join(kinds)}"
        values = leaf.values if isinstance(leaf, filters.In) else ()
        for value in (leaf.value,) if isinstance(leaf, filters.Compare) else values:
            own, asked = sorted(kinds[leaf.field]), filters.kind(value)
            if own and asked not in own:
                hint = f"; write {leaf.field} = '{value}'" if own == ["text"] else ""
                return f"{leaf.field} is a {' or '.join(own)} and {value!r} a {asked}{hint}"
    return None
