"""The side of simsearch in backbones.py: one backbone, evaluated or trained, in JAX."""

import glob
import gzip
import json
import tempfile
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from simsearch import allocator, models

VERSION = f"jax {jax.__version__}"
# As main.py does for every command.
allocator.keep()


def create(
    backbone: str, *, mode: str, images: np.ndarray, settings: dict
) -> tuple[Callable[[int], None], float]:
    """Returns a function that runs so many calls to their end, and the seconds of compilation.

    Args:
        backbone: Name of it.
        mode: "eval", "train" or "frozen": trained with BatchNorm's running statistics.
        images: uint8 [B, S, S, 3].
        settings: As the command line's.
    """
    network = models.create_network(
        backbone=backbone,
        embedding_size=settings["embedding_size"],
        dtype=jnp.dtype(settings["dtype"]),
        freeze_batch_norm=mode == "frozen",
    )
    variables = models.initialise(network, seed=0, image_size=images.shape[1])
    images = jnp.asarray(images)
    if mode == "eval":
        # As an Embedder has it.
        epsilon = models.find_backbone(backbone).norm_epsilon
        folded = models.fold_batch_norm(variables, epsilon=epsilon)
        return _evaluation(network, folded, images)
    return _training(network, variables, images, settings)


def _evaluation(network, variables, images):
    function = jax.jit(lambda variables, images: network.apply(variables, images, train=False))
    function, seconds = _compile(function, variables, images)

    def run(count: int) -> None:
        for _ in range(count):
            out = function(variables, images)
        jax.block_until_ready(out)

    return run, seconds


def _training(network, variables, images, settings):
    optimizer = optax.adamw(settings["learning_rate"], weight_decay=settings["weight_decay"])
    labels = np.arange(len(images)) // settings["samples_per_class"]

    def loss(params, batch_stats, images):
        embeddings, changed = network.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            train=True,
            mutable=["batch_stats"],
        )
        return triplet_loss(embeddings, labels, settings["margin"]), changed["batch_stats"]

    def step(state, images):
        params, batch_stats, opt_state = state
        gradients, batch_stats = jax.grad(loss, has_aux=True)(params, batch_stats, images)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), batch_stats, opt_state

    params = variables["params"]
    state = params, variables["batch_stats"], optimizer.init(params)
    function, seconds = _compile(jax.jit(step, donate_argnums=0), state, images)
    held = [state]

    def run(count: int) -> None:
        for _ in range(count):
            held[0] = function(held[0], images)
        jax.block_until_ready(held[0])

    return run, seconds


def triplet_loss(embeddings: jax.Array, labels: np.ndarray, margin: float) -> jax.Array:
    """Returns the mean hinge over all triplets of a batch, on squared distances."""
    distances = 2 - 2 * embeddings @ embeddings.T
    same = labels[:, None] == labels
    positive = same & ~np.eye(len(labels), dtype=bool)
    triplets = positive[:, :, None] & ~same[:, None, :]
    violation = distances[:, :, None] - distances[:, None, :] + margin
    return jnp.sum(jnp.maximum(violation, 0) * triplets) / triplets.sum()


def _compile(function, *arguments):
    start = time.perf_counter()
    compiled = function.lower(*arguments).compile()
    return compiled, time.perf_counter() - start


def peak_device_bytes() -> int | None:
    """Returns the most memory of the GPU that was in use; None on a CPU."""
    stats = jax.devices()[0].memory_stats() if jax.default_backend() == "gpu" else None
    return stats and stats["peak_bytes_in_use"]


def device_name() -> str:
    """Returns what computes."""
    return jax.devices()[0].device_kind


def device_intervals(run: Callable[[int], None], count: int) -> list[tuple[float, float]]:
    """Returns start and end, in microseconds, of each piece of work of the GPU in so many calls."""
    with tempfile.TemporaryDirectory() as directory:
        with jax.profiler.trace(directory):
            run(count)
        (path,) = glob.glob(f"{directory}/**/*.trace.json.gz", recursive=True)
        with gzip.open(path) as file:
            events = json.load(file)["traceEvents"]
    names = {(e["pid"], e["name"]): e["args"].get("name", "") for e in events if e["ph"] == "M"}
    gpus = {pid for (pid, kind), name in names.items() if kind == "process_name" and "GPU" in name}
    streams = {
        (e["pid"], e["tid"])
        for e in events
        if e["ph"] == "M" and e["name"] == "thread_name" and "Stream" in e["args"]["name"]
    }
    return [
        (e["ts"], e["ts"] + e["dur"])
        for e in events
        if e["ph"] == "X" and e["pid"] in gpus and (e["pid"], e["tid"]) in streams
    ]
