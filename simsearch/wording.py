"""Names and numbers as they are put into one-line messages."""

from __future__ import annotations

from collections.abc import Iterable


def listed(names: Iterable[str], *, most: int = 5) -> str:
    """Returns the first few names, quoted, and how many more there are; "none" for no names."""
    names = list(names)
    text = ", ".join(repr(name) for name in names[:most]) or "none"
    return text + (f" and {len(names) - most} more" if len(names) > most else "")


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun, such as "1 image" or "1,200 images"."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"
