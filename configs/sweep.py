"""A sweep over learning rate, weight decay and the make-up of a batch: `--mode=sweep`.

The group `sweep` says how to search and where; all else is as in training. A field of the space is
overridden like any other, `--config.sweep.space.optimizer.learning_rate="(1e-4, 1e-3, 'log')"`,
and taken out with `None`.
"""

from ml_collections import config_dict

from configs import train


def get_config() -> config_dict.ConfigDict:
    """Returns the training's configuration with the group `sweep`."""
    config = train.get_config()
    config.train.num_epochs = 10
    config.train.patience = 3

    sweep = config_dict.ConfigDict()
    sweep.study = "sweep"  # name of the study: the same name goes on, another one begins anew
    sweep.num_trials = 20  # trials >= 1 that count, finished, pruned or failed; 0: a whole grid
    sweep.sampler = "tpe"  # grid (all combinations of choices) | random | tpe (learns from trials)
    sweep.pruner = "median"  # none | median (of other trials' figures) | hyperband
    sweep.seed = 0  # integer >= 0; of the values that are drawn
    sweep.startup_trials = 5  # trials >= 1 before tpe learns and median prunes
    sweep.warmup_validations = 2  # validations >= 0 of a trial before it can be pruned
    sweep.storage = ""  # database URL, for sweeps over machines; empty: WORKDIR/sweep.db (SQLite)

    # [a, b]: choices; (low, high) or (low, high, "log"): anything between.
    sweep.space = space = config_dict.ConfigDict()
    space.optimizer = config_dict.ConfigDict()
    space.optimizer.learning_rate = (1e-4, 3e-3, "log")
    space.optimizer.weight_decay = (1e-5, 1e-2, "log")
    space.sampling = config_dict.ConfigDict()
    space.sampling.samples_per_class = [2, 4, 8]

    with config.unlocked():
        config.sweep = sweep
    return config
