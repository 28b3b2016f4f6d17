"""Why a search found nothing: what in a filter was probably mistyped."""

import difflib
from collections.abc import Collection, Sequence

from simsearch.index import record as record_lib
from simsearch.index.filters import matching
from simsearch.index.filters import tree as tree_lib
from simsearch.index.record import FIELDS, Hit, Record


def of_nothing(
    tree: tree_lib.Filter | None,
    sample: Sequence[Record | Hit],
    *,
    count: int,
    passing: int,
    hidden: Collection[str] = (),
) -> str:
    """Returns why a search found nothing, in words.

    A search's own images are no results: there may be others that pass, or none.

    Args:
        tree: Filter of the search; None: none.
        sample: Some of the images that were searched.
        count: How many images there are.
        passing: How many of them pass the filter.
        hidden: Fields that who asked may not search by.
    """
    if not count:
        return "the index is empty"
    if tree is None or passing:
        return f"the index holds no other image{'' if tree is None else ' that passes the filter'}"
    reason = of_filter(tree, sample, hidden=hidden)
    if reason and len(sample) < count:
        reason = f"judging by {len(sample)} of the {count} images, {reason}"
    return reason or f"none of the {count} images passes the filter"


def of_filter(
    tree: tree_lib.Filter, records: Sequence[Record | Hit], *, hidden: Collection[str] = ()
) -> str | None:
    """Returns why a filter that let nothing through was probably mistyped; None: no idea.

    Args:
        tree: The filter.
        records: What it was asked of, or some of them.
        hidden: Fields that are neither listed nor suggested.
    """
    kinds = {name: {"number" if name == "size" else "text"} for name in FIELDS}
    for record in records:
        for name, value in record.metadata.items():
            if value is not None:
                kinds.setdefault(name, set()).add(matching.kind(value))
    for name in hidden:
        kinds.pop(name, None)
    for leaf in matching.leaves(tree):
        if leaf.field not in kinds:
            close = difflib.get_close_matches(leaf.field, kinds, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            return f"no image has a field {leaf.field[:60]}; {hint}there are {', '.join(kinds)}"
        values = leaf.values if isinstance(leaf, tree_lib.In) else ()
        for value in (leaf.value,) if isinstance(leaf, tree_lib.Compare) else values:
            own, asked = sorted(kinds[leaf.field]), matching.kind(value)
            if own and asked not in own:
                text = _text_like(value, leaf.field, records) if own == ["text"] else None
                hint = f"; write {leaf.field} = '{text}'" if text else ""
                return f"{leaf.field} is a {' or '.join(own)} and {value!r} a {asked}{hint}"
    return None


def _text_like(value: tree_lib.Constant, field: str, records: Sequence[Record | Hit]) -> str:
    """Returns the text that an image has there for a number or boolean, such as 007 for 7."""
    for record in records:
        text = record_lib.field(record, field)
        if isinstance(text, str):
            try:
                same = float(text) == value
            except ValueError:
                same = text.lower() == str(value).lower()
            if same:
                return text
    return str(value)
