"""The database of a sweep's study: opened, checked to be the same sweep, and closed."""

import contextlib
import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
import sqlalchemy

from simsearch import errors, runs
from simsearch.config import checks as config_checks
from simsearch.data import splits as splits_lib
from simsearch.sweeps import plan as plan_lib
from simsearch.sweeps import search, workers
from simsearch.sweeps import study as study_lib

# Seconds to wait while another process writes to the same file.
_SQLITE_TIMEOUT = 60
# Under which a study remembers its values and images.
_ABOUT = "about"
# Tries to open a database, and seconds between them: another machine may make the same tables.
_TRIES, _PAUSE = 3, 1


@contextlib.contextmanager
def open_study(
    plan: plan_lib.Plan,
    *,
    directory: pathlib.Path,
    default_file: pathlib.Path,
    num_validations: int,
    images: Mapping[str, Any],
) -> Iterator[study_lib.Study]:
    """Yields the study of a plan, made where it is not there yet.

    Args:
        plan: The sweep.
        directory: Folder of what this study leaves beside the versions.
        default_file: SQLite file, where the plan names no database.
        num_validations: Validations of a trial that goes to its end.
        images: Those of all trials, as `data.splits.summary` has them.

    Raises:
        UsageError: Where the database cannot be opened, or holds another study of this name.
        RunError: Where it fails while the sweep runs.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = plan.settings.storage or f"sqlite:///{default_file.absolute()}"
    shown = plan.settings.storage and without_password(url) or str(default_file)
    # Other studies of the folder are in the same file.
    with workers.locked(_lock_of(default_file)):
        try:
            storage = _open(url)
            study = optuna.create_study(
                storage=storage,
                study_name=plan.settings.study,
                direction="maximize",
                pruner=search.create_pruner(plan.settings, num_validations=num_validations),
                load_if_exists=True,
            )
        except (sqlalchemy.exc.SQLAlchemyError, RuntimeError, ValueError, ImportError) as error:
            raise errors.UsageError(
                f"the sweep's database {shown} could not be opened: {errors.one_line(error)}; "
                "sweep.storage takes a URL such as postgresql://USER@HOST/NAME"
            ) from error
        _check_same(study, plan, images, shown)
    try:
        choosing = functools.partial(_choosing, storage.engine, plan.settings.study)
        with contextlib.closing(study_lib.Study(study, plan, directory, choosing)) as opened:
            yield opened
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise errors.RunError(
            f"the sweep's database {shown} failed: {errors.one_line(error)}"
        ) from error
    finally:
        storage.engine.dispose()


def _open(url: str) -> optuna.storages.RDBStorage:
    """Returns the database, its tables made where they are missing."""
    for num_left in reversed(range(_TRIES)):
        try:
            return optuna.storages.RDBStorage(url, engine_kwargs=_engine_options(url))
        except sqlalchemy.exc.DBAPIError as error:
            is_race = isinstance(error, sqlalchemy.exc.IntegrityError)
            if not num_left or not (is_race or "already exists" in str(error)):
                raise
            time.sleep(_PAUSE)


@contextlib.contextmanager
def _choosing(engine: sqlalchemy.Engine, study_name: str) -> Iterator[None]:
    """Keeps everybody else who has this database from choosing a trial of the study."""
    if engine.dialect.name == "sqlite":
        file = engine.url.database
        if not file or file == ":memory:":  # It is this process's alone.
            yield
            return
        with workers.locked(_lock_of(pathlib.Path(file))):
            yield
        return
    # Making a trial locks the study's own row, and so this locks that of what the study is about.
    studies = sqlalchemy.table("studies", *map(sqlalchemy.column, ("study_id", "study_name")))
    about = sqlalchemy.table("study_user_attributes", *map(sqlalchemy.column, ("study_id", "key")))
    of_study = sqlalchemy.select(studies.c.study_id).where(studies.c.study_name == study_name)
    row = sqlalchemy.select(about.c.key).where(
        about.c.study_id == of_study.scalar_subquery(), about.c.key == _ABOUT
    )
    with engine.begin() as connection:
        connection.execute(row.with_for_update()).one()
        yield


def _lock_of(file: pathlib.Path) -> pathlib.Path:
    return file.with_name(f".{file.name}.lock")


def _check_same(
    study: optuna.Study, plan: plan_lib.Plan, images: Mapping[str, Any], shown: str
) -> None:
    """Raises UsageError where the study was begun with other values; remembers them otherwise."""
    about = {
        "config": config_checks.flat(dataclasses.asdict(plan.base)),
        "space": {name: part.to_json() for name, part in plan.space.items()},
        "images": dict(images),
    }
    stored = study.user_attrs.get(_ABOUT)
    if stored is None:
        study.set_user_attr(_ABOUT, about)
        return
    now, before = json.loads(json.dumps(about)), stored
    changes = [
        f"{name}: {before['config'][name]!r} -> {value!r}"
        for name, value in now["config"].items()
        if name not in runs.LOCAL_FIELDS
        and name in before["config"]
        and before["config"][name] != value
    ]
    changes += [
        f"sweep.space.{name}: {before['space'].get(name)} -> {now['space'].get(name)}"
        for name in dict.fromkeys([*before["space"], *now["space"]])
        if before["space"].get(name) != now["space"].get(name)
    ]
    # Studies of an earlier time did not keep them.
    changes += splits_lib.changes(before.get("images", {}), now["images"])
    if changes:
        raise errors.UsageError(
            f"the study {plan.settings.study!r} in {shown} was begun with other values: "
            f"{'; '.join(changes)}; leave them as they were, or begin another study with "
            "--config.sweep.study=NAME"
        )


def _engine_options(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": _SQLITE_TIMEOUT}}
    # Hours may lie between two validations, in which a server or a firewall ends what is idle: no
    # connection is kept open.
    return {"poolclass": sqlalchemy.pool.NullPool}


def without_password(url: str) -> str:
    """Returns a database's URL as it may be shown."""
    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return url
