"""Configuration files by name or path, and `group.field=value` overrides."""

import ast
import dataclasses
import functools
import importlib.util
import operator
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import config_dict

from simsearch import config as config_lib
from simsearch import config_checks, errors

CONFIG_DIR = pathlib.Path(__file__).resolve().parent.parent / "configs"
# What was done before there were these fields, where it is not today's default.
_BEFORE = {
    "data": {
        "drop_duplicates": False,
        "interpolation": "bilinear",
        "image_mean": (0.485, 0.456, 0.406),
        "image_std": (0.229, 0.224, 0.225),
    },
    "model": {"padding": "torch"},
    "train": {"patience": 0},
}


def load_config(
    name: str = "train", overrides: Mapping[str, Any] | None = None
) -> config_lib.Config:
    """Returns the checked configuration of a file, with fields overridden.

    Args:
        name: Name of a file in `configs/`, such as "train", or a path to a Python file with a
            `get_config()` that returns a ConfigDict.
        overrides: Mapping from "group.field" to a value, or to the text of one.

    Raises:
        UsageError: Where the file or a field is not there, or a value has the wrong type.
    """
    values = _read(_find(name))
    return config_lib.from_dict(_overridden(values, overrides or {}).to_dict())


def load_stored(text: str) -> config_lib.Config:
    """Returns the configuration in a version's `config.json`.

    Fields that came after the version was made have what the program did before there was a field,
    which is the value of `configs/train.py` for most.

    Raises:
        UsageError: Where the text is not JSON, or a value is out of range.
    """
    defaults = _read(CONFIG_DIR / "train.py").to_dict()
    for group, fields in _BEFORE.items():
        defaults[group] |= fields
    return config_lib.from_json(text, defaults=defaults)


def override(
    config: config_lib.Config, overrides: Mapping[str, Any], *, allowed: tuple[str, ...] = ("",)
) -> config_lib.Config:
    """Returns a stored configuration with fields overridden.

    Args:
        config: The stored configuration.
        overrides: Mapping from "group.field" to a value, or to the text of one.
        allowed: Beginnings of the names that may change.

    Raises:
        UsageError: Where a field may not change, is not there, or has the wrong type.
    """
    if not overrides:
        return config
    refused = [name for name in overrides if not name.startswith(allowed)]
    if refused:
        raise errors.UsageError(
            f"--config.{refused[0]} cannot be changed here, since the version's own model is used; "
            f"these can: {', '.join(f'config.{name}' for name in allowed)}"
        )
    values = config_dict.ConfigDict(dataclasses.asdict(config))
    return config_lib.from_dict(_overridden(values, overrides).to_dict())


def split_overrides(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Returns the overrides among command line arguments, and the other arguments.

    `--config.a.b=value`, `--config.a.b value`, and for booleans `--config.a.b` and `--noconfig.a.b`
    are taken; the last one of a field wins.
    """
    overrides, rest = {}, []
    remaining = list(arguments)
    while remaining:
        argument = remaining.pop(0)
        match = re.fullmatch(r"--?(no)?config\.([^=]+)(?:=(.*))?", argument, flags=re.DOTALL)
        if match is None:
            rest.append(argument)
            continue
        negated, name, value = match.groups()
        if value is None and not negated and remaining and not remaining[0].startswith("--"):
            value = remaining.pop(0)
        overrides[name] = value if value is not None else str(not negated)
    return overrides, rest


def names() -> list[str]:
    """Returns the names of the configurations that come with the program."""
    return sorted(path.stem for path in CONFIG_DIR.glob("[!_]*.py"))


def _find(name: str) -> pathlib.Path:
    path = pathlib.Path(name)
    for candidate in (path, CONFIG_DIR / f"{name}.py", CONFIG_DIR.parent / name):
        if candidate.suffix == ".py" and candidate.is_file():
            return candidate
    raise errors.UsageError(
        f"--config {name} is neither a file nor a name in configs/; "
        f"choose from {', '.join(names())} or give the path of a .py file"
    )


def _read(path: pathlib.Path) -> config_dict.ConfigDict:
    spec = importlib.util.spec_from_file_location(f"simsearch_config_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        values = module.get_config()
    except Exception as error:  # The file is the user's own code: whatever it raises is theirs.
        reason = " ".join(str(error).split())
        raise errors.UsageError(
            f"--config {path} could not be read: {type(error).__name__}: {reason}"
        ) from error
    if not isinstance(values, config_dict.ConfigDict):
        raise errors.UsageError(
            f"--config {path}: get_config() must return a ConfigDict, not {type(values).__name__}"
        )
    return values


def _overridden(
    values: config_dict.ConfigDict, overrides: Mapping[str, Any]
) -> config_dict.ConfigDict:
    """Sets every override in place, so that derived defaults follow, and returns `values`."""
    known = config_lib.field_names()
    for name, value in overrides.items():
        if name not in known or name not in config_checks.flat(values.to_dict()):
            raise errors.UsageError(config_checks.unknown_field(name, known))
        *path, field = name.split(".")
        group = functools.reduce(operator.getitem, path, values)
        kind = group.get_type(field)
        parsed = _parse(value, kind) if isinstance(value, str) else value
        if kind is float and type(parsed) is int:
            parsed = float(parsed)
        if kind is tuple and type(parsed) is list:
            parsed = tuple(parsed)
        if type(parsed) is not kind:
            default = group[field]
            example = "" if default is None else f", such as {default!r}"
            raise errors.UsageError(
                f"--config.{name}={value} must be {config_checks.WORDS[kind]}{example}"
            )
        group[field] = parsed
    return values


def _parse(text: str, kind: type) -> Any:
    if kind is str:
        return text
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
