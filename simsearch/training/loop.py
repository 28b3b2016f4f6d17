"""The training loop: steps, validation, checkpoints, and what is said about them."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from simsearch import checkpoints, errors, keys, progress
from simsearch.config import Config
from simsearch.training import patience as patience_lib
from simsearch.training import records as records_lib
from simsearch.training import state as state_lib
from simsearch.training import stop
from simsearch.training import window as window_lib

# What the line of a validation says beside the metric that is monitored.
_SHOWN = ("recall_at_1", "map_at_r", "classifier_accuracy")


class Plan(NamedTuple):
    """How many steps a run has, and how many of them are one pass over the training images."""

    num_steps: int
    steps_per_epoch: int

    def epoch(self, step: int) -> float:
        """Returns the passes over the training images after `step` steps."""
        return step / self.steps_per_epoch

    def is_validated(self, step: int, *, every_epochs: int) -> bool:
        """Returns whether a validation follows step `step`."""
        return step == self.num_steps or step % (every_epochs * self.steps_per_epoch) == 0

    def periods(self, start: int, *, every_epochs: int) -> Iterator[tuple[int, int]]:
        """Yields first step and end of each stretch without a validation inside, from `start`."""
        every = every_epochs * self.steps_per_epoch
        while start < self.num_steps:
            end = min((start // every + 1) * every, self.num_steps)
            yield start, end
            start = end


def plan(config: Config, num_images: int) -> Plan:
    """Returns the plan of a run over `num_images` training images.

    Raises:
        UsageError: Where it has steps, and too few for a single update.
    """
    steps_per_epoch = -(-num_images // config.train.batch_size)
    num_steps = config.train.num_steps or config.train.num_epochs * steps_per_epoch
    if 0 < num_steps < config.train.accumulate_steps:
        raise errors.UsageError(
            f"train.accumulate_steps={config.train.accumulate_steps} is more than all {num_steps} "
            "steps of the run, or nothing is ever updated; lower it, or train longer"
        )
    return Plan(num_steps=num_steps, steps_per_epoch=steps_per_epoch)


def fit(
    state: state_lib.TrainState,
    batches: Iterable[Any],
    *,
    config: Config,
    plan: Plan,
    train_step: Callable,
    learning_rate: Callable[[int], Any],
    evaluate: Callable[[Any, Any], Mapping[str, float]],
    store: checkpoints.Store,
    about: Callable[[], Mapping[str, Any]],
    records: records_lib.Records,
    stop_request: stop.StopRequest,
    after_validation: Callable[[Mapping[str, Any]], None] = lambda record: None,
) -> state_lib.TrainState:
    """Trains to the end of the plan, or of the patience, and returns the last state.

    Args:
        state: Where to start; its step says how much of the plan is done.
        batches: The batches from that step on, already on their way to the devices.
        config: The run's configuration.
        plan: How far to go.
        train_step: Compiled `(state, batch, key) -> (state, metrics)`.
        learning_rate: The schedule, for the record.
        evaluate: From the network's variables and the losses' class vectors to validation metrics.
        store: Where checkpoints go.
        about: Returns what a checkpoint carries beside the arrays.
        records: Where figures go.
        stop_request: Turns true where the process was asked to end.
        after_validation: Gets each validation's record when its checkpoint is on its way; what it
            raises ends the run there.

    Raises:
        NotFiniteError: Where the loss is not finite.
        RunError: Where a checkpoint could not be written.
        Stopped: Where the process was asked to end; the state was saved.
    """
    options = config.train
    key = jax.random.key(options.seed)
    done = int(state.step)
    stop_request.is_deferred = True
    window = window_lib.Window(config)
    epoch_log = _EpochLog(plan, monitor=options.monitor)
    waiting = {"monitor": options.monitor, "patience": options.patience}

    def save(metrics: Mapping[str, float] | None = None) -> None:
        saved = state_lib.to_save(state)
        store.save(done, **saved._asdict(), about=about(), metrics=metrics)

    def validate() -> None:
        found = evaluate(state.variables, state.proxies)
        metrics = {name: float(value) for name, value in found.items()}
        records.write("validation", done, metrics, epoch=plan.epoch(done))
        save(metrics)
        epoch_log.write(records.validations, metrics, train=window.means)
        after_validation(records.validations[-1])
        window.restart_clock()

    if plan.num_steps == 0 and store.newest_step() is None:
        validate()
    first_step = done + 1
    with progress.bar(
        total=plan.num_steps, initial=done, description="compiling", unit="step"
    ) as bar:
        for batch in batches:
            state, metrics = train_step(state, batch, keys.stream(key, "step", done))
            done += 1
            window.add(metrics)
            if done == first_step:
                progress.restart(bar)  # That one was compiled.
            bar.update()
            is_validated = plan.is_validated(done, every_epochs=options.eval_every_epochs)
            if is_validated or window.is_due:
                figures = window.close(done) | {"learning_rate": float(learning_rate(done - 1))}
                records.write("train", done, figures, epoch=plan.epoch(done))
                _show(bar, figures, epoch=plan.epoch(done), last=plan.epoch(plan.num_steps))
            if is_validated:
                validate()
                is_hopeless = patience_lib.is_exhausted(records.validations, **waiting)
                if is_hopeless and done < plan.num_steps:
                    log_early_stop(plan, records.validations, **waiting)
                    break
            elif options.checkpoint_every_steps and done % options.checkpoint_every_steps == 0:
                save()
            if stop_request and done < plan.num_steps:
                if store.newest_step() != done:
                    save()
                store.wait()
                raise stop.Stopped(stop_request.number, outcome=f"saved after step {done}")
    store.wait()
    return state


def log_early_stop(
    plan: Plan, validations: Sequence[Mapping[str, Any]], *, monitor: str, patience: int
) -> None:
    """Says where a run ended before its plan, and why."""
    last = validations[-1]
    progress.log.info(
        "stopped early at epoch %s of %s: %s",
        progress.epoch(last["epoch"]),
        progress.epoch(plan.epoch(plan.num_steps)),
        patience_lib.explanation(validations, monitor=monitor, patience=patience),
    )


def _show(bar: Any, figures: Mapping[str, float], *, epoch: float, last: float) -> None:
    bar.set_description(f"epoch {epoch:.1f}/{progress.epoch(last)}", refresh=False)
    rate = figures.get("images_per_second")
    bar.set_postfix_str(
        f"loss {figures['loss']:.4f}, active {figures['active_fraction']:.0%}"
        + (f", {rate:.0f} images/s" if rate else ""),
        refresh=False,
    )


class _EpochLog:
    """One line for each validation, and the best so far."""

    def __init__(self, plan: Plan, *, monitor: str) -> None:
        self._plan = plan
        self._monitor = monitor
        self._start = time.monotonic()

    def write(
        self,
        validations: Sequence[Mapping[str, Any]],
        metrics: Mapping[str, float],
        *,
        train: Mapping[str, float],
    ) -> None:
        """Logs the line of the last of the validations, and a star where it is the best."""
        best = patience_lib.standing(validations, monitor=self._monitor).best
        epoch, last = validations[-1]["epoch"], self._plan.epoch(self._plan.num_steps)
        parts = [f"epoch {progress.epoch(epoch)}/{progress.epoch(last)}"]
        if train:
            parts.append(f"loss {train['loss']:.4f}")
            parts.append(f"active {train['active_fraction']:.0%}")
            parts.append(f"spread {train['spread']:.2f}")
        if "classifier_accuracy" in train:
            parts.append(f"classifier {train['classifier_accuracy']:.1%}")
        if "images_per_second" in train:
            parts.append(f"{train['images_per_second']:.0f} images/s")
        # The others are in the table at the end and in the version's metrics.jsonl.
        shown = dict.fromkeys((*_SHOWN, self._monitor))
        values = [f"{name} {metrics[name]:.4f}" for name in shown if name in metrics]
        parts.append("validation: " + ", ".join(values))
        parts.append(
            f"{time.monotonic() - self._start:.0f} s" + (" *" if best is validations[-1] else "")
        )
        progress.log.info("%s", "  ".join(parts))
        self._start = time.monotonic()
