"""The tree of a filter, and its normal form: what engines are given, without a not over parts."""

from typing import Literal, NamedTuple

from simsearch import errors

Constant = str | float | int | bool
Operator = Literal["=", "!=", "<", "<=", ">", ">="]

# LanceDB's parser gives up at 21, after a time that doubles with each level where there are nots;
# a comparison itself takes up to three more.
MAX_LEVELS = 16


class Compare(NamedTuple):
    """`field operator value`; an order holds between two numbers or two texts only."""

    field: str
    operator: Operator
    value: Constant


class In(NamedTuple):
    """`field in (values)`."""

    field: str
    values: tuple[Constant, ...]


class Exists(NamedTuple):
    """`field is not null`: the image has a value there."""

    field: str


class And(NamedTuple):
    """All of the parts."""

    parts: tuple["Filter", ...]


class Or(NamedTuple):
    """Any of the parts."""

    parts: tuple["Filter", ...]


class Not(NamedTuple):
    """Whatever the part does not let through."""

    part: "Filter"


Filter = Compare | In | Exists | And | Or | Not


def normal_form(tree: Filter) -> Filter:
    """Returns a filter that lets the same through, with each Not over one comparison.

    No And is part of an And, and no Or of an Or.

    Raises:
        UsageError: Where And and Or then stand in one another more than `MAX_LEVELS` deep.

    References:
        De Morgan's laws; negation normal form.
    """
    found = _flat(tree, negated=False)
    if _levels(found) > MAX_LEVELS:
        raise errors.UsageError(
            f"--filter: `and` and `or` may stand in one another {MAX_LEVELS} levels deep and stand "
            f"{_levels(found)}; write it with fewer parentheses"
        )
    return found


def _flat(tree: Filter, *, negated: bool) -> Filter:
    match tree:
        case Not(part):
            return _flat(part, negated=not negated)
        case And(parts) | Or(parts):
            join = Or if isinstance(tree, And) == negated else And
            flat: list[Filter] = []
            for part in parts:
                part = _flat(part, negated=negated)
                flat.extend(part.parts if isinstance(part, join) else [part])
            return flat[0] if len(flat) == 1 else join(tuple(flat))
        case _:
            return Not(tree) if negated else tree


def _levels(tree: Filter) -> int:
    return 1 + max(map(_levels, tree.parts)) if isinstance(tree, And | Or) else 0
