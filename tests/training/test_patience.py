import json
import math

import numpy as np
import pytest

from simsearch import monitors, runs
from simsearch.config import files as config_files
from simsearch.training import loop, patience, run


def records(*values):
    return [
        {"split": "validation", "step": 2 * i, "epoch": float(i), "map_at_r": value, "other": 0.0}
        for i, value in enumerate(values, 1)
    ]


def oracle(values, wait):
    """Returns after how many validations a run stops, None where it does not."""
    best, since = -math.inf, 0
    for i, value in enumerate(values, 1):
        if value is not None and value > best:
            best, since = value, 0
        else:
            since += 1
        if wait and since >= wait:
            return i
    return None


def test_it_stops_where_counting_by_hand_stops():
    rng = np.random.default_rng(0)
    stops = []
    for _ in range(200):
        values = [None if v == 0 else v / 5 for v in rng.integers(0, 6, 12).tolist()]
        wait = int(rng.integers(0, 5))
        options = {"monitor": "map_at_r", "patience": wait}
        found = [n for n in range(1, 13) if patience.is_exhausted(records(*values[:n]), **options)]
        stops.append(oracle(values, wait))
        assert (found[0] if found else None) == stops[-1]
    assert 20 < stops.count(None) < 180


def test_the_first_of_equal_ones_is_the_best():
    found = records(0.1, 0.4, 0.4, None)
    assert patience.standing(found, monitor="map_at_r") == (found[1], 2)
    assert patience.standing([], monitor="map_at_r") == (None, 0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.2, 0.5, 0.4, 0.5), "not been better than 0.5000, at epoch 2, for 2 validations"),
        ((None, None), "not been a number for 2 validations (train.patience=2)"),
        ((None,), "not been a number for 1 validation (train.patience=2)"),
    ],
)
def test_it_says_why(values, words):
    text = patience.explanation(records(*values), monitor="map_at_r", patience=2)
    assert words in text


def test_what_is_no_number_ranks_below_every_number():
    for worst in (None, math.nan, math.inf):
        assert monitors.rank("map_at_r", {"map_at_r": worst}) == -math.inf
    assert monitors.rank("map_at_r", {}) == -math.inf


@pytest.mark.parametrize(
    ("step", "is_finished"), [(2, False), (6, False), (8, True), (10, True), (12, True)]
)
def test_a_version_that_stopped_early_is_finished_and_says_why(tmp_path, caplog, step, is_finished):
    config = config_files.load_config("train", {"train.patience": 2})
    version = runs.create(tmp_path, config)
    lines = [json.dumps(record) + "\n" for record in records(0.5, 0.6, 0.4, 0.6)]
    version.metrics_file.write_text("".join(lines))
    with caplog.at_level("INFO", "simsearch"):
        found = run.is_finished(version, loop.Plan(num_steps=12, steps_per_epoch=2), step)
    assert found == is_finished
    assert ("stopped early at epoch 4 of 6" in caplog.text) == (step in (8, 10))
