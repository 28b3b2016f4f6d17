"""Studies as the sweep's command opens them, without a training."""

import contextlib

from simsearch.sweeps import database, plan

SMALL = {
    "sweep.sampler": "random",
    "sweep.num_trials": 4,
    "sweep.pruner": "none",
    "sweep.space.sampling.samples_per_class": None,
}
IMAGES = {"classes": [3, "a"], "train images": [30, "b"], "validation images": [12, "c"]}


@contextlib.contextmanager
def opened(tmp_path, overrides=SMALL, *, folder="one", images=IMAGES):
    """Yields the study of `configs/sweep.py` with overrides, of trials of 9 validations."""
    found = plan.load_sweep("sweep", overrides)
    tmp_path.mkdir(exist_ok=True)
    options = {"num_validations": 9, "default_file": tmp_path / "sweep.db"}
    options["images"] = images
    with database.open_study(found, directory=tmp_path / folder, **options) as study:
        yield study


def score(params):
    """Returns a figure that is best at a learning rate of 1e-3."""
    rate = params["optimizer.learning_rate"]
    return min(rate, 1e-3) / max(rate, 1e-3)


def finish(study):
    """Runs all trials that are left and returns their numbers."""
    numbers = []
    while (trial := study.next_trial()) is not None:
        numbers.append(trial.number)
        trial.begun(100 + trial.number)
        assert trial.end(value=score(trial.params))
    return numbers
