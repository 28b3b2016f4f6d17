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
