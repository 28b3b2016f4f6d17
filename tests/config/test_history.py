import json

from simsearch import config as config_lib
from simsearch.config import files as config_files
from simsearch.config import history


def stored():
    """Returns the default configuration as a version of today stores it."""
    return json.loads(config_lib.to_json(config_files.load_config("train")))


def test_a_version_from_when_there_was_one_loss_has_that_one():
    values = stored()
    values["loss"] = {"name": "triplet", "margin": 0.7, "miner": "batch_hard"}
    loss = config_files.load_stored(json.dumps(values)).loss
    assert (loss.triplet.margin, loss.triplet.miner) == (0.7, "batch_hard")
    assert {name: weight for name, weight in vars(loss.terms).items() if weight} == {"triplet": 1.0}


def test_a_version_from_before_a_field_has_what_was_done_then():
    values = stored()
    for group, fields in history.BEFORE.items():
        values[group] = {name: v for name, v in values[group].items() if name not in fields}
    del values["loss"]["terms"]["supcon"]
    config = config_files.load_stored(json.dumps(values))
    assert config.loss.terms.supcon == 0 and config.loss.terms.triplet > 0
    for group, fields in history.BEFORE.items():
        found = vars(getattr(config, group))
        assert fields == {name: found[name] for name in fields}
