"""Sampler and pruner as a study uses them, on a function whose best values are known."""

import math

import numpy as np
import pytest

from tests.sweeps.studies import SMALL, opened

SPACE = SMALL | {
    "sweep.num_trials": 30,
    "sweep.storage": "sqlite:///:memory:",
    "sweep.space.optimizer.learning_rate": (1e-4, 1e-2, "log"),
    "sweep.space.optimizer.weight_decay": (1e-5, 1e-1, "log"),
    "sweep.space.loss.triplet.margin": (0.01, 1.0),
}


def score(params):
    """Returns a figure that is best, 0, at a rate of 5e-4, a decay of 3e-3 and a margin of 0.3."""
    rate = math.log10(params["optimizer.learning_rate"]) + 3.3
    decay = math.log10(params["optimizer.weight_decay"]) + 2.5
    margin = 4 * (params["loss.triplet.margin"] - 0.3)
    return -(rate**2) - decay**2 - margin**2


def searched(tmp_path, sampler):
    """Returns the figures of a study's trials, in order."""
    values = []
    with opened(tmp_path, SPACE | {"sweep.sampler": sampler}) as study:
        while (trial := study.next_trial()) is not None:
            values.append(score(trial.params))
            assert trial.end(value=values[-1])
    return np.array(values)


def test_tpe_learns_from_trials_where_random_does_not(tmp_path):
    tpe, random = (searched(tmp_path, sampler) for sampler in ("tpe", "random"))
    # Until `startup_trials`, 5, it draws at random as well.
    np.testing.assert_array_equal(tpe[:5], random[:5])
    # -1.3 and -4.8; of other seeds -1.5 and -3.7.
    assert tpe[10:].mean() > random[10:].mean() / 2
    assert tpe.max() > random.max()


@pytest.mark.parametrize("warmup", [0, 2])
def test_hyperband_ends_bad_trials_after_the_warm_up_and_not_the_best(tmp_path, warmup):
    overrides = {"sweep.pruner": "hyperband", "sweep.warmup_validations": warmup}
    with opened(tmp_path, SPACE | overrides) as study:
        while (trial := study.next_trial()) is not None:
            value = score(trial.params)
            pruned = any(trial.report(index, value) for index in range(1, 10))
            trial.end(**{"pruned": True} if pruned else {"value": value})
        rows = study.rows()
    pruned = [row for row in rows if row.state == "pruned"]
    finished = [row for row in rows if row.state == "finished"]
    assert len(pruned) + len(finished) == 30 and 15 <= len(pruned) <= 28
    assert max(rows, key=lambda row: row.value).state == "finished"
    assert np.mean([row.value for row in pruned]) < np.mean([row.value for row in finished])
    assert min(row.num_validations for row in pruned) == warmup + 1
