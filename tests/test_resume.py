"""A run that is killed at any moment ends bit for bit as one that never was."""

import random
import re
import signal
import subprocess
import time

import jax
import numpy as np
import pytest

from simsearch import checkpoints, runs
from simsearch.training import records
from tests import cli

FLAGS = (
    "--config.train.num_steps=16",
    "--config.train.checkpoint_every_steps=4",
    "--config.model.backbone=resnet18",
    "--config.data.cache=ram",
    # All that a state can carry: class vectors, averages, past embeddings, half an update.
    "--config.loss.terms.supcon=0.5",
    "--config.loss.terms.normalised_softmax=0.5",
    "--config.train.ema_decay=0.9",
    "--config.loss.memory_size=30",
    "--config.train.accumulate_steps=2",
    "--workdir=runs",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def start(arguments, cwd):
    return subprocess.Popen(
        cli.command(*arguments),
        cwd=cwd,
        env=cli.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(workdir):
    """Returns the newest checkpoint's arrays, its step and the records that time does not touch."""
    version = runs.find(workdir / "runs", 0)
    store = checkpoints.open_to_read(version.checkpoint_dir, monitor="map_at_r")
    step = store.newest_step()
    variables = store.restore_variables(step)
    found = [
        {name: value for name, value in record.items() if name != "images_per_second"}
        for record in records.read(version.metrics_file)
    ]
    return step, jax.tree.map(np.asarray, variables), found


@pytest.fixture(scope="module")
def straight(shapes, cache, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("straight")
    done = cli.run(*cli.tiny(shapes, cache, *FLAGS), cwd=workdir)
    assert done.returncode == 0, done.stderr
    return result(workdir)


def wait_for(process, condition):
    while process.poll() is None and not condition():
        time.sleep(0.002)


def test_a_run_that_is_stopped_and_killed_ends_as_one_that_never_was(
    straight, shapes, cache, tmp_path
):
    rng = random.Random(0)
    checkpoint_dir = tmp_path / "runs" / "version_0" / "checkpoints"

    def is_writing():
        return any("tmp" in path.name for path in checkpoint_dir.glob("*"))

    def steps_done():
        return len(records.read(checkpoint_dir.parent / "metrics.jsonl"))

    # Before the first step, in the middle of a checkpoint's write, and a while into the steps.
    moments = ["config", "write", "SIGTERM", "step", "write"]
    arguments = cli.tiny(shapes, cache, *FLAGS)
    killed = []
    for moment in moments:
        process = start(arguments, tmp_path)
        target = steps_done() + rng.randint(1, 3)
        if moment == "config":
            wait_for(process, (tmp_path / "runs" / "version_0" / "config.json").exists)
        elif moment == "write":
            wait_for(process, is_writing)
        else:
            wait_for(process, lambda target=target: steps_done() >= target)
            time.sleep(rng.uniform(0, 0.05))
        number = signal.SIGTERM if moment == "SIGTERM" else signal.SIGKILL
        process.send_signal(number)
        _, message = process.communicate(timeout=120)
        if moment == "SIGTERM":
            assert process.returncode == 128 + signal.SIGTERM
            saved = re.fullmatch(
                r"stopped by SIGTERM: saved after step (\d+); go on with .*\n", message
            )
            assert saved and int(saved[1]) >= 1, message
        killed.append(process.returncode == -signal.SIGKILL)
        arguments = ["--mode=train", "--version=0", "--workdir=runs"]
    assert sum(killed) >= 3, "the run ended before it could be killed"
    # What it takes to go on where memory or an image failed changes nothing either.
    others = ("eval.batch_size=5", "data.cache=disk", "data.on_corrupt=fail")
    done = cli.run(*arguments, *(f"--config.{field}" for field in others), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    kept = runs.find(tmp_path / "runs", 0).config
    assert (kept.eval.batch_size, kept.data.cache, kept.data.on_corrupt) == (5, "disk", "fail")

    step, variables, found = result(tmp_path)
    assert step == straight[0] == 16
    for (path, one), two in zip(
        jax.tree_util.tree_leaves_with_path(variables), jax.tree.leaves(straight[1]), strict=True
    ):
        np.testing.assert_array_equal(one, two, err_msg=jax.tree_util.keystr(path))
    assert found == straight[2]
