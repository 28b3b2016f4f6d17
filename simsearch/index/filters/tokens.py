"""The words, signs, numbers and texts that a filter is made of."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from simsearch import errors

EXAMPLE = "write it as label = 'cookie' and price < 3"
_MAX_LENGTH = 20_000
# A number has one way to be read: two runs of digits side by side would be split in every way
# before a long one is refused.
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<name>[^\W\d]\w*)
    | (?P<sign><=|>=|!=|<>|==|[=<>(),])
    )""",
    re.VERBOSE,
)
WORDS = frozenset({"and", "or", "not", "in", "between", "is", "null", "true", "false"})


class Token(NamedTuple):
    """A piece of a filter as it is written (a word in small letters), and where it begins."""

    sort: Literal["text", "number", "name", "sign", "word", "end"]
    text: str
    place: int


def split(text: str) -> list[Token]:
    """Returns the tokens of a filter, and one that is its end.

    Raises:
        UsageError: Where it is too long, or something in it is none; says at which place.
    """
    if len(text) > _MAX_LENGTH:
        raise errors.UsageError(
            f"a filter may have {_MAX_LENGTH} characters and this one has {len(text)}"
        )
    return list(_tokens(text))


def _tokens(text: str) -> Iterator[Token]:
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            rest = text[place:].lstrip()
            what = "a text without its closing quote" if rest[0] in "'\"" else repr(rest[:20])
            raise errors.UsageError(
                f"--filter: {what} at character {len(text) - len(rest) + 1} cannot be read; "
                f"{EXAMPLE}"
            )
        sort, token = match.lastgroup, match.group(match.lastgroup)
        if sort == "name" and token.lower() in WORDS:
            sort, token = "word", token.lower()
        yield Token(sort, token, match.start(match.lastgroup))
        place = match.end()
    yield Token("end", "", len(text))
