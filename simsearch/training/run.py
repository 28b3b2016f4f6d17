"""One version from its newest checkpoint, or its first weights, to the end of its plan."""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from simsearch import checkpoints, errors, models, parallel, progress, runs, wiring
from simsearch.config import Config
from simsearch.data import batch as batch_lib
from simsearch.data import confusion as confusion_lib
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sources
from simsearch.models import parts
from simsearch.training import loop, patience, stop, summary
from simsearch.training import optimizer as optimizer_lib
from simsearch.training import records as records_lib
from simsearch.training import state as state_lib
from simsearch.training import step as step_lib


def fit_version(
    version: runs.Version,
    split: sources.Split,
    *,
    initial: wiring.network.Initial | None,
    evaluate: Callable[[Any, Any], Mapping[str, float]],
    confusion: confusion_lib.Confusion,
    corrupt: corrupt_lib.CorruptLog,
    stop_request: stop.StopRequest,
    after_validation: Callable[[Mapping[str, Any]], None] = lambda record: None,
) -> None:
    """Trains a version to the end.

    Args:
        version: Where it is kept; goes on after its newest checkpoint, where it has one.
        split: The training images.
        initial: The variables to start from where there is no checkpoint; None: made anew.
        evaluate: From the network's variables and the losses' class vectors to validation figures;
            keeps `confusion` up to date.
        confusion: Of the last validation, which hard-class sampling looks at.
        corrupt: Collects the rows that could not be read.
        stop_request: Turns true where the process was asked to end.
        after_validation: Gets each validation's record; what it raises ends the run there.

    Raises:
        UsageError: Where another process trains this version.
        RunError: Where the run could not be finished.
        Stopped: Where the process was asked to end; the state was saved.
    """
    config = version.config
    devices = parallel.local_devices(config.train.num_devices)
    plan = loop.plan(config, len(split.labels))
    schedule = create_schedule(config, plan)
    shapes = wiring.network.abstract_variables(config)
    optimizer = create_optimizer(config, schedule)
    if plan.num_steps:
        progress.log.info("%s", _parameters(config, shapes, num_classes=len(split.class_names)))
    with contextlib.ExitStack() as stack:
        stack.enter_context(version.lock())
        store = checkpoints.Store(version.checkpoint_dir, monitor=config.train.monitor)
        stack.enter_context(contextlib.closing(store))
        if initial is None and store.newest_step() is None:
            initial = _same_initial(version)
        is_unfolded = plan.num_steps and not wiring.network.keeps_batch_norm(config)
        if initial and initial.is_folded and is_unfolded:
            initial = _unfolded(config, initial, split, corrupt=corrupt)
        state = _start(
            config, store, optimizer, num_classes=len(split.class_names), initial=initial
        )
        done = int(state.step)
        if store.newest_step() is not None and is_finished(version, plan, done):
            progress.log.info("%s is already trained: %d steps", version.path, done)
            return
        if done:
            progress.log.info("going on after step %d of %d", done, plan.num_steps)
        checkpoints.check_space(version.path, state, num_stored=store.num_stored())
        records = stack.enter_context(contextlib.closing(records_lib.Records(version, step=done)))
        if done:
            confusion.restore(store.about(done).get("confusion"))
        batches = _batches(config, split, plan, start=done, confusion=confusion, corrupt=corrupt)
        loop.fit(
            parallel.replicate(state, devices),
            itertools.chain.from_iterable(parallel.prefetch(period, devices) for period in batches),
            config=config,
            plan=plan,
            train_step=create_train_step(
                config, optimizer, devices, trained_classes=_trained_classes(split)
            ),
            learning_rate=lambda step: schedule(step // config.train.accumulate_steps),
            evaluate=evaluate,
            store=store,
            about=lambda: {
                "config": dataclasses.asdict(config),
                "confusion": confusion.to_json(),
            },
            records=records,
            stop_request=stop_request,
            after_validation=after_validation,
        )


def _batches(
    config: Config,
    split: sources.Split,
    plan: loop.Plan,
    *,
    start: int,
    confusion: confusion_lib.Confusion,
    corrupt: corrupt_lib.CorruptLog,
) -> Iterator[Iterator[batch_lib.Batch]]:
    """Yields the batches of each period, in which the sampler needs no news.

    A period is asked for when the one before was trained on, and so after its validation.
    """
    if start == plan.num_steps:
        return
    load = wiring.images.image_loader(config, split)
    for first, end, image_size in _periods(config, plan, start=start):
        rows = wiring.images.sample_rows(config, split.labels, confusion=confusion.counts)
        yield wiring.images.train_batches(
            config,
            split,
            rows_of_step=rows,
            start_step=first,
            end_step=end,
            image_size=image_size,
            load=load,
            corrupt=corrupt,
        )


def _periods(config: Config, plan: loop.Plan, *, start: int) -> Iterator[tuple[int, int, int]]:
    """Yields first step, end and image size of each period from `start` on."""
    periods: Iterable[tuple[int, int]] = [(start, plan.num_steps)]
    if config.sampling.mode == "hard_classes":
        periods = plan.periods(start, every_epochs=config.train.eval_every_epochs)
    early_size, size = wiring.images.train_image_sizes(config)
    early_end = round(config.data.early_share * plan.num_steps) if early_size != size else 0
    for first, end in periods:
        if first < early_end:
            yield first, min(end, early_end), early_size
        if end > early_end:
            yield max(first, early_end), end, size


def is_finished(version: runs.Version, plan: loop.Plan, done: int) -> bool:
    """Returns whether nothing is left to train after `done` steps; says so of an early stop."""
    if done == plan.num_steps:
        return True
    train = version.config.train
    validations = records_lib.validations(version.metrics_file, last_step=done)
    waiting = {"monitor": train.monitor, "patience": train.patience}
    if not patience.is_exhausted(validations, **waiting):
        return False
    loop.log_early_stop(plan, validations, **waiting)
    return True


def _same_initial(version: runs.Version) -> wiring.network.Initial:
    """Returns the first variables of a version that was stopped before it saved any.

    Raises:
        UsageError: Where its weights are not those that it began with.
    """
    initial = wiring.network.initial_variables(version.config)
    began = version.read_facts().get("weights", initial.weights)
    if began.get("sha256") != initial.weights["sha256"]:
        then, now = map(wiring.facts.describe_weights, (began, initial.weights))
        raise errors.UsageError(
            f"version {version.number} began with weights from {then}, and there are now those of "
            f"{now}; bring them back, or train a new version"
        )
    return initial


def _unfolded(
    config: Config,
    initial: wiring.network.Initial,
    split: sources.Split,
    *,
    corrupt: corrupt_lib.CorruptLog,
) -> wiring.network.Initial:
    """Returns first variables of the same function, with BatchNorm's statistics."""
    progress.log.info(
        "BatchNorm is folded into the kernels of %s: its statistics are taken from the first "
        "batches",
        initial.weights["source"],
    )
    images = wiring.images.first_images(config, split, corrupt=corrupt)
    network = wiring.network.create(config)
    observed = models.observe(network, initial.variables, images, train=False)
    epsilon = models.find_backbone(config.model.backbone).norm_epsilon
    return initial._replace(variables=models.unfold(initial.variables, observed, epsilon=epsilon))


def _start(
    config: Config,
    store: checkpoints.Store,
    optimizer: Any,
    *,
    num_classes: int,
    initial: wiring.network.Initial | None,
) -> state_lib.TrainState:
    def create(variables: Any) -> state_lib.TrainState:
        return state_lib.create(
            variables,
            optimizer,
            proxies=wiring.losses.initial_proxies(config, num_classes),
            is_averaged=config.train.ema_decay > 0,
            memory=wiring.losses.empty_memory(config),
        )

    step = store.newest_step()
    if step is None:
        return jax.jit(create)(initial.variables)
    like = state_lib.to_save(jax.eval_shape(create, wiring.network.abstract_variables(config)))
    return state_lib.from_saved(state_lib.Saved(**store.restore(step, **like._asdict())), step=step)


def _parameters(config: Config, shapes: Any, *, num_classes: int) -> str:
    proxies = jax.eval_shape(lambda: wiring.losses.initial_proxies(config, num_classes))
    table = summary.parameters(
        parts.count(shapes, freeze=config.model.freeze),
        backbone_multiplier=config.optimizer.backbone_multiplier,
        freeze_batch_norm=config.model.freeze_batch_norm,
    )
    beside = [
        f"class vectors of {name}: {' x '.join(map(str, vectors.shape))}, "
        f"learning rate x {config.optimizer.proxy_multiplier:g}"
        for name, vectors in proxies.items()
    ]
    return "\n".join([table, *beside])


def create_schedule(config: Config, plan: loop.Plan) -> Callable[[Any], Any]:
    """Returns the learning rate by update."""
    optimizer, accumulate_steps = config.optimizer, config.train.accumulate_steps
    return optimizer_lib.create_schedule(
        peak_learning_rate=optimizer.learning_rate,
        num_steps=plan.num_steps // accumulate_steps,
        num_warmup_steps=round(optimizer.warmup_epochs * plan.steps_per_epoch / accumulate_steps),
        final_fraction=optimizer.final_fraction,
    )


def create_optimizer(config: Config, schedule: Callable[[Any], Any]) -> Any:
    """Returns the configured AdamW."""
    optimizer = config.optimizer
    return optimizer_lib.create_optimizer(
        schedule,
        weight_decay=optimizer.weight_decay,
        beta1=optimizer.beta1,
        beta2=optimizer.beta2,
        epsilon=optimizer.epsilon,
        clip_norm=optimizer.clip_norm,
        trainable=functools.partial(wiring.network.trainable, config),
        backbone_multiplier=optimizer.backbone_multiplier,
        proxy_multiplier=optimizer.proxy_multiplier,
        accumulate_steps=config.train.accumulate_steps,
    )


def _trained_classes(split: sources.Split) -> np.ndarray | None:
    """Returns the classes that a split has images of, None where it has some of all."""
    found = np.unique(split.labels)
    return None if len(found) == len(split.class_names) else found


def create_train_step(
    config: Config,
    optimizer: Any,
    devices: Sequence[jax.Device],
    *,
    trained_classes: np.ndarray | None = None,
) -> Callable:
    """Returns the compiled step over the devices; arguments as of `step.create_train_step`."""
    step = step_lib.create_train_step(
        wiring.network.create(config, axis_name=parallel.AXIS),
        optimizer,
        terms=wiring.losses.terms(config),
        axis_name=parallel.AXIS,
        ema_decay=config.train.ema_decay,
        accumulate_steps=config.train.accumulate_steps,
        memory_start_step=config.loss.memory_start_step,
        trained_classes=trained_classes,
    )
    return parallel.replicate_step(step, devices)
