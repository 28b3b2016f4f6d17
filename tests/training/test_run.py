"""The run around the loop, with a step that compiles nothing and tells what it was fed."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from simsearch import checkpoints, errors, runs, wiring
from simsearch.config import files as config_files
from simsearch.data import confusion as confusion_lib
from simsearch.data import corrupt as corrupt_lib
from simsearch.training import run, stop
from simsearch.training import state as state_lib
from simsearch.training import step as step_lib
from tests.data import sets

SPLIT = sets.make_split(num_rows=60, num_classes=10)
OVERRIDES = {
    "sampling.mode": "hard_classes",
    "data.image_size": 10,
    "data.resize_size": 12,
    "data.resize_mode": "squash",
    "data.cache": "ram",
    "augment.preset": "none",
    "train.batch_size": 12,
    "train.ema_decay": 0.0,
    "train.num_epochs": 3,
    "train.log_every_steps": 100,
    "train.checkpoint_every_steps": 3,
}
FED, SIDES = [], []


class Killed(BaseException):
    """The process is gone."""


def make_step(stop_after):
    def step(state, batch, key):
        labels = np.asarray(batch.labels).reshape(-1)
        if len(FED) == stop_after:
            raise Killed
        FED.append(labels)
        SIDES.append(batch.images.shape[-2])
        # Order and content of all batches can be read off the parameters.
        total = state.params["total"] * 3 % 1009 + float(labels @ np.arange(12) % 1009)
        new_state = state_lib.TrainState(state.step + 1, {"total": total}, {}, state.opt_state)
        return new_state, step_lib.StepMetrics(*[jnp.float32(0.5)] * 5)

    return step


def fit(tmp_path, monkeypatch, *, stop_after=None, **overrides):
    """Trains version 0 on, and returns its last parameters and the classes of each step."""
    config = config_files.load_config("train", OVERRIDES | overrides)
    version = runs.find(tmp_path) if tmp_path.exists() else runs.create(tmp_path, config)
    variables = {"params": {"total": jnp.float32(0)}, "batch_stats": {}}
    monkeypatch.setattr(run, "create_train_step", lambda *_, **__: make_step(stop_after))
    monkeypatch.setattr(run, "create_optimizer", lambda *_: optax.trace(0.9))
    monkeypatch.setattr(run, "_parameters", lambda *_, **__: "")
    monkeypatch.setattr(wiring.network, "abstract_variables", lambda _: variables)
    monkeypatch.setattr(wiring.losses, "initial_proxies", lambda *_: {})
    confusion = confusion_lib.Confusion()

    def evaluate(found, proxies):
        total = int(found["params"]["total"])
        confusion.counts = sets.counts_of(np.random.default_rng(total).poisson(0.2, (10, 10)))
        return {"map_at_r": 0.5}

    FED.clear()
    SIDES.clear()
    run.fit_version(
        version,
        SPLIT,
        initial=wiring.network.Initial(variables, {}),
        evaluate=evaluate,
        confusion=confusion,
        corrupt=corrupt_lib.CorruptLog(),
        stop_request=stop.StopRequest(),
    )
    store = checkpoints.open_to_read(version.checkpoint_dir, monitor="map_at_r")
    step = store.newest_step()
    return step, float(store.restore_variables(step)["params"]["total"])


def test_hard_classes_resume_bit_for_bit_wherever_the_run_was_killed(tmp_path, monkeypatch):
    straight = fit(tmp_path / "straight", monkeypatch)
    fed = list(FED)
    # 60 images, 12 a step: validated after 5, 10 and 15 steps, stored after 3, 6, 9 and 12 as well.
    assert straight[0] == 15 and len(fed) == 15
    for kill in (5, 8):
        workdir = tmp_path / str(kill)
        with pytest.raises(Killed):
            fit(workdir, monkeypatch, stop_after=kill)
        assert fit(workdir, monkeypatch) == straight
        for labels, expected in zip(FED, fed[15 - len(FED) :], strict=True):
            np.testing.assert_array_equal(labels, expected)


def test_a_run_that_cannot_begin_leaves_no_store_open(tmp_path, monkeypatch):
    closed = []
    real = checkpoints.Store.close
    monkeypatch.setattr(checkpoints.Store, "close", lambda s: closed.append(s) or real(s))

    def full(*_, **__):
        raise errors.RunError("no space")

    monkeypatch.setattr(checkpoints, "check_space", full)
    with pytest.raises(errors.RunError, match="no space"):
        fit(tmp_path / "run", monkeypatch)
    assert len(closed) == 1


def test_batches_after_a_validation_know_its_confusion(tmp_path, monkeypatch):
    fit(tmp_path / "hard", monkeypatch)
    informed = list(FED)
    real = wiring.images.sample_rows
    monkeypatch.setattr(
        wiring.images, "sample_rows", lambda config, labels, confusion: real(config, labels)
    )
    fit(tmp_path / "blind", monkeypatch)
    assert all(np.array_equal(a, b) for a, b in zip(informed[:5], FED[:5], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(informed[5:], FED[5:], strict=True))


@pytest.mark.parametrize("mode", ["classes_by_samples", "hard_classes"])
def test_the_first_steps_see_fewer_pixels_wherever_the_run_was_killed(tmp_path, monkeypatch, mode):
    changes = {"sampling.mode": mode, "data.early_image_size": 8, "data.early_share": 0.55}
    straight = fit(tmp_path / "straight", monkeypatch, **changes)
    fed = list(FED)
    assert SIDES == [8] * 8 + [10] * 7
    for kill in (7, 11):  # The state was stored after 6 and 9 steps.
        workdir = tmp_path / str(kill)
        with pytest.raises(Killed):
            fit(workdir, monkeypatch, stop_after=kill, **changes)
        assert fit(workdir, monkeypatch, **changes) == straight
        assert SIDES == ([8] * 8 + [10] * 7)[-len(SIDES) :]
        for labels, expected in zip(FED, fed[15 - len(FED) :], strict=True):
            np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("mode", ["class_balanced", "classes_by_samples"])
def test_other_samplers_run_on_without_a_stop_at_validations(tmp_path, monkeypatch, mode):
    made = []
    real = wiring.images.train_batches
    monkeypatch.setattr(
        wiring.images,
        "train_batches",
        lambda *args, **k: made.append(k["end_step"]) or real(*args, **k),
    )
    assert fit(tmp_path / "run", monkeypatch, **{"sampling.mode": mode})[0] == 15
    assert made == [15]


def test_a_run_begins_again_with_its_own_weights_alone(tmp_path, monkeypatch):
    weights = {"source": "a.npz", "sha256": "aa"}
    version = runs.create(tmp_path, config_files.load_config("train"), facts={"weights": weights})
    there = wiring.network.Initial({}, dict(weights))
    monkeypatch.setattr(wiring.network, "initial_variables", lambda _: there)
    assert run._same_initial(version) is there
    there.weights["sha256"] = "bb"
    with pytest.raises(errors.UsageError, match="began with weights from a.npz, SHA-256 aa, and"):
        run._same_initial(version)
