"""Configurations, checked once with all problems in one message, and their JSON."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

from simsearch import errors
from simsearch.config import augment, checks, contradictions
from simsearch.config.groups import Config


def from_dict(values: Mapping[str, Any]) -> Config:
    """Returns the checked configuration.

    Args:
        values: Mapping from group to field to value, such as a ConfigDict's `to_dict()`. None in
            a field that `augment.preset` decides takes the preset's value.

    Raises:
        UsageError: With every unknown, missing, ill-typed or out-of-range field, and every
            contradiction between fields, in one message.
    """
    problems: list[str] = []
    groups = checks.checked_fields(Config, augment.resolve(values), problems=problems)
    if problems:
        raise errors.UsageError("; ".join(problems))
    config = Config(**groups)
    problems.extend(contradictions.of(config))
    if problems:
        raise errors.UsageError("; ".join(problems))
    return config


def to_json(config: Config) -> str:
    """Returns the configuration as indented JSON, the text of a version's `config.json`."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(
    text: str,
    *,
    defaults: Mapping[str, Any] | None = None,
    upgrade: Callable[[Any], Any] = lambda values: values,
) -> Config:
    """Returns the configuration that `to_json` wrote.

    Args:
        text: What it wrote.
        defaults: Nested mappings of values for the fields that came after the text.
        upgrade: Puts fields where they stand today.

    Raises:
        UsageError: As `from_dict`, or where the text is not JSON.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise errors.UsageError(f"the stored configuration is not JSON: {error}") from error
    return from_dict(checks.filled(upgrade(values), defaults or {}))


def field_names() -> list[str]:
    """Returns every `group.field`, with the groups inside groups, in order."""
    return checks.field_names(Config)


def differences(old: Config, new: Config) -> list[str]:
    """Returns one `group.field: old -> new` for each field in which two configurations differ."""
    before, after = (checks.flat(dataclasses.asdict(config)) for config in (old, new))
    return [
        f"{name}: {value!r} -> {after[name]!r}"
        for name, value in before.items()
        if value != after[name]
    ]
