"""Optuna's sampler, pruner and distributions for what a plan says."""

from typing import Any

import numpy as np
import optuna

from simsearch.sweeps import plan as plan_lib
from simsearch.sweeps import space as space_lib


def create_sampler(settings: plan_lib.Settings, *, number: int) -> optuna.samplers.BaseSampler:
    """Returns what draws the values of one trial.

    By the trial's number: a study that goes on does not draw again what it drew before, and two
    machines do not draw the same.

    Args:
        settings: The sweep's settings.
        number: The trial's number.
    """
    seed = int(np.random.SeedSequence([settings.seed, number]).generate_state(1)[0])
    if settings.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=settings.startup_trials)
    return optuna.samplers.RandomSampler(seed=seed)


def create_pruner(
    settings: plan_lib.Settings, *, num_validations: int
) -> optuna.pruners.BasePruner:
    """Returns what decides which trials are ended for their bad figures.

    Args:
        settings: The sweep's settings.
        num_validations: Validations of a trial that goes to its end.

    References:
        Li et al., Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization, 2018.
    """
    least = settings.warmup_validations + 1
    if settings.pruner == "median":
        return optuna.pruners.MedianPruner(
            n_startup_trials=settings.startup_trials, n_warmup_steps=least
        )
    if settings.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(
            min_resource=least, max_resource=max(least, num_validations)
        )
    return optuna.pruners.NopPruner()


def suggest(
    trial: optuna.trial.Trial, name: str, part: space_lib.Choices | space_lib.Interval
) -> Any:
    """Returns the value that a trial has for a field, drawn now where it has none yet."""
    if isinstance(part, space_lib.Choices):
        return trial.suggest_categorical(name, part.values)
    if isinstance(part.low, int):
        return trial.suggest_int(name, part.low, part.high, log=part.is_log)
    return trial.suggest_float(name, part.low, part.high, log=part.is_log)
