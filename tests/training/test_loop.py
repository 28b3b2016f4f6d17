import os
import signal
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsearch import checkpoints, errors, runs
from simsearch.config import files as config_files
from simsearch.training import loop, stop
from simsearch.training import records as records_lib
from simsearch.training import state as state_lib
from simsearch.training import step as step_lib
from simsearch.training import window as window_lib

OVERRIDES = {"train.batch_size": 8, "train.log_every_steps": 2, "train.num_epochs": 3}


def counting_step(state, batch, key):
    """Adds the batch to the parameters: the order and number of steps can be read off them."""
    params = {"total": state.params["total"] * 2 + batch}
    metrics = step_lib.StepMetrics(*(jnp.float32(value) for value in (0.1, 0.5, 0.9, 1.0, 0.0)))
    return state.replace(step=state.step + 1, params=params), metrics


def run(
    tmp_path,
    *,
    num_images=16,
    until=None,
    scores=None,
    watch=lambda record: None,
    train_step=counting_step,
    **overrides,
):
    """Returns what a run left: final state, store, records and the states that were validated."""
    config = config_files.load_config("train", OVERRIDES | overrides)
    version = runs.find(tmp_path) if tmp_path.exists() else runs.create(tmp_path, config)
    plan = loop.plan(config, num_images)
    store = checkpoints.Store(version.checkpoint_dir, monitor=config.train.monitor)
    start = store.newest_step() or 0
    moments = {"count": jnp.int32(0)}
    state = state_lib.TrainState(jnp.int32(start), {"total": jnp.float32(0)}, {}, moments)
    if start:
        saved = store.restore(start, **state_lib.to_save(state)._asdict())
        state = state_lib.from_saved(state_lib.Saved(**saved), step=start)
    records = records_lib.Records(version, step=start)
    validated = []

    def batches():
        for step in range(start, plan.num_steps):
            if step == until:
                os.kill(os.getpid(), signal.SIGTERM)
            yield np.float32(step)

    def evaluate(variables, proxies):
        validated.append(float(variables["params"]["total"]))
        if scores:
            return {"map_at_r": scores[len(records.validations)]}
        return {"map_at_r": 1.0 / len(validated)}

    try:
        with stop.on_signals() as request:
            state = loop.fit(
                state,
                batches(),
                config=config,
                plan=plan,
                train_step=train_step,
                learning_rate=lambda step: step / 10,
                evaluate=evaluate,
                store=store,
                about=lambda: {"validations": len(validated)},
                records=records,
                stop_request=request,
                after_validation=watch,
            )
    finally:
        records.close()
        store.close()
    return state, store, records_lib.read(version.metrics_file), validated


def test_a_plan_counts_a_last_short_batch_and_steps_win_over_epochs():
    config = config_files.load_config("train", OVERRIDES)
    assert loop.plan(config, 17) == loop.Plan(num_steps=9, steps_per_epoch=3)
    config = config_files.load_config("train", OVERRIDES | {"train.num_steps": 4})
    assert loop.plan(config, 17) == loop.Plan(num_steps=4, steps_per_epoch=3)


@pytest.mark.parametrize("length", [{"train.num_steps": 3}, {"train.num_epochs": 1}])
def test_a_plan_without_a_single_update_is_refused(length):
    config = config_files.load_config("train", OVERRIDES | length | {"train.accumulate_steps": 4})
    with pytest.raises(errors.UsageError, match="more than all 3 steps"):
        loop.plan(config, 17)


def test_every_epoch_is_validated_and_the_best_and_newest_are_kept(tmp_path):
    state, store, records, validated = run(tmp_path / "runs")
    assert int(state.step) == 6 and len(validated) == 3
    assert validated[-1] == float(state.params["total"])
    assert (store.best_step(), store.newest_step()) == (2, 6)
    steps = {
        split: [r["step"] for r in records if r["split"] == split]
        for split in ("train", "validation")
    }
    assert steps == {"train": [1, 2, 4, 6], "validation": [2, 4, 6]}


def test_a_record_tells_the_learning_rate_of_its_last_step_and_its_epoch(tmp_path):
    _, _, records, _ = run(tmp_path / "runs")
    found = [(r["epoch"], r["learning_rate"]) for r in records if r["split"] == "train"]
    assert found == [(0.5, 0.0), (1.0, 0.1), (2.0, 0.3), (3.0, 0.5)]


def test_a_checkpoint_carries_what_is_said_of_it_when_it_is_made(tmp_path):
    run(tmp_path / "runs")
    store = checkpoints.open_to_read(runs.find(tmp_path / "runs").checkpoint_dir, monitor="mrr")
    assert [store.about(step)["validations"] for step in (2, 6)] == [1, 3]


def test_each_step_has_a_key_of_its_own_that_follows_the_seed(tmp_path):
    seen = []

    def step(state, batch, key):
        seen.append(np.asarray(jax.random.key_data(key)).tobytes())
        return counting_step(state, batch, key)

    run(tmp_path / "straight", train_step=step)
    straight = list(seen)
    with pytest.raises(stop.Stopped):
        run(tmp_path / "stopped", train_step=step, until=3)
    run(tmp_path / "stopped", train_step=step)
    assert seen[6:] == straight
    run(tmp_path / "other", train_step=step, **{"train.seed": 1})
    assert len(set(straight)) == 6 and not {*straight} & {*seen[12:]}


def test_a_validation_takes_nothing_from_the_rate(tmp_path, monkeypatch):
    now = [0.0]
    clock = types.SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(window_lib, "time", clock)

    def step(state, batch, key):
        now[0] += 2
        return counting_step(state, batch, key)

    def watch(record):
        now[0] += 1000

    _, _, records, _ = run(tmp_path / "runs", train_step=step, watch=watch)
    rates = [r["images_per_second"] for r in records if r["split"] == "train" and r["step"] > 1]
    assert rates == [4.0] * 3


def test_a_last_part_of_an_epoch_is_validated_too(tmp_path):
    _, store, records, validated = run(tmp_path / "runs", **{"train.num_steps": 5})
    assert [r["step"] for r in records if r["split"] == "validation"] == [2, 4, 5]
    assert len(validated) == 3 and store.newest_step() == 5


def test_no_epoch_at_all_stores_the_untrained_network(tmp_path):
    _, store, records, validated = run(tmp_path / "runs", **{"train.num_epochs": 0})
    assert store.newest_step() == 0 and validated == [0.0]
    assert [r["split"] for r in records] == ["validation"]


def test_sigterm_saves_and_the_run_goes_on_to_the_same_end(tmp_path):
    straight, *_ = run(tmp_path / "straight")
    with pytest.raises(stop.Stopped, match="SIGTERM: saved after step 4"):
        run(tmp_path / "stopped", until=3)
    resumed, _, records, _ = run(tmp_path / "stopped")
    assert float(resumed.params["total"]) == float(straight.params["total"])
    assert [r["step"] for r in records if r["split"] == "validation"] == [2, 4, 6]


def test_checkpoints_between_validations_are_resumed_from(tmp_path):
    with pytest.raises(stop.Stopped, match="saved after step 3"):
        run(tmp_path / "runs", until=2, num_images=64, **{"train.checkpoint_every_steps": 3})
    _, store, *_ = run(tmp_path / "runs", num_images=64, **{"train.checkpoint_every_steps": 3})
    assert store.newest_step() == 24


SCORES = [0.5, 0.6, 0.4, 0.6, 0.7, 0.9]
PATIENT = {"train.num_epochs": 6, "train.patience": 2}


def test_a_run_stops_early_after_validations_without_improvement(tmp_path, caplog):
    with caplog.at_level("INFO", "simsearch"):
        state, store, records, validated = run(tmp_path / "runs", scores=SCORES, **PATIENT)
    assert int(state.step) == 8 and len(validated) == 4
    assert (store.best_step(), store.newest_step()) == (4, 8)
    assert "stopped early at epoch 4 of 6: validation map_at_r has not been better" in caplog.text


def test_without_patience_a_run_goes_to_its_end(tmp_path):
    state, *_ = run(tmp_path / "runs", scores=SCORES, **PATIENT | {"train.patience": 0})
    assert int(state.step) == 12


@pytest.mark.parametrize("until", [1, 5, 6])
def test_a_stopped_run_ends_early_where_a_straight_one_does(tmp_path, until):
    straight, _, records, _ = run(tmp_path / "straight", scores=SCORES, **PATIENT)
    with pytest.raises(stop.Stopped):
        run(tmp_path / "stopped", until=until, scores=SCORES, **PATIENT)
    resumed, _, again, _ = run(tmp_path / "stopped", scores=SCORES, **PATIENT)
    assert float(resumed.params["total"]) == float(straight.params["total"])
    assert [r for r in again if r["split"] == "validation"] == [
        r for r in records if r["split"] == "validation"
    ]


def test_what_looks_at_the_validations_can_end_the_run(tmp_path):
    seen = []

    def watch(record):
        seen.append((record["step"], record["map_at_r"]))
        if len(seen) == 2:
            raise errors.RunError("enough")

    with pytest.raises(errors.RunError, match="enough"):
        run(tmp_path / "runs", scores=SCORES, watch=watch, **PATIENT)
    assert seen == [(2, 0.5), (4, 0.6)]
    _, store, *_ = run(tmp_path / "runs", scores=SCORES, **PATIENT)
    assert store.newest_step() == 8


def test_periods_end_at_validations_and_at_the_plans_end():
    plan = loop.Plan(num_steps=11, steps_per_epoch=2)
    assert list(plan.periods(0, every_epochs=2)) == [(0, 4), (4, 8), (8, 11)]
    assert list(plan.periods(5, every_epochs=2)) == [(5, 8), (8, 11)]
    assert list(plan.periods(8, every_epochs=2)) == [(8, 11)]
    assert list(plan.periods(11, every_epochs=2)) == []
