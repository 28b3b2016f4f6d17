"""Shows what `model.freeze` saves: the time of a whole training step for each choice, in one run.

    python -m benchmarks.freezing
    python -m benchmarks.freezing --backbones=resnet50 --image_size=224

A step is forward, triplet loss, backward and AdamW, as training runs it. The choices take turns;
the medians of `--repeats` turns are compared. Beside the time on the clock stands that of all
processor cores together, which other work on the machine disturbs less.
"""

import argparse
import datetime
import pathlib
import platform
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from simsearch import allocator, parallel, wiring
from simsearch.config import files as config_files
from simsearch.data import batch as batch_lib
from simsearch.training import run, state

CHOICES = ("none", "stem", "1", "2", "3", "all")
SAMPLES_PER_CLASS = 4
_RESULT = pathlib.Path(__file__).with_name("results") / "freezing.md"


class Times(NamedTuple):
    """Seconds of one step."""

    clock: float
    processor: float


def stepper(backbone: str, freeze: str, *, batch: int, image_size: int) -> Callable[[], Times]:
    """Returns the function that runs one more step of a network, compiled and warmed up."""
    config = config_files.load_config(
        "train",
        {
            "data.image_size": image_size,
            "model.backbone": backbone,
            "model.freeze": freeze,
            "train.batch_size": batch,
            "loss.terms.supcon": 0.0,
            "loss.terms.normalised_softmax": 0.0,
        },
    )
    devices = parallel.local_devices()
    optimizer = run.create_optimizer(config, lambda step: config.optimizer.learning_rate)
    first = state.create(wiring.network.random_variables(config), optimizer)
    current = [parallel.replicate(first, devices)]
    rng = np.random.default_rng(0)
    shape = (batch, image_size, image_size, 3)
    images = batch_lib.Batch(
        rng.integers(0, 256, shape, np.uint8),
        np.arange(batch, dtype=np.int32) // SAMPLES_PER_CLASS,
        np.ones(batch, bool),
    )
    images = next(parallel.prefetch([images], devices))
    train_step = run.create_train_step(config, optimizer, devices)
    key = jax.random.key(0)

    def step() -> Times:
        clock, processor = time.perf_counter(), time.process_time()
        current[0], metrics = train_step(current[0], images, key)
        jax.block_until_ready((current[0], metrics))
        return Times(time.perf_counter() - clock, time.process_time() - processor)

    step(), step()
    return step


def compare(backbone: str, *, batch: int, image_size: int, repeats: int) -> list[str]:
    """Returns the lines of a table: each choice beside training everything."""
    steps = {
        choice: stepper(backbone, choice, batch=batch, image_size=image_size) for choice in CHOICES
    }
    measured: dict[str, list[Times]] = {choice: [] for choice in CHOICES}
    for _ in range(repeats):
        for choice, step in steps.items():
            measured[choice].append(step())
    medians = {
        choice: Times(*(statistics.median(column) for column in zip(*times, strict=True)))
        for choice, times in measured.items()
    }
    whole = medians["none"]
    lines = []
    for choice, times in medians.items():
        lines.append(
            f"| {backbone} | `{choice}` | {times.clock:.3f} | {times.clock / whole.clock:.2f} "
            f"| {times.processor:.3f} | {times.processor / whole.processor:.2f} |"
        )
    return lines


def main() -> None:
    """Measures, and writes and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", default="resnet18,mobilenet_v2", help="names, with commas")
    parser.add_argument("--batch", type=int, default=32, help="images a step")
    parser.add_argument("--image_size", type=int, default=128, help="pixels")
    parser.add_argument("--repeats", type=int, default=7, help="turns of each choice")
    parser.add_argument("--output", default=str(_RESULT))
    options = parser.parse_args()
    allocator.keep()
    device = jax.local_devices()[0]
    lines = [
        "# What freezing saves",
        "",
        f"{datetime.date.today()}, `python {' '.join(['-m benchmarks.freezing', *sys.argv[1:]])}`: "
        f"Python {platform.python_version()}, jax {jax.__version__}, "
        f"{len(jax.local_devices())} x {device.device_kind}, batch {options.batch}, "
        f"{options.image_size} px, float32. Seconds of a step, medians of {options.repeats}, and "
        "their ratio to training everything.",
        "",
        "| backbone | `model.freeze` | clock | ratio | all cores | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for backbone in options.backbones.split(","):
        lines += compare(
            backbone, batch=options.batch, image_size=options.image_size, repeats=options.repeats
        )
    text = "\n".join(lines) + "\n"
    pathlib.Path(options.output).write_text(text)
    print(text)


if __name__ == "__main__":
    main()
