"""The study of a sweep in a database: which values a trial gets, and what came of it.

A trial belongs to the process that took it. Where that process has died,
one of the same folder takes it over and its version goes on; one on another machine, after a few
minutes without a sign of life, begins it anew. Either way it counts once.
"""

import contextlib
import math
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import optuna

from simsearch.sweeps import plan as plan_lib
from simsearch.sweeps import search, trials, workers
from simsearch.sweeps import space as space_lib

_STATE = optuna.trial.TrialState


class Trial:
    """One trial that this process has in hand.

    Attributes:
        number: Counts the study's trials.
        params: Values by field name.
        version: Number of the version that was begun for it before; None: none yet.
    """

    def __init__(self, trial: optuna.trial.Trial, study: "Study") -> None:
        self._trial = trial
        self._study = study
        self.number = trial.number
        self.params = dict(trial.params)
        self.version: int | None = trial.user_attrs.get("version")

    def begun(self, version: int) -> None:
        """Remembers which version is trained for it."""
        self._trial.set_user_attr("version", version)
        self.version = version

    def report(self, index: int, value: float | None) -> bool:
        """Stores the monitored figure of validation `index` >= 1; returns whether to prune.

        What a trial that goes on has reported before keeps its value, and what came of it.
        """
        if index not in self._study.frozen(self.number).intermediate_values:
            self._trial.report(math.nan if value is None else value, index)
        trial = self._study.frozen(self.number)
        # Optuna judges by the last report; those before it were judged when they came.
        if index != trial.last_step:
            return False
        is_bad = trial.user_attrs.get("bad_at") == index or self._trial.should_prune()
        if is_bad:
            # Hyperband says so once only, and a kill may come before the trial has ended.
            self._trial.set_user_attr("bad_at", index)
        return is_bad

    def end(self, *, value: float | None = None, pruned: bool = False, error: str = "") -> bool:
        """Stores what came of it; returns False where the trial was given up meanwhile.

        Args:
            value: The best monitored figure of a trial that went to its end.
            pruned: Whether it was ended for the bad figures that it reported.
            error: Why it failed, where it did.
        """
        state = _STATE.PRUNED if pruned else _STATE.FAIL if error else _STATE.COMPLETE
        try:
            if error:
                self._trial.set_user_attr("error", error)
            self._study.tell(self._trial, value, state)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            if self._study.frozen(self.number).state.is_finished():
                return False
            raise
        return True

    def alive(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which other machines see that somebody works on it."""

        def beat() -> None:
            # A database that is away for a moment is none of this thread's business.
            with contextlib.suppress(Exception):
                self._trial.set_user_attr("seen", time.time())

        return workers.heartbeat(beat)


class Study:
    """A study in its database, as one process of one folder works on it."""

    def __init__(
        self,
        study: optuna.Study,
        plan: plan_lib.Plan,
        directory: pathlib.Path,
        choosing: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:
        """Registers this process.

        Args:
            study: In its database.
            plan: What the study is of.
            directory: Folder of what the study leaves here.
            choosing: Keeps the processes of other folders and machines from choosing a trial.
        """
        self._study = study
        self._plan = plan
        self._choosing = choosing
        self._workers = workers.Workers(directory / "workers")
        if plan.settings.sampler == "grid":
            with self._alone():
                self._enqueue_grid()

    def next_trial(self) -> Trial | None:
        """Returns a trial that was left behind, or a new one; None where none is left to take."""
        with self._alone():
            self._give_up_the_lost()
            left = self._left_behind()
            if left is None and self._num_open() > 0:
                left = self._ask()
        return left and Trial(left, self)

    def begin_anew(self, number: int) -> None:
        """Lets a trial of this process wait to be begun without what came of it so far."""
        with self._alone():
            self._begin_anew(self.frozen(number))

    def rows(self) -> list[trials.Row]:
        """Returns all trials but those that were begun anew, the best first."""
        rows = [
            trials.Row(
                number=trial.number,
                state=_state(trial),
                params=_params(trial),
                value=_value(trial),
                num_validations=len(trial.intermediate_values),
                version=trial.user_attrs.get("version"),
                is_here=trial.user_attrs.get("home") == self._workers.home,
                error=trial.user_attrs.get("error", ""),
            )
            for trial in self._trials()
        ]
        return trials.ranked(rows)

    def importances(self, *, seed: int) -> dict[str, float]:
        """Returns each field's share in the figures' variance, the largest first.

        Empty where fewer than four trials went to their end, or all figures are the same.

        Args:
            seed: Decides how the random forest grows that the shares are read from.

        References:
            Hutter, Hoos and Leyton-Brown, An Efficient Approach for Assessing Hyperparameter
                Importance, 2014.
        """
        values = [trial.value for trial in self._trials() if trial.state == _STATE.COMPLETE]
        if len(values) < 4 or len(set(values)) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
        shares = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        return {name: float(share) for name, share in shares.items()}

    def frozen(self, number: int) -> optuna.trial.FrozenTrial:
        """Returns a trial as the database has it."""
        return self._study.get_trials(deepcopy=False)[number]

    def tell(self, trial: optuna.trial.Trial, value: float | None, state: _STATE) -> None:
        """Stores the end of a trial."""
        self._study.tell(trial, value, state)

    def close(self) -> None:
        """Lets go of the study."""
        self._workers.close()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps all other processes from choosing a trial at the same time."""
        with self._workers.alone(), self._choosing():
            yield

    def _trials(self) -> list[optuna.trial.FrozenTrial]:
        found = self._study.get_trials(deepcopy=False)
        return [trial for trial in found if not trial.user_attrs.get("lost")]

    def _num_open(self) -> int:
        """Returns how many trials may be begun; those of a grid wait already."""
        found = self._trials()
        begun = sum(trial.state != _STATE.WAITING for trial in found)
        num_open = self._plan.num_trials - begun
        if self._plan.settings.sampler == "grid":
            return min(num_open, len(found) - begun)
        return num_open

    def _left_behind(self) -> optuna.trial.Trial | None:
        """Returns the first trial that a dead process of this folder had, now this one's."""
        for trial in self._trials():
            owner = trial.user_attrs.get("worker", "")
            is_ours = trial.user_attrs.get("home") == self._workers.home
            if trial.state == _STATE.RUNNING and is_ours and not self._workers.is_alive(owner):
                return self._suggest(self._reopened(trial))
        return None

    def _ask(self) -> optuna.trial.Trial:
        if not any(trial.state == _STATE.WAITING for trial in self._trials()):
            # Whose it is stands with it from the start, whenever this process is killed.
            owner = {"home": self._workers.home, "worker": self._workers.name}
            self._study.enqueue_trial({}, user_attrs=owner)
        return self._suggest(self._study.ask())

    def _suggest(self, trial: optuna.trial.Trial) -> optuna.trial.Trial:
        """Takes a trial in hand and sees to it that it has all its values."""
        trial.set_user_attr("home", self._workers.home)
        trial.set_user_attr("worker", self._workers.name)
        self._study.sampler = search.create_sampler(self._plan.settings, number=trial.number)
        for name, part in self._plan.space.items():
            search.suggest(trial, name, part)
        return trial

    def _give_up_the_lost(self) -> None:
        """Lets the running trials of other folders that nobody works on wait to be begun anew."""
        for trial in self._trials():
            if trial.state != _STATE.RUNNING:
                continue
            is_foreign = trial.user_attrs.get("home") != self._workers.home
            seen = trial.user_attrs.get("seen", trial.datetime_start.timestamp())
            if is_foreign and time.time() - seen > workers.LOST_SECONDS:
                self._begin_anew(trial)

    def _begin_anew(self, trial: optuna.trial.FrozenTrial) -> None:
        # As another trial: what one has reported cannot be taken back.
        self._mark_lost(trial.number)
        point = {key: trial.user_attrs[key] for key in ("point",) if key in trial.user_attrs}
        self._study.enqueue_trial(_params(trial), user_attrs=point)

    def _mark_lost(self, number: int) -> None:
        self._reopened(self.frozen(number)).set_user_attr("lost", True)
        self._study.tell(number, state=_STATE.FAIL)

    def _reopened(self, trial: optuna.trial.FrozenTrial) -> optuna.trial.Trial:
        # Optuna offers no other way to go on with a trial that another process began.
        return optuna.trial.Trial(self._study, trial._trial_id)

    def _enqueue_grid(self) -> None:
        there = {trial.user_attrs.get("point") for trial in self._trials()}
        points = list(space_lib.corners(self._plan.space))
        chosen = range(len(points))
        if self._plan.num_trials < len(points):
            # A part of a grid is drawn from all over it.
            rng = np.random.default_rng(self._plan.settings.seed)
            chosen = rng.permutation(len(points))[: self._plan.num_trials].tolist()
        for index in chosen:
            if index not in there:
                params = dict(zip(self._plan.space, points[index], strict=True))
                self._study.enqueue_trial(params, user_attrs={"point": index})


def _params(trial: optuna.trial.FrozenTrial) -> Mapping[str, Any]:
    return trial.params or trial.system_attrs.get("fixed_params", {})


def _state(trial: optuna.trial.FrozenTrial) -> trials.State:
    return {
        _STATE.COMPLETE: "finished",
        _STATE.PRUNED: "pruned",
        _STATE.FAIL: "failed",
        _STATE.RUNNING: "running",
        _STATE.WAITING: "waiting",
    }[trial.state]


def _value(trial: optuna.trial.FrozenTrial) -> float | None:
    """Returns the best figure of a trial, so far where it did not go to its end."""
    if trial.state == _STATE.COMPLETE:
        return trial.value
    known = [value for value in trial.intermediate_values.values() if math.isfinite(value)]
    return max(known, default=None)
