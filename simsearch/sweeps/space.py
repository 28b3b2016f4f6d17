"""The search space of a sweep: for each field its choices, or the interval to draw it from."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from simsearch.config import checks as config_checks

_FORM = 'a list of choices [a, b, c], or an interval (low, high) or (low, high, "log")'
# Integers of an interval that are checked one by one.
_MAX_INTEGERS = 256
# The trials must be measured by one figure on the same images.
FIXED = (
    *("data.source", "data.path", "data.image_column", "data.label_column", "data.split"),
    *("data.split_seed", "data.valid_fraction", "data.test_fraction", "data.valid_class_fraction"),
    *("data.test_class_fraction", "data.valid_classes", "data.test_classes", "train.monitor"),
    *("data.max_pixels", "data.on_corrupt"),
)


class Choices(NamedTuple):
    """A field takes one of these values."""

    values: tuple[Any, ...]

    def ends(self) -> tuple[Any, ...]:
        """Returns the values at which contradictions between fields are looked for: all."""
        return self.values

    def to_json(self) -> Any:
        """Returns plain values, equal for equal choices only."""
        return list(self.values)


class Interval(NamedTuple):
    """A field takes a value from low to high, both included; all integers where both are."""

    low: float
    high: float
    is_log: bool

    def __str__(self) -> str:
        """Returns it as a configuration has it."""
        return str((self.low, self.high, "log") if self.is_log else (self.low, self.high))

    def ends(self) -> tuple[Any, ...]:
        """Returns the values at which contradictions between fields are looked for: the ends."""
        return (self.low, self.high)

    def between(self) -> Sequence[int]:
        """Returns the integers between the ends, where they are few enough to be checked each."""
        if not isinstance(self.low, int) or self.high - self.low > _MAX_INTEGERS:
            return ()
        return range(int(self.low) + 1, int(self.high))

    def to_json(self) -> Any:
        """Returns plain values, equal for equal intervals only."""
        return {"low": self.low, "high": self.high, "log": self.is_log}


Space = Mapping[str, Choices | Interval]


def parse(written: Mapping[str, Any], *, kinds: Mapping[str, type], problems: list[str]) -> Space:
    """Returns the space that is written in a configuration.

    Args:
        written: Mapping from the fields' dotted names to lists of choices or tuples of an interval.
        kinds: Type of every field of a run, by its dotted name.
        problems: List to which one message for each thing that is wrong is appended.
    """
    if not written:
        problems.append(f"sweep.space must name at least one field, each with {_FORM}")
    space = {}
    for name, value in written.items():
        value = config_checks.plain(value)
        found: Choices | Interval | str
        if name not in kinds:
            found = config_checks.unknown_field(name, list(kinds))
        elif name in FIXED or name.startswith("eval."):
            found = f"{name} cannot be swept: the trials would not be measured alike"
        elif isinstance(value, list):
            found = _choices(value)
        elif isinstance(value, tuple):
            found = _interval(value, kinds[name])
        elif isinstance(value, str) and value.lstrip().startswith(("[", "(")):
            found = (
                f"must be {_FORM}, and {value!r} cannot be read as one: texts inside need quotes, "
                "and the whole others for the shell, such as \"['resnet18', 'resnet34']\""
            )
        else:
            found = f"must be {_FORM}, not {value!r}"
        if isinstance(found, str):
            problems.append(found if name in found else f"sweep.space.{name} {found}")
        else:
            space[name] = found
    return space


def size(space: Space) -> int | None:
    """Returns how many points the grid has, None where a field has an interval."""
    if any(isinstance(part, Interval) for part in space.values()):
        return None
    return math.prod(len(part.values) for part in space.values())


def corners(space: Space) -> itertools.product:
    """Returns an iterator over tuples of values in the order of the fields, the last one fastest.

    All points of a grid; of an interval its two ends.
    """
    return itertools.product(*(part.ends() for part in space.values()))


def inside(space: Space) -> Iterator[dict[str, Any]]:
    """Yields each integer inside an interval, beside the first value of the other fields."""
    first = {name: part.ends()[0] for name, part in space.items()}
    for name, part in space.items():
        if isinstance(part, Interval):
            yield from (first | {name: value} for value in part.between())


def _choices(value: list[Any]) -> Choices | str:
    if not value or len({repr(choice) for choice in value}) < len(value):
        return f"must have choices, each once, not {value!r}"
    if any(isinstance(choice, (list, tuple, dict)) for choice in value):
        return f"must have choices of one value each, since a database keeps them, not {value!r}"
    return Choices(tuple(value))


def _interval(value: tuple[Any, ...], kind: type) -> Interval | str:
    is_log = len(value) == 3 and value[2] == "log"
    ends = value[:2]
    if len(value) != 2 + is_log or any(type(end) not in (int, float) for end in ends):
        return f"must be {_FORM}, not {value!r}"
    if kind not in (int, float):
        return f"must be a list of choices, since it is {config_checks.WORDS[kind]}, not {value!r}"
    if kind is int and any(type(end) is not int for end in ends):
        return f"must have integers as its ends, not {value!r}"
    low, high = map(kind, ends)
    if not low < high:
        return f"must go from a lower to a higher value, not {value!r}"
    if is_log and low <= 0:
        return f"must begin above 0 on a logarithmic scale, not {value!r}"
    return Interval(low, high, is_log)
