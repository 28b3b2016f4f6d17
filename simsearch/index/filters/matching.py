"""Which images a filter lets through, and how its values compare."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, get_args

from simsearch import errors
from simsearch.index import record as record_lib
from simsearch.index.filters import parser
from simsearch.index.filters import tree as tree_lib
from simsearch.index.filters.tree import And, Compare, Constant, Exists, Filter, In, Not, Or

# Of a tree that was built by hand: more than any text gives, and less than Python's stack holds.
_MAX_TREE_DEPTH = 4 * parser.MAX_DEPTH
_OPERATORS = get_args(tree_lib.Operator)

Where = str | Filter | None  # As a caller gives it: text, a tree, or none.


def resolve(where: Where) -> Filter | None:
    """Returns the tree of a filter given as text or as a tree; None for none or empty text.

    Raises:
        UsageError: Where it cannot be read, or is deeper than every engine takes.
    """
    if where is None or (isinstance(where, str) and not where.strip()):
        return None
    if isinstance(where, str):
        where = parser.parse(where)
    else:
        _check(where)
    # Also where the exact view answers, that a filter goes on working when the index grows.
    tree_lib.normal_form(where)
    return where


def _check(tree: Filter, *, depth: int = 0) -> None:
    """Raises UsageError where a tree that was built by hand could not have been parsed."""
    if depth > _MAX_TREE_DEPTH:
        raise errors.UsageError(f"a filter's tree is more than {_MAX_TREE_DEPTH} levels deep")
    match tree:
        case And(parts) | Or(parts):
            if not parts:
                raise errors.UsageError("a filter's And or Or must have parts, and one has none")
            for part in parts:
                _check(part, depth=depth + 1)
        case Not(part):
            _check(part, depth=depth + 1)
        case Compare() | In() | Exists():
            if not re.fullmatch(r"[^\W\d]\w*", tree.field):
                raise errors.UsageError(f"a filter's field must be a name, not {tree.field!r}")
            if isinstance(tree, Compare) and tree.operator not in _OPERATORS:
                raise errors.UsageError(
                    f"a filter compares with one of {' '.join(_OPERATORS)}, not {tree.operator!r}"
                )
            values = tree.values if isinstance(tree, In) else ()
            for value in (tree.value,) if isinstance(tree, Compare) else values:
                if not isinstance(value, str) and not _is_finite(value):
                    raise errors.UsageError(
                        "a filter compares with text, booleans and finite numbers that a float64 "
                        f"holds, not {_shown(value)}"
                    )
        case _:
            raise errors.UsageError(f"a filter must be text or a tree of filters, not {tree!r}")


def _is_finite(value: object) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # An integer beyond a float64.
        return False


def _shown(value: object) -> str:
    # Python refuses to write integers of many digits.
    return "a greater one" if isinstance(value, int) else repr(value)


def matches(tree: Filter, record: record_lib.Record) -> bool:
    """Returns whether a record passes."""
    match tree:
        case And(parts):
            return all(matches(part, record) for part in parts)
        case Or(parts):
            return any(matches(part, record) for part in parts)
        case Not(part):
            return not matches(part, record)
        case _:
            return acceptor(tree)(record_lib.field(record, tree.field))


def acceptor(leaf: Compare | In | Exists) -> Callable[[record_lib.Value], bool]:
    """Returns the function that says whether one comparison lets a value through."""
    match leaf:
        case Exists():
            return lambda value: value is not None
        case In(_, values):
            wanted = set(map(comparable, values))
            return lambda value: value is not None and comparable(value) in wanted
        case Compare(_, operator, other):
            return lambda value: value is not None and _compare(value, operator, other)


def field_names(tree: Filter) -> set[str]:
    """Returns the names of all fields in a filter."""
    return {leaf.field for leaf in leaves(tree)}


def leaves(tree: Filter) -> Iterator[Compare | In | Exists]:
    """Yields the comparisons of a filter, as they are written."""
    match tree:
        case And(parts) | Or(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part):
            yield from leaves(part)
        case _:
            yield tree


def kind(value: Constant) -> Literal["text", "boolean", "number"]:
    """Returns the type that two values must share to be compared."""
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"


def by_kind(values: Iterable[Constant]) -> list[tuple[str, list[Constant]]]:
    """Returns the values of each type that there is, in the order of the first of each."""
    groups: dict[str, list[Constant]] = {}
    for value in values:
        groups.setdefault(kind(value), []).append(value)
    return list(groups.items())


def comparable(value: Constant) -> tuple[str, Constant]:
    """Returns what is equal for values that are equal to a filter, and only for them."""
    sort = kind(value)
    return sort, float(value) if sort == "number" else value


def _compare(value: Constant, operator: str, other: Constant) -> bool:
    (sort, value), (other_sort, other) = comparable(value), comparable(other)
    if sort != other_sort:
        return False
    if operator in ("=", "!="):
        return (value == other) == (operator == "=")
    if sort == "boolean":
        return False
    return {
        "<": value < other,
        "<=": value <= other,
        ">": value > other,
        ">=": value >= other,
    }[operator]


def ids_in(ids: Sequence[str]) -> In:
    """Returns the filter for images by id.

    No image has an id that is no Unicode, and an engine could not be asked for it.
    """
    return In("id", tuple(id_ for id_ in ids if _is_unicode(id_)))


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
