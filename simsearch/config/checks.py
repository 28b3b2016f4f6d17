"""Checks of a mapping against a dataclass: types, choices, ranges, unknown and missing fields."""

import dataclasses
import difflib
import math
import os
import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import numpy as np


@dataclasses.dataclass(frozen=True)
class Range:
    """The interval that a number must lie in; `above` and `below` are exclusive bounds."""

    at_least: float = -math.inf
    at_most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def __contains__(self, value: float) -> bool:
        inside = self.at_least <= value <= self.at_most
        return inside and self.above < value < self.below

    def __str__(self) -> str:
        words = (">=", self.at_least), ("<=", self.at_most), (">", self.above), ("<", self.below)
        return " and ".join(
            f"{sign} {bound if isinstance(bound, int) else f'{bound:g}'}"
            for sign, bound in words
            if math.isfinite(bound)
        )


Count = Annotated[int, Range(at_least=0)]
Seed = Annotated[int, Range(at_least=0, at_most=2**63 - 1)]  # Which jax can hold.
PositiveInt = Annotated[int, Range(at_least=1)]
Positive = Annotated[float, Range(above=0)]
NonNegative = Annotated[float, Range(at_least=0)]
Fraction = Annotated[float, Range(at_least=0, at_most=1)]
SplitFraction = Annotated[float, Range(above=0, below=1)]
Decay = Annotated[float, Range(at_least=0, below=1)]

WORDS = types.MappingProxyType(
    {
        int: "an integer",
        float: "a number",
        bool: "True or False",
        str: "text",
        tuple: "numbers between brackets, with commas",
    }
)


def unknown_field(name: str, choices: list[str]) -> str:
    """Returns the message for a field that does not exist, with the nearest that do."""
    if inside := [choice for choice in choices if choice.startswith(f"{name}.")]:
        return f"config.{name} is a group; set one of its fields: {', '.join(inside)}"
    nearest = " or ".join(nearest_fields(name, choices))
    hint = f"did you mean {nearest}?" if nearest else f"choose from {', '.join(choices)}"
    return f"config field {name} does not exist; {hint}"


def nearest_fields(name: str, choices: Sequence[str]) -> list[str]:
    """Returns the fields that a wrong name may stand for: all that share the last part it means.

    Args:
        name: The dotted name; a slip in it means one field, and a group in it the fields inside.
        choices: The names that exist.
    """
    if slip := difflib.get_close_matches(name, choices, n=1, cutoff=0.9):
        return slip
    group, _, field = name.rpartition(".")
    last_parts = {choice: choice.rpartition(".")[2] for choice in choices}
    meant = difflib.get_close_matches(field, set(last_parts.values()), n=1)
    shared = [choice for choice, last in last_parts.items() if last in meant]
    inside = [choice for choice in shared if choice.startswith(f"{group}.")]
    return inside or shared or difflib.get_close_matches(name, choices, n=1)


def field_names(kind: type, *, prefix: str = "") -> list[str]:
    """Returns the dotted name of every field of a dataclass and of the dataclasses in it, in order.

    Args:
        kind: The dataclass.
        prefix: What stands before the names, such as "data.".
    """
    names = []
    for name, hint in get_type_hints(kind).items():
        inside = dataclasses.is_dataclass(hint)
        names += field_names(hint, prefix=f"{prefix}{name}.") if inside else [prefix + name]
    return names


def flat(values: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Returns nested mappings as one, by dotted names, in order.

    Args:
        values: The mapping.
        prefix: What stands before the names, such as "data.".
    """
    flattened = {}
    for name, value in values.items():
        inside = isinstance(value, Mapping)
        flattened |= flat(value, prefix=f"{prefix}{name}.") if inside else {prefix + name: value}
    return flattened


def filled(values: Any, defaults: Mapping[str, Any]) -> Any:
    """Returns nested mappings with what they lack; what is no mapping is left as it is.

    Args:
        values: The mapping, or whatever stands where one should.
        defaults: Mapping to take from what is missing.
    """
    if not isinstance(values, Mapping):
        return values
    return dict(defaults) | {
        name: filled(value, defaults[name]) if isinstance(defaults.get(name), Mapping) else value
        for name, value in values.items()
    }


def checked_fields(
    kind: type, values: Any, *, problems: list[str], prefix: str = ""
) -> dict[str, Any]:
    """Returns the keyword arguments of a dataclass, taken from nested mappings.

    Args:
        kind: The dataclass; its annotations give the types, `Literal` choices and `Range`s.
        values: The mapping to take them from.
        problems: List to which one message for each thing that is wrong is appended.
        prefix: What stands before the names in the messages, such as "data.".
    """
    if not isinstance(values, Mapping):
        problems.append(f"config group {prefix[:-1]} must be a group of fields, not {values!r}")
        return {}
    hints = get_type_hints(kind, include_extras=True)
    for name in values:
        if name not in hints:
            choices = [prefix + hint for hint in hints]
            problems.append(unknown_field(prefix + name, choices))
    checked = {}
    for name, hint in hints.items():
        if name not in values:
            problems.append(f"config field {prefix}{name} is missing; configs/train.py lists it")
        elif dataclasses.is_dataclass(hint):
            before = len(problems)
            fields = checked_fields(
                hint, values[name], problems=problems, prefix=f"{prefix}{name}."
            )
            checked[name] = hint(**fields) if len(problems) == before else None
        else:
            checked[name] = _value(hint, values[name], prefix + name, problems)
    return checked


def plain(value: Any) -> Any:
    """Returns NumPy's numbers and arrays, and paths, as the values that a configuration holds."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return value


def field_problems(kind: type, name: str, value: Any) -> list[str]:
    """Returns what is wrong with one field's value by itself: its type, choice or range.

    Args:
        kind: The dataclass.
        name: The field's dotted name, which exists.
        value: What it should take.
    """
    hint: Any = kind
    for part in name.split("."):
        hint = get_type_hints(hint, include_extras=True)[part]
    problems: list[str] = []
    _value(hint, value, name, problems)
    return problems


def _value(hint: Any, value: Any, name: str, problems: list[str]) -> Any:
    value = plain(value)
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        if value not in choices:
            problems.append(f"{name}={value!r} must be one of {', '.join(map(str, choices))}")
        return value
    kind, *bounds = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if get_origin(kind) is tuple:
        return _numbers(bounds, value, name, problems)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        problems.append(f"{name}={value!r} must be {WORDS[kind]}, not {type(value).__name__}")
    elif kind is float and not math.isfinite(value):
        problems.append(f"{name}={value} must be finite")
    else:
        problems.extend(f"{name}={value} must be {bound}" for bound in bounds if value not in bound)
    return value


def _numbers(bounds: list[Range], value: Any, name: str, problems: list[str]) -> Any:
    """Returns a tuple of floats; JSON gives a list."""
    if not isinstance(value, list | tuple) or any(type(item) not in (int, float) for item in value):
        problems.append(f"{name}={value!r} must be {WORDS[tuple]}")
        return value
    for bound in bounds:
        problems.extend(f"{name}={item} must be {bound}" for item in value if item not in bound)
    return tuple(map(float, value))
