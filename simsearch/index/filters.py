"""Filters: a small language, parsed into a tree that each engine renders in its own words.

label = 'cookie' and not (price > 3.5 or colour in ('red', 'blue'))

A comparison with a value that an image does not have, or has in another type, is false; `not`
turns that into true. Numbers compare as float64, text by code points.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, get_args

from simsearch import errors
from simsearch.index import filter_tokens, filter_tree
from simsearch.index import record as record_lib
from simsearch.index.filter_tree import And as And
from simsearch.index.filter_tree import Compare as Compare
from simsearch.index.filter_tree import Constant as Constant
from simsearch.index.filter_tree import Exists as Exists
from simsearch.index.filter_tree import Filter as Filter
from simsearch.index.filter_tree import In as In
from simsearch.index.filter_tree import Not as Not
from simsearch.index.filter_tree import Or as Or
from simsearch.index.record import FIELDS as FIELDS

_MAX_DEPTH = 50
# Of a tree that was built by hand: more than any text gives, and less than Python's stack holds.
_MAX_TREE_DEPTH = 4 * _MAX_DEPTH
_OPERATORS = get_args(filter_tree.Operator)
_SAME = {"==": "=", "<>": "!="}

Where = str | Filter | None  # As a caller gives it: text, a tree, or none.


def parse(text: str) -> Filter:
    """Returns the tree of a filter.

    Args:
        text: Such as "label = 'cookie' and not (price between 2 and 3 or sold = true)". Operators:
            = != < <= > >= in, not in, between, is null, is not null, and, or, not, parentheses.
            Text stands in single or double quotes, which are doubled inside.

    Raises:
        UsageError: Where it cannot be read; says at which place, and what was expected.
    """
    return _Parser(text).parse()


def resolve(where: Where) -> Filter | None:
    """Returns the tree of a filter given as text or as a tree; None for none or empty text.

    Raises:
        UsageError: Where it cannot be read, or is deeper than every engine takes.
    """
    if where is None or (isinstance(where, str) and not where.strip()):
        return None
    if isinstance(where, str):
        where = parse(where)
    else:
        _check(where)
    # Also where the exact view answers, that a filter goes on working when the index grows.
    filter_tree.normal_form(where)
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


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, text: str) -> None:
        self._tokens = filter_tokens.split(text)
        self._next = 0
        self._depth = 0

    def parse(self) -> Filter:
        tree = self._any()
        if self._peek()[0] != "end":
            self._fail("`and`, `or` or the end")
        return tree

    def _peek(self) -> filter_tokens.Token:
        return self._tokens[self._next]

    def _take(self, *tokens: str) -> str | None:
        """Returns and passes the next token where it is one of those words or signs."""
        sort, token, _ = self._peek()
        if sort in ("word", "sign") and token in tokens:
            self._next += 1
            return token
        return None

    def _need(self, token: str) -> None:
        if not self._take(token):
            self._fail(f"`{token}`")

    def _fail(self, expected: str) -> None:
        sort, token, place = self._peek()
        came = "the end" if sort == "end" else repr(token[:20])
        raise errors.UsageError(
            f"--filter: expected {expected} at character {place + 1}, found {came}; "
            f"{filter_tokens.EXAMPLE}"
        )

    def _any(self) -> Filter:
        return self._chain("or", self._all, Or)

    def _all(self) -> Filter:
        return self._chain("and", self._not, And)

    def _chain(self, word: str, part: Callable[[], Filter], join: type) -> Filter:
        parts = [part()]
        while self._take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else join(tuple(parts))

    def _not(self) -> Filter:
        self._depth += 1
        if self._depth > _MAX_DEPTH + 1:  # The comparison inside is no level.
            raise errors.UsageError(f"--filter: more than {_MAX_DEPTH} levels of not and ( )")
        try:
            if self._take("not"):
                return Not(self._not())
            if self._take("("):
                tree = self._any()
                self._need(")")
                return tree
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Filter:
        sort, field, _ = self._peek()
        if sort != "name":
            self._fail("a field's name")
        self._next += 1
        if operator := self._take("=", "==", "!=", "<>", "<", "<=", ">", ">="):
            return Compare(field, _SAME.get(operator, operator), self._value())
        if self._take("is"):
            negated = self._take("not")
            self._need("null")
            return Exists(field) if negated else Not(Exists(field))
        negated = self._take("not")
        if self._take("in"):
            tree = In(field, self._values())
        elif self._take("between"):
            low = self._value()
            self._need("and")
            tree = And((Compare(field, ">=", low), Compare(field, "<=", self._value())))
        else:
            self._fail(f"=, !=, <, <=, >, >=, in, between or is (or `{field} = true`)")
        return Not(tree) if negated else tree

    def _values(self) -> tuple[Constant, ...]:
        self._need("(")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._need(")")
        return tuple(values)

    def _value(self) -> Constant:
        sort, token, _ = self._peek()
        if sort == "text":
            self._next += 1
            return token[1:-1].replace(token[0] * 2, token[0])
        if sort == "number":
            number = float(token)
            if not math.isfinite(number):
                self._fail("a number that a float64 holds")
            self._next += 1
            # More digits than a float64 has are leading zeros, of which int takes only so many.
            return int(token) if re.fullmatch(r"[+-]?\d{1,309}", token) else number
        if word := self._take("true", "false"):
            return word == "true"
        self._fail("a number, a text in quotes, true or false")


def ids_in(ids: Sequence[str]) -> In:
    """Returns the filter for images by id.

    No image has an id that is no Unicode, and an engine could not be asked for it.
    """
    return In("id", tuple(id_ for id_ in ids if _is_unicode(id_)))


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
