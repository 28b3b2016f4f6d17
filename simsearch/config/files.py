"""Configuration files by name or path, and `group.field=value` overrides."""

import ast
import copy
import dataclasses
import difflib
import functools
import importlib.util
import operator
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import config_dict

from simsearch import config as config_lib
from simsearch import errors
from simsearch.config import augment as config_augment
from simsearch.config import checks as config_checks
from simsearch.config import history as config_history

CONFIG_DIR = pathlib.Path(__file__).resolve().parents[2] / "configs"


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
    if "sweep" in values:
        raise errors.UsageError(f"--config {name} describes a sweep; run it with --mode=sweep")
    return config_lib.from_dict(_overridden(values, overrides or {}).to_dict())


def load_stored(text: str) -> config_lib.Config:
    """Returns the configuration in a version's `config.json`.

    Fields that came after the version was made have what the program did before there was a field,
    which is the value of `configs/train.py` for most.

    Raises:
        UsageError: Where the text is not JSON, or a value is out of range.
    """
    return config_lib.from_json(
        text,
        defaults=config_history.defaults(_read(CONFIG_DIR / "train.py").to_dict()),
        upgrade=config_history.with_moved_fields,
    )


class Template(NamedTuple):
    """A file that was read once, to make configurations of with fields changed.

    Attributes:
        configure: From overrides to the checked configuration; derived defaults follow them.
        group: The values of the group that is no part of a run, as the file gives them.
    """

    configure: Callable[[Mapping[str, Any]], config_lib.Config]
    group: dict[str, Any]


def read_template(name: str, overrides: Mapping[str, Any], *, group: str) -> Template:
    """Returns the template of a file that has a group beside those of a run.

    Args:
        name: As `load_config` takes it.
        overrides: Fields of the run to change in every configuration.
        group: Name of the group beside them.

    Raises:
        UsageError: Where the file is not there or has no such group.
    """
    path = _find(name)
    values = _read(path)
    if group not in values:
        raise errors.UsageError(
            f"--config {name} has no group {group}; --mode={group} needs one that has, such as "
            f"--config {group}, or your own file that imports configs/{group}.py"
        )
    own = values[group].to_dict()
    with values.unlocked():
        del values[group]
    _overridden(values, overrides)

    def configure(changes: Mapping[str, Any]) -> config_lib.Config:
        changed = _overridden(copy.deepcopy(values), changes)
        return config_lib.from_dict(changed.to_dict())

    return Template(configure, own)


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
    known = config_lib.field_names()
    if unknown := [name for name in overrides if name not in known]:
        raise errors.UsageError(config_checks.unknown_field(unknown[0], known))
    if refused := [name for name in overrides if not name.startswith(allowed)]:
        fields = [f"config.{name}{'*' if name.endswith('.') else ''}" for name in allowed]
        raise errors.UsageError(
            f"--config.{refused[0]} cannot be changed here, since the version's own model is used; "
            f"these can: {', '.join(fields)}"
        )
    values = config_dict.ConfigDict(dataclasses.asdict(config))
    return config_lib.from_dict(_overridden(values, overrides).to_dict())


def split_overrides(arguments: Sequence[str]) -> tuple[dict[str, str | bool], list[str]]:
    """Returns the overrides among command line arguments, and the other arguments.

    `--config.a.b=value` and `--config.a.b value` give a text, `--config.a.b` True, and
    `--noconfig.a.b` False; the last one of a field wins.
    """
    overrides, rest = {}, []
    remaining = list(arguments)
    while remaining:
        argument = remaining.pop(0)
        match = re.fullmatch(r"--?(no)?config\.([^=]+)(?:=(.*))?", argument, flags=re.DOTALL)
        if match is None:
            _check_no_field(argument)
            rest.append(argument)
            continue
        negated, name, value = match.groups()
        if negated and value is not None:
            raise errors.UsageError(f"{argument}: --noconfig.{name} takes no value")
        if value is None and not negated and remaining and not remaining[0].startswith("--"):
            value = remaining.pop(0)
        overrides[name] = not negated if value is None else value
    return overrides, rest


def _check_no_field(argument: str) -> None:
    """Raises UsageError where an argument has the form of an override under another name."""
    if match := re.match(r"--([a-zA-Z_]\w*\.[\w.]*)(=|$)", argument):
        first, _, rest = match[1].partition(".")
        name = rest if difflib.get_close_matches(first, ["config"]) else match[1]
        nearest = config_checks.nearest_fields(name, config_lib.field_names())
        hint = (
            f"did you mean {' or '.join(f'--config.{name}' for name in nearest)}?"
            if nearest
            else "fields are set by --config.group.field=value"
        )
        raise errors.UsageError(f"unknown flag --{match[1]}; {hint}")


def value_problem(given: str, parser: Any) -> str:
    """Returns the message for a flag's value that it cannot take, with the nearest that it can.

    Args:
        given: The flag as it was given, such as "--split=vaild".
        parser: The flag's own, which knows what it takes.
    """
    choices = getattr(parser, "enum_values", ())
    if not choices:
        return f"{given} must be {parser.syntactic_help or 'true or false'}"
    nearest = difflib.get_close_matches(given.partition("=")[2], choices, n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    return f"{given} must be one of <{'|'.join(choices)}>{hint}"


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
        reason = f"{type(error).__name__}: {errors.one_line(error)}" if str(error) else repr(error)
        raise errors.UsageError(f"--config {path} could not be read: {reason}") from error
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
        if name not in known:
            raise errors.UsageError(config_checks.unknown_field(name, known))
        if name not in config_checks.flat(values.to_dict()):
            raise errors.UsageError(
                f"config field {name} is not set by this file; begin with what get_config() of "
                "configs/train.py returns, which has all fields, and override it"
            )
        *path, field = name.split(".")
        group = functools.reduce(operator.getitem, path, values)
        if name in config_augment.OPEN and value in (None, "None"):
            group[field] = None
            continue
        default = config_checks.plain(group[field])
        kind = group.get_type(field) if default is None else type(default)
        parsed = parse(value, kind)
        if kind is float and type(parsed) is int:
            parsed = float(parsed)
        if kind is tuple and type(parsed) is list:
            parsed = tuple(parsed)
        if type(parsed) is not kind:
            example = "" if default in (None, "", ()) else f", such as {default!r}"
            raise errors.UsageError(
                f"--config.{name}={value} must be {config_checks.WORDS[kind]}{example}"
            )
        with group.ignore_type():  # A file may have computed the field with NumPy.
            group[field] = parsed
    return values


def parse(text: Any, kind: type) -> Any:
    """Returns the value that a text stands for where a `kind` is expected.

    What is no text is returned as plain Python has it, and so is a text that stands for nothing
    else.
    """
    text = config_checks.plain(text)
    if not isinstance(text, str) or kind is str:
        return text
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
