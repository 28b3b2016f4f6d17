import itertools
import json

import pytest
from tensorboard.backend.event_processing import event_accumulator

from simsearch import runs
from simsearch.config import files as config_files
from simsearch.training import records as records_lib


@pytest.fixture
def fast_clock(monkeypatch):
    """Has two runs start in different seconds, which TensorBoard's files are named after."""
    ticks = itertools.count(2_000_000_000)
    monkeypatch.setattr("time.time", lambda: float(next(ticks)))


def make_version(tmp_path):
    return runs.create(tmp_path, config_files.load_config("demo"))


def write(version, steps, *, start=0, offset=0.0):
    records = records_lib.Records(version, step=start)
    for step in steps:
        records.write("train", step, {"loss": step + offset}, epoch=step / 10)
        records.write("validation", step, {"map_at_r": step / 100}, epoch=step / 10)
    records.close()


def test_records_come_back_in_order_with_split_step_and_epoch(tmp_path):
    version = make_version(tmp_path)
    write(version, [1, 2])
    assert records_lib.read(version.metrics_file)[:2] == [
        {"split": "train", "step": 1, "epoch": 0.1, "loss": 1.0},
        {"split": "validation", "step": 1, "epoch": 0.1, "map_at_r": 0.01},
    ]


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path, fast_clock):
    version = make_version(tmp_path)
    write(version, range(1, 6))
    write(version, range(4, 7), start=3, offset=0.5)
    found = [r["loss"] for r in records_lib.read(version.metrics_file) if r["split"] == "train"]
    assert found == [1.0, 2.0, 3.0, 4.5, 5.5, 6.5]
    board = event_accumulator.EventAccumulator(str(version.path / "tensorboard" / "train"))
    board.Reload()
    assert [(event.step, event.value) for event in board.Scalars("loss")] == list(
        zip(range(1, 7), found, strict=True)
    )


def test_what_was_reported_is_there_for_whoever_is_killed_next(tmp_path):
    version = make_version(tmp_path)
    records = records_lib.Records(version, step=0)
    records.write("validation", 3, {"map_at_r": 0.5}, epoch=1)
    assert records_lib.read(version.metrics_file) == records.validations
    records.close()


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path):
    version = make_version(tmp_path)
    write(version, [1])
    with open(version.metrics_file, "a") as file:
        file.write('{"split": "tra')
    assert len(records_lib.read(version.metrics_file)) == 2
    write(version, [2], start=1)
    assert len(records_lib.read(version.metrics_file)) == 4


def test_no_records_is_an_empty_list(tmp_path):
    assert records_lib.read(tmp_path / "metrics.jsonl") == []


def test_a_figure_that_is_not_finite_is_null(tmp_path):
    version = make_version(tmp_path)
    records = records_lib.Records(version, step=0)
    records.write("train", 1, {"loss": float("nan")}, epoch=0)
    records.close()
    assert json.loads(version.metrics_file.read_text())["loss"] is None


def test_tensorboard_shows_the_curves_of_both_splits(tmp_path):
    version = make_version(tmp_path)
    write(version, [1, 2, 3])
    for split, tag, values in (
        ("train", "loss", [1.0, 2.0, 3.0]),
        ("validation", "map_at_r", [0.01, 0.02, 0.03]),
    ):
        board = event_accumulator.EventAccumulator(str(version.path / "tensorboard" / split))
        board.Reload()
        scalars = board.Scalars(tag)
        assert [event.step for event in scalars] == [1, 2, 3]
        assert [round(event.value, 4) for event in scalars] == values


def test_tensorboard_forgets_a_run_that_was_killed_before_it_had_saved_anything(
    tmp_path, fast_clock
):
    version = make_version(tmp_path)
    write(version, [1, 2, 3])
    write(version, [1, 2])
    board = event_accumulator.EventAccumulator(str(version.path / "tensorboard" / "train"))
    board.Reload()
    assert [event.step for event in board.Scalars("loss")] == [1, 2]
