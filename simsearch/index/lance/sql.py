"""Filters in LanceDB's SQL: every name and value is written by this file, none passed through."""

import contextlib
from collections.abc import Collection, Iterator

from simsearch import errors
from simsearch.index import typed_fields
from simsearch.index.filters import matching
from simsearch.index.filters import tree as tree_lib

_NEVER = "(1 = 0)"


def render(tree: tree_lib.Filter, columns: Collection[str], *, fields: Collection[str]) -> str:
    """Returns a filter as an SQL condition that is never NULL.

    Args:
        tree: The filter.
        columns: All columns that the table has.
        fields: The fields that are columns themselves, under their own names.

    Raises:
        UsageError: Where it is deeper than LanceDB takes.
    """
    return _render(tree_lib.normal_form(tree), columns, fields)


@contextlib.contextmanager
def planning(where: tree_lib.Filter | None) -> Iterator[None]:
    """Tells in one line what LanceDB says of a filter that it cannot plan."""
    try:
        yield
    except errors.UsageError:
        raise  # It tells in one line already, and is a ValueError itself.
    except ValueError as error:
        if where is None:
            raise
        said = errors.one_line(error, most=200)
        raise errors.UsageError(f"--filter: LanceDB cannot read it: {said}") from error


def _render(tree: tree_lib.Filter, columns: Collection[str], fields: Collection[str]) -> str:
    match tree:
        case tree_lib.And(parts):
            return "(" + " AND ".join(_render(p, columns, fields) for p in parts) + ")"
        case tree_lib.Or(parts):
            return "(" + " OR ".join(_render(p, columns, fields) for p in parts) + ")"
        case tree_lib.Not(part):
            return f"(NOT {_render(part, columns, fields)})"
        case tree_lib.Exists(field):
            names = [field] if field in fields else typed_fields.names(field)
            there = [f"{_quoted(name)} IS NOT NULL" for name in names if name in columns]
            return f"({' OR '.join(there)})" if there else _NEVER
        case tree_lib.In(field, values):
            parts = [_in(field, k, v, columns, fields) for k, v in matching.by_kind(values)]
            return f"({' OR '.join(parts)})" if parts else _NEVER
        case tree_lib.Compare(field, operator, value):
            return _compare(field, operator, value, columns, fields)


def _compare(
    field: str,
    operator: str,
    value: tree_lib.Constant,
    columns: Collection[str],
    fields: Collection[str],
) -> str:
    name = _column(field, matching.kind(value), columns, fields)
    is_order = operator not in ("=", "!=")
    if name is None or (is_order and isinstance(value, bool)):
        return _NEVER
    return f"({_quoted(name)} IS NOT NULL AND {_quoted(name)} {operator} {_constant(value)})"


def _in(
    field: str,
    kind: str,
    values: list[tree_lib.Constant],
    columns: Collection[str],
    fields: Collection[str],
) -> str:
    name = _column(field, kind, columns, fields)
    if name is None:
        return _NEVER
    listed = ", ".join(map(_constant, values))
    return f"({_quoted(name)} IS NOT NULL AND {_quoted(name)} IN ({listed}))"


def _column(field: str, kind: str, columns: Collection[str], fields: Collection[str]) -> str | None:
    """Returns the column that holds a field's values of one kind; None where there is none."""
    if field in fields:
        return field if kind == ("number" if field == "size" else "text") else None
    name = typed_fields.name(field, kind)
    return name if name in columns else None


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _constant(value: tree_lib.Constant) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return f"CAST('{float(value)!r}' AS DOUBLE)"
