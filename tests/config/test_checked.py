import dataclasses
import json

import pytest

from simsearch import config, errors
from simsearch.config import augment as config_augment
from simsearch.config import checks as config_checks
from simsearch.config import files as config_files
from simsearch.sweeps import plan

# The losses that the default configuration minimises.
WEIGHTED = ("loss.terms.triplet", "loss.terms.supcon", "loss.terms.normalised_softmax")
FIXED = {"model.freeze": "all", "model.head": "none"}
OF_CLASSES = {"train.monitor": "classifier_accuracy", "loss.terms.normalised_softmax": "0"}


def load(**overrides):
    return config_files.load_config(
        "train", {k.replace("__", "."): v for k, v in overrides.items()}
    )


def test_every_field_of_the_default_file_is_a_field_of_the_dataclasses():
    loaded = config_files.load_config("train")
    names = list(config_checks.flat(dataclasses.asdict(loaded)))
    assert config.field_names() == names
    assert "data.source" in names and "loss.triplet.margin" in names


def test_every_configuration_that_comes_with_the_program_is_valid():
    for name in set(config_files.names()) - {"sweep"}:
        assert isinstance(config_files.load_config(name), config.Config)
    assert isinstance(plan.load_sweep("sweep").base, config.Config)


def test_every_field_in_the_default_file_has_a_comment_with_its_meaning():
    lines = (config_files.CONFIG_DIR / "train.py").read_text().splitlines()
    bare = [
        line
        for i, line in enumerate(lines)
        if " = " in line
        and "ConfigDict" not in line
        and "#" not in line
        and not lines[i - 1].lstrip().startswith("#")
    ]
    assert bare == []


def test_json_keeps_everything():
    loaded = load(optimizer__learning_rate=0.1, data__image_size=96)
    assert config.from_json(config.to_json(loaded)) == loaded


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"optimizer.lerning_rate": "1"}, "did you mean optimizer.learning_rate?"),
        ({"learning_rate": "1"}, "did you mean optimizer.learning_rate?"),
        ({"batch_size": "1"}, "did you mean train.batch_size or eval.batch_size?"),
        ({"batchsize": "1"}, "did you mean train.batch_size or eval.batch_size?"),
        ({"data.batch_size": "1"}, "did you mean train.batch_size or eval.batch_size?"),
        ({"trian.batch_size": "1"}, "did you mean train.batch_size?"),
        ({"seed": "1"}, "did you mean sampling.seed or train.seed or eval.seed?"),
        ({"loss.temperature": "1"}, "did you mean loss.supcon.temperature?"),
        ({"loss.margn": "1"}, "mean loss.triplet.margin or loss.circle.margin or"),
        ({"optimizer": "1"}, "config.optimizer is a group; set one of its fields"),
        ({"loss.triplet": "1"}, "config.loss.triplet is a group"),
        ({"loss.terms.suppcon": "1"}, "did you mean loss.terms.supcon?"),
        ({"loss.soft_margin": "1"}, "did you mean loss.triplet.soft_margin?"),
        ({"loss.terms.supcon": "-1"}, "loss.terms.supcon=-1.0 must be >= 0"),
        (dict.fromkeys(WEIGHTED, "0"), "one of loss.terms.triplet, loss.terms.supcon,"),
        (
            dict.fromkeys(WEIGHTED, "0") | {"loss.terms.arcface": "1", "loss.memory_size": "9"},
            "loss.memory_size needs a loss that looks at pairs",
        ),
        (
            OF_CLASSES,
            "train.monitor=classifier_accuracy needs a loss with class vectors",
        ),
        ({"loss.triplet.margin": "0"}, "loss.triplet.margin=0 needs loss.triplet.soft_margin=True"),
        ({"loss.triplet.margin": "-1", "loss.triplet.soft_margin": "True"}, "must be >= 0"),
        ({"loss.arcface.margin": "1.6"}, "must be >= 0 and < 1.5708"),
        ({"train.batch_size": "4"}, "makes batches of one class"),
        ({"optimizer.learning_rate": "fast"}, "must be a number"),
        ({"train.num_epochs": "1.5"}, "must be an integer"),
        ({"train.seed": str(2**63)}, "must be >= 0 and <= 9223372036854775807"),
        ({"train.num_epochs": "True"}, "must be an integer"),
        ({"loss.triplet.soft_margin": "1"}, "must be True or False"),
        ({"optimizer.learning_rate": "-1"}, "must be > 0"),
        ({"optimizer.learning_rate": "1e999"}, "must be finite"),
        ({"augment.hue": "much"}, "must be a number"),
        ({"augment.policy": "auto"}, "must be one of none, trivial, rand"),
        ({"augment.policy_num_ops": "1.5"}, "must be an integer"),
        ({"augment.erase_area_min": "0.5"}, "augment.erase_area_max=0.33"),
        ({"augment.hue": "0.6"}, "and <= 0.5"),
        ({"data.cache": "tape"}, "must be one of none, ram, disk"),
        ({"data.source": "folder"}, "needs data.path"),
        ({"data.path": "x"}, "read only with data.source=folder"),
        ({"model.embedding_size": "1"}, "must be >= 2"),
        (FIXED, "leaves nothing to train"),
        ({"train.batch_size": "62"}, "multiple of sampling.samples_per_class=4"),
        ({"sampling.mode": "triplets"}, "try 63"),
        ({"loss.triplet.miner": "none"}, "needs sampling.mode=triplets"),
        (
            {"data.image_size": "224", "data.resize_size": "100"},
            "must be at least data.image_size=224",
        ),
        ({"data.valid_fraction": "0.5", "data.test_fraction": "0.5"}, "must be under 1"),
        (
            {"data.valid_class_fraction": "0.5", "data.test_class_fraction": "0.5"},
            "data.valid_class_fraction + data.test_class_fraction must be under 1",
        ),
        ({"data.valid_classes": "a"}, "are read only with data.split=class"),
        ({"data.test_classes": "a"}, "are read only with data.split=class"),
        ({"data.image_size": "7"}, "data.image_size=7 must be at least 8"),
        ({"data.resize_size": "7"}, "data.resize_size=7 must be at least 8"),
        ({"data.image_mean": (0.5,)}, "data.image_mean=(0.5,) must be three numbers"),
        ({"data.image_std": (0.5,)}, "data.image_std=(0.5,) must be three numbers"),
        (
            {"sampling.mode": "hard_classes", "data.split": "class"},
            "sampling.mode=hard_classes needs data.split=image",
        ),
        ({"sampling.mode": "hard_classes", "train.batch_size": "62"}, "multiple of sampling"),
        ({"serve.default_top_k": "9", "serve.max_top_k": "8"}, "at most serve.max_top_k=8"),
        (FIXED | {"train.num_epochs": "0", "train.num_steps": "5"}, "leaves nothing to train"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(overrides, words):
    with pytest.raises(errors.UsageError) as caught:
        config_files.load_config("train", overrides)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        {"loss.triplet.margin": "0", "loss.triplet.soft_margin": "True"},
        {"loss.triplet.miner": "none", "loss.terms.triplet": "0"},
        OF_CLASSES | {"loss.terms.arcface": "1"},
        OF_CLASSES | {"loss.terms.proxy_anchor": "1"},
        FIXED | {"train.num_epochs": "0"},
        FIXED | {"model.pooling": "gem"},
        {"data.split": "class", "data.valid_classes": "a", "data.test_classes": "b"},
    ],
)
def test_what_only_looks_like_a_contradiction_is_taken(overrides):
    assert isinstance(config_files.load_config("train", overrides), config.Config)


def test_all_problems_are_in_one_message():
    with pytest.raises(errors.UsageError) as caught:
        load(optimizer__learning_rate="-1", data__cache="tape", train__batch_size="0")
    for name in ("optimizer.learning_rate", "data.cache", "train.batch_size"):
        assert name in str(caught.value)


def test_a_stored_configuration_with_a_missing_group_is_refused():
    with pytest.raises(errors.UsageError, match="config field data is missing"):
        config.from_json("{}")
    with pytest.raises(errors.UsageError, match="not JSON"):
        config.from_json("{")


def test_differences_name_the_fields():
    assert config.differences(load(), load()) == []
    assert config.differences(load(), load(train__seed=1)) == ["train.seed: 0 -> 1"]
    changed = load(loss__terms__supcon=0.5)
    assert config.differences(load(), changed) == ["loss.terms.supcon: 1.0 -> 0.5"]


def test_a_stored_configuration_takes_what_it_lacks_from_the_defaults_at_any_depth():
    values = json.loads(config.to_json(load(loss__triplet__margin=0.7)))
    defaults = json.loads(config.to_json(load()))
    del values["loss"]["supcon"], values["loss"]["terms"]["supcon"], values["eval"]
    stored = config.from_json(json.dumps(values), defaults=defaults)
    assert stored == load(loss__triplet__margin=0.7)


def test_a_preset_fills_what_is_not_set_and_what_is_set_wins():
    light, none = (load(augment__preset=name).augment for name in ("light", "none"))
    assert (light.crop_scale_min, light.brightness) == (0.2, 0.3)
    assert (none.crop_scale_min, none.brightness) == (1.0, 0.0)
    mixed = load(augment__preset="none", augment__rotation_degrees="5", augment__hue=0.1).augment
    assert dataclasses.asdict(mixed) == dataclasses.asdict(none) | {
        "rotation_degrees": 5.0,
        "hue": 0.1,
    }
    assert config.from_json(config.to_json(load(augment__hue=0.1))) == load(augment__hue=0.1)


def test_an_unknown_preset_is_one_problem():
    with pytest.raises(errors.UsageError) as caught:
        load(augment__preset="heavy")
    assert str(caught.value).count(";") == 0 and "none, light" in str(caught.value)


def test_presets_and_policies_have_a_value_for_every_field_that_is_left_open():
    values = config_files._read(config_files.CONFIG_DIR / "train.py").augment.to_dict()
    open_fields = {name for name, value in values.items() if value is None}
    for preset in config_augment.AUGMENT.values():
        for strengths in config_augment.POLICIES.values():
            assert set(preset) | set(strengths) == open_fields and not set(preset) & set(strengths)


def test_a_policy_that_is_set_brings_its_own_strengths():
    trivial = load(augment__preset="trivial").augment
    assert (trivial.policy, trivial.policy_magnitude, trivial.policy_degrees) == (
        "trivial",
        30,
        135.0,
    )
    mixed = load(
        augment__preset="light", augment__policy="rand", augment__policy_num_ops="3"
    ).augment
    assert (mixed.policy_num_ops, mixed.policy_magnitude, mixed.brightness) == (3, 9, 0.3)
