"""From the text of a filter to its tree."""

import math
import re
from collections.abc import Callable

from simsearch import errors
from simsearch.index.filters import tokens as tokens_lib
from simsearch.index.filters.tree import And, Compare, Constant, Exists, Filter, In, Not, Or

MAX_DEPTH = 50
_SAME = {"==": "=", "<>": "!="}


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


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens_lib.split(text)
        self._next = 0
        self._depth = 0

    def parse(self) -> Filter:
        tree = self._any()
        if self._peek()[0] != "end":
            self._fail("`and`, `or` or the end")
        return tree

    def _peek(self) -> tokens_lib.Token:
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
            f"{tokens_lib.EXAMPLE}"
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
        if self._depth > MAX_DEPTH + 1:  # The comparison inside is no level.
            raise errors.UsageError(f"--filter: more than {MAX_DEPTH} levels of not and ( )")
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
            self._fail(f"=, !=, <, <=, >, >=, in, between or is (or `{field[:20]} = true`)")
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
