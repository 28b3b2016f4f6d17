"""What a sweep does: its settings and its space, checked once, all problems in one message."""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal

from simsearch import config as config_lib
from simsearch import errors, wiring
from simsearch.config import checks as config_checks
from simsearch.config import files as config_files
from simsearch.sweeps import space as space_lib

_GROUP, _SPACE = "sweep", "space."
# Combinations that are checked for contradictions before work starts.
_MAX_CHECKED = 2_000
# Problems of combinations that are told; the others are alike.
_MAX_TOLD = 3


@dataclasses.dataclass(frozen=True)
class Settings:
    """The fields of the group `sweep` but the space; units: `configs/sweep.py`."""

    study: str
    num_trials: config_checks.Count
    sampler: Literal["grid", "random", "tpe"]
    pruner: Literal["none", "median", "hyperband"]
    seed: config_checks.Count
    startup_trials: Annotated[int, config_checks.Range(at_least=1)]
    warmup_validations: config_checks.Count
    storage: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """A sweep, ready to be run.

    Attributes:
        settings: How it searches.
        space: What it searches.
        base: The configuration that the trials change.
        configure: From values by field name to a trial's configuration.
        flags: What names this sweep on the command line: values by the flags' names.
    """

    settings: Settings
    space: space_lib.Space
    base: config_lib.Config
    configure: Callable[[Mapping[str, Any]], config_lib.Config]
    flags: Mapping[str, Any]

    @property
    def num_trials(self) -> int:
        """Trials that count, at most: of a grid no more than it has points."""
        points = space_lib.size(self.space) if self.settings.sampler == "grid" else None
        wanted = self.settings.num_trials
        return wanted if points is None else min(wanted or points, points)


def load_sweep(name: str = "sweep", overrides: Mapping[str, Any] | None = None) -> Plan:
    """Returns the checked sweep of a configuration file, with fields overridden.

    Args:
        name: Name of a file in `configs/`, such as "sweep", or a path to a Python file whose
            `get_config()` has the group `sweep`.
        overrides: Mapping from "group.field", "sweep.field" or "sweep.space.group.field" to a
            value, or to the text of one; a field of the space whose value is None is taken out.

    Raises:
        UsageError: Where the file is not there, or with everything that is wrong in it.
    """
    overrides = dict(overrides or {})
    if _GROUP in overrides:
        fields = config_checks.field_names(Settings, prefix=f"{_GROUP}.")
        raise errors.UsageError(config_checks.unknown_field(_GROUP, [*fields, f"{_GROUP}.space.…"]))
    own = {key: overrides.pop(key) for key in list(overrides) if key.startswith(f"{_GROUP}.")}
    template = config_files.read_template(name, overrides, group=_GROUP)
    base = template.configure({})
    values = config_checks.flat(template.group)
    problems: list[str] = []
    for key, value in own.items():
        field = key.removeprefix(f"{_GROUP}.")
        kind = tuple if field.startswith(_SPACE) else type(values.get(field, ""))
        values[field] = config_files.parse(value, kind)
    written = {
        field.removeprefix(_SPACE): values.pop(field)
        for field in list(values)
        if field.startswith(_SPACE)
    }
    kinds = {
        field: type(value) for field, value in config_checks.flat(dataclasses.asdict(base)).items()
    }
    # What is taken out must be there too; a wrong name stays, and is refused as such.
    written = {
        field: value for field, value in written.items() if value is not None or field not in kinds
    }
    fields = config_checks.checked_fields(Settings, values, problems=problems, prefix=f"{_GROUP}.")
    space = space_lib.parse(written, kinds=kinds, problems=problems)
    faults = {
        field: [
            problem
            for value in part.ends()
            for problem in config_checks.field_problems(config_lib.Config, field, value)
        ]
        for field, part in space.items()
    }
    problems += itertools.chain.from_iterable(faults.values())
    problems += _settings_problems(fields, space)
    right = {field: part for field, part in space.items() if not faults[field]}
    wrong = kinds.keys() & written.keys() - right.keys()
    problems += _combination_problems(right, template.configure, wrong=wrong)
    if problems:
        raise errors.UsageError("; ".join(problems))
    flags = {"config": name} | {f"config.{key}": value for key, value in (own | overrides).items()}
    return Plan(Settings(**fields), space, base, template.configure, flags)


def _settings_problems(fields: Mapping[str, Any], space: space_lib.Space) -> list[str]:
    """Returns what is wrong with settings that are right by themselves; skips those that are not.

    Args:
        fields: The settings.
        space: What is searched.
    """
    right = {
        name: value
        for name, value in fields.items()
        if not config_checks.field_problems(Settings, name, value)
    }
    study, sampler, num_trials = (right.get(name) for name in ("study", "sampler", "num_trials"))
    problems = []
    if study is not None and (
        not study or any(not letter.isalnum() and letter not in "-_." for letter in study)
    ):
        problems.append(
            f"sweep.study={study!r} must be letters, digits, '-', '_' and '.': it names a folder "
            "too"
        )
    if sampler == "grid":
        problems += [
            f"sweep.space.{name}={part} must be a list of choices with sweep.sampler=grid; try "
            "random or tpe for intervals"
            for name, part in space.items()
            if isinstance(part, space_lib.Interval)
        ]
    elif sampler and num_trials == 0:
        problems.append(
            f"sweep.num_trials=0 is for sweep.sampler=grid, which has an end; {sampler} needs a "
            "number >= 1"
        )
    return problems


def _combination_problems(
    space: space_lib.Space,
    configure: Callable[[Mapping[str, Any]], config_lib.Config],
    *,
    wrong: Collection[str],
) -> list[str]:
    """Returns what is wrong with combinations of values that are each right, each thing once.

    Args:
        space: The fields whose values are.
        configure: From values by field name to a trial's configuration.
        wrong: The other fields: what contradicts the value that one has without a sweep is no
            fault of the space.
    """
    found: dict[str, None] = {}
    networks = set()
    corners = (dict(zip(space, values, strict=True)) for values in space_lib.corners(space))
    looked_at = (
        itertools.islice(points, _MAX_CHECKED) for points in (corners, space_lib.inside(space))
    )
    for params in itertools.chain.from_iterable(looked_at):
        try:
            config = configure(params)
            # A backbone that does not exist is told here, not by the trial that draws it.
            if config.model not in networks:
                wiring.network.check(config)
                networks.add(config.model)
        except errors.UsageError as error:
            if not any(field in str(error) for field in wrong):
                found.setdefault(str(error))
    told = list(found)[:_MAX_TOLD]
    if len(found) > _MAX_TOLD:
        told.append(f"and {len(found) - _MAX_TOLD} more problems of combinations like these")
    return told


def described(params: Mapping[str, Any]) -> str:
    """Returns values by field name as one line."""
    return ", ".join(f"{name}={short(value)}" for name, value in params.items())


def short(value: Any) -> str:
    """Returns a value for a table: a number with four digits that count."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
