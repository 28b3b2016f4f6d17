"""The training step: one shard of a batch in, the next state and the step's figures out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from simsearch import keys
from simsearch.data import batch as batch_lib
from simsearch.losses import classes, pairs, ratio
from simsearch.losses import memory as memory_lib
from simsearch.losses import terms as terms_lib
from simsearch.training import optimizer as optimizer_lib
from simsearch.training import state as state_lib


class TermFigures(NamedTuple):
    """Figures of one loss over the whole batch, each float32 []."""

    loss: jax.Array  # before its weight
    active_fraction: jax.Array  # share of what could be active that is; each loss says of what


class StepMetrics(NamedTuple):
    """Figures of one step over the whole batch, each float32 []."""

    loss: jax.Array  # weighted sum of the losses
    active_fraction: jax.Array  # of the heaviest loss
    spread: jax.Array  # 1 - |mean embedding|^2: 0 when all embeddings are one, 1 at best
    gradient_norm: jax.Array  # global norm, before clipping
    num_skipped: jax.Array  # images of the batch that could not be read
    terms: Mapping[str, TermFigures] = {}  # of each loss by name
    accuracy: jax.Array | None = None  # of the class vectors, where a loss has any


def create_train_step(
    network: nn.Module,
    optimizer: Any,
    *,
    terms: Sequence[terms_lib.Term],
    axis_name: str | None,
    ema_decay: float = 0.0,
    accumulate_steps: int = 1,
    memory_start_step: int = 0,
    trained_classes: np.ndarray | None = None,
) -> Callable[[state_lib.TrainState, Any, jax.Array], tuple[state_lib.TrainState, StepMetrics]]:
    """Returns the pure step `(state, batch, key) -> (state, metrics)`.

    Args:
        network: Embedding network, uint8 images [b, S, S, 3] to float [b, D].
        optimizer: Gradient transformation.
        terms: The losses whose weighted sum is minimised, at least one.
        axis_name: The device axis that a batch is spread over; None where it is on one device.
        ema_decay: Of the moving averages, where the state keeps them.
        accumulate_steps: Steps from one change of the weights to the next, as of the optimizer.
        memory_start_step: First step whose losses see the state's memory, where it has one.
        trained_classes: The classes with training images, ascending, int [T]; the losses see no
            class vectors but theirs. None: all classes.
    """

    def total(value: Any) -> Any:
        return value if axis_name is None else jax.lax.psum(value, axis_name)

    def step(
        state: state_lib.TrainState, batch: batch_lib.Batch, key: jax.Array
    ) -> tuple[state_lib.TrainState, StepMetrics]:
        if trained_classes is not None:
            batch = _renumbered(batch, trained_classes)

        def loss_of(params: Any) -> tuple[jax.Array, Any]:
            embeddings, changed = network.apply(
                {"params": state_lib.network_params(params), "batch_stats": state.batch_stats},
                batch.images,
                train=True,
                mutable=["batch_stats"],
            )
            view = _view(embeddings, batch, axis_name, keys.stream(key, "mining"))
            everyone = view.gallery
            if state.memory is not None:
                is_used = state.step >= memory_start_step
                view = view._replace(
                    gallery=memory_lib.extend(everyone, state.memory, is_used=is_used)
                )
            proxies = _proxies(params, trained_classes)
            ratios = {term.name: terms_lib.evaluate(term, view, proxies) for term in terms}
            # A mean over active triplets is a ratio: both halves are summed over the devices.
            counts = {name: total(each.count) for name, each in ratios.items()}
            loss = _weighted(
                {name: each._replace(count=counts[name]) for name, each in ratios.items()}, terms
            )
            return loss, (ratios, view.images, everyone, changed.get("batch_stats", {}))

        gradients, aux = jax.grad(loss_of, has_aux=True)(state.params)
        ratios, images, everyone, batch_stats = aux
        gradients = total(gradients)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optimizer_lib.apply_updates(state.params, updates)
        average, memory = state.average, state.memory
        if average is not None:
            average = state_lib.averaged(
                average,
                (params, batch_stats),
                step=state.step,
                decay=ema_decay,
                every_steps=accumulate_steps,
            )
        if memory is not None:
            memory = memory_lib.push(memory, everyone)
        proxies = _proxies(state.params, trained_classes)
        metrics = _metrics(total(ratios), images, proxies, terms=terms, total=total)
        new_state = state_lib.TrainState(
            state.step + 1, params, batch_stats, opt_state, average, memory
        )
        return new_state, metrics._replace(gradient_norm=optimizer_lib.global_norm(gradients))

    return step


def _weighted(ratios: Mapping[str, ratio.Ratio], terms: Sequence[terms_lib.Term]) -> Any:
    return sum(term.weight * ratio.mean(ratios[term.name]) for term in terms)


def _metrics(
    ratios: Mapping[str, ratio.Ratio],
    images: classes.Images,
    proxies: Mapping[str, jax.Array],
    *,
    terms: Sequence[terms_lib.Term],
    total: Callable[[Any], Any],
) -> StepMetrics:
    """Returns all figures but the gradient's, from ratios whose fields are already summed up."""
    figures = {
        name: TermFigures(ratio.mean(each), each.num_active / jnp.maximum(each.num_candidates, 1.0))
        for name, each in ratios.items()
    }
    valid = images.valid.astype(jnp.float32)
    num_valid = jnp.maximum(total(jnp.sum(valid)), 1.0)
    mean_embedding = total(valid @ images.embeddings) / num_valid
    accuracy = None
    classifier = terms_lib.classifier(terms)
    if classifier is not None:
        accuracy = total(classes.num_right(images, proxies[classifier])) / num_valid
    return StepMetrics(
        loss=_weighted(ratios, terms),
        active_fraction=figures[max(terms, key=lambda term: term.weight).name].active_fraction,
        spread=1.0 - jnp.sum(mean_embedding**2),
        gradient_norm=jnp.zeros(()),
        num_skipped=total(jnp.sum(1.0 - valid)),
        terms=figures,
        accuracy=accuracy,
    )


def _proxies(params: Any, trained_classes: np.ndarray | None) -> Mapping[str, jax.Array]:
    """Returns each loss's class vectors, of the trained classes alone."""
    proxies = params.get(state_lib.PROXIES, {})
    if trained_classes is None:
        return proxies
    return {name: vectors[trained_classes] for name, vectors in proxies.items()}


def _renumbered(batch: batch_lib.Batch, trained_classes: np.ndarray) -> batch_lib.Batch:
    """Returns a batch whose labels count the trained classes alone."""

    def number(labels: jax.Array | None) -> jax.Array | None:
        if labels is None:
            return None
        return jnp.searchsorted(jnp.asarray(trained_classes, labels.dtype), labels)

    return batch._replace(labels=number(batch.labels), mixed_labels=number(batch.mixed_labels))


def _view(
    embeddings: jax.Array, batch: batch_lib.Batch, axis_name: str | None, key: jax.Array
) -> terms_lib.View:
    """Returns what the losses of this device see: its own images, and those of all devices."""
    images = everyone = _images(embeddings, batch)
    rows, share = jnp.arange(len(embeddings)), 1.0
    if axis_name is not None:
        rows += jax.lax.axis_index(axis_name) * len(embeddings)
        everyone = jax.lax.all_gather(images, axis_name, tiled=True)
        share = 1.0 / jax.lax.axis_size(axis_name)
    return terms_lib.View(
        anchors=pairs.Anchors(embeddings, batch.labels, rows),
        gallery=pairs.Gallery(everyone.embeddings, everyone.labels, everyone.valid),
        images=images,
        batch=everyone,
        share=share,
        key=key,
    )


def _images(embeddings: jax.Array, batch: batch_lib.Batch) -> classes.Images:
    mixed_labels, mix_weights = batch.mixed_labels, batch.mix_weights
    if mixed_labels is None:
        mixed_labels, mix_weights = batch.labels, jnp.ones(len(embeddings), jnp.float32)
    return classes.Images(embeddings, batch.labels, batch.valid, mixed_labels, mix_weights)
