"""Filters in Milvus's expressions: every name and value is written by this file."""

from simsearch.index import record as record_lib
from simsearch.index import typed_fields
from simsearch.index.filters import matching
from simsearch.index.filters import tree as tree_lib

# Of a row's metadata, by `typed_fields`.
JSON_FIELD = "typed"
_NEVER = '(id == "")'
_OPERATORS = {"=": "=="}


def render(tree: tree_lib.Filter) -> str:
    """Returns a filter as a Milvus expression.

    The fields id, path, label, size (a double) and source are fields of the collection.

    Raises:
        UsageError: Where it is deeper than engines take.
    """
    return _render(tree_lib.normal_form(tree))


def _render(tree: tree_lib.Filter) -> str:
    match tree:
        case tree_lib.And(parts):
            return "(" + " and ".join(map(_render, parts)) + ")"
        case tree_lib.Or(parts):
            return "(" + " or ".join(map(_render, parts)) + ")"
        case tree_lib.Not(part):
            return f"(not {_render(part)})"
        case tree_lib.Exists(field):
            if field == "label":
                return '(label != "")'
            if field in record_lib.FIELDS:
                return f"(not {_NEVER})"
            there = [f"(exists {_json(name)})" for name in typed_fields.names(field)]
            return f"({' or '.join(there)})"
        case tree_lib.In(field, values):
            parts = [_guarded(field, k, f"in [{_listed(v)}]") for k, v in matching.by_kind(values)]
            return f"({' or '.join(parts)})" if parts else _NEVER
        case tree_lib.Compare(field, operator, value):
            kind = matching.kind(value)
            if kind == "boolean" and operator not in ("=", "!="):
                return _NEVER
            return _guarded(field, kind, f"{_OPERATORS.get(operator, operator)} {_constant(value)}")


def _guarded(field: str, kind: str, comparison: str) -> str:
    """Returns a comparison that only a value of the kind passes."""
    if field in record_lib.FIELDS:
        if kind != ("number" if field == "size" else "text"):
            return _NEVER
        there = '(label != "") and ' if field == "label" else ""
        return f"({there}({field} {comparison}))"
    name = _json(typed_fields.name(field, kind))
    return f"((exists {name}) and ({name} {comparison}))"


def _json(name: str) -> str:
    return f"{JSON_FIELD}[{_constant(name)}]"


def _listed(values: list[tree_lib.Constant]) -> str:
    return ", ".join(map(_constant, values))


def _constant(value: tree_lib.Constant) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(float(value))
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    # Control characters, as Go reads them.
    return '"' + "".join(c if c.isprintable() else _escaped(c) for c in escaped) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
