"""What versions are merged, and what is said of them; that they are is in the tests of each way."""

import types

import pytest

import simsearch
from simsearch import errors, runs
from simsearch.commands import merging
from simsearch.config import files as config_files

FACTS = {"class_names": ["a", "b"], "weights": {"sha256": "1"}, "random_generator": "g"}
LOADED = {
    "model.head": "none",
    "model.weights": "a.npz",
    "loss.terms.normalised_softmax": 0.0,
}


def create(workdir, fields, facts):
    config = config_files.load_config("train", fields)
    return runs.create(workdir, config, facts=FACTS | facts)


@pytest.mark.parametrize(
    ("fields", "facts", "words"),
    [
        ({"model.embedding_size": 9}, {}, r"model.embedding_size: \d+ -> 9"),
        ({"model.pooling": "max"}, {}, "model.pooling: 'average' -> 'max'"),
        ({"data.split_seed": 3}, {}, "data.split_seed: 0 -> 3"),
        ({}, {"class_names": ["a", "c"]}, "their classes"),
        ({}, {"weights": {"sha256": "2"}}, "the weights that they started from"),
        ({}, {"random_generator": "h"}, "the generator of the random weights that .* from"),
        (
            {"loss.terms.arcface": 1.0, "loss.terms.normalised_softmax": 0.0},
            {},
            "their losses with class vectors: normalised_softmax -> arcface",
        ),
        (
            {"loss.terms.normalised_softmax": 0.0},
            {},
            "their losses with class vectors: normalised_softmax -> none",
        ),
    ],
)
def test_other_networks_are_refused_with_what_differs(tmp_path, fields, facts, words):
    create(tmp_path, {}, {})
    create(tmp_path, fields, facts)
    with pytest.raises(
        errors.UsageError, match=f"^versions 0 and 1 cannot be merged, for these differ: {words}$"
    ):
        simsearch.average([0, 1], workdir=tmp_path)


@pytest.mark.parametrize(
    ("common", "fields", "facts"),
    [
        ({}, {"sampling.seed": 3, "optimizer.learning_rate": 0.5, "train.num_epochs": 3}, {}),
        ({}, {"data.train_image_size": 64, "data.num_threads": 3, "model.freeze": "1"}, {}),
        ({}, {"loss.terms.supcon": 0.0, "augment.hue": 0.3, "eval.seed": 5}, {}),
        # Where no number is random.
        (LOADED, {"train.seed": 1}, {"random_generator": "h"}),
    ],
)
def test_other_trainings_of_one_network_are_merged(tmp_path, common, fields, facts):
    common = {"data.image_size": 64, "data.resize_size": 64} | common
    found = [create(tmp_path, common, {}), create(tmp_path, common | fields, facts)]
    merging._check_related(*found, *(version.read_facts() for version in found))


@pytest.mark.parametrize("own", [0.8, 0.6])
def test_the_figures_of_what_was_merged_are_told_and_whether_one_was_better(caplog, own):
    config = config_files.load_config("train", {"model.discriminant": False})
    found = [types.SimpleNamespace(number=number) for number in (3, 5, 7)]
    metrics = {"map_at_r": 0.5}, {"map_at_r": own}, {}
    members = [merging.Member(config, None, {}, step=1, metrics=each) for each in metrics]
    kind = merging.Kind("average", "their mean", None, None)
    with caplog.at_level("INFO", "simsearch"):
        merging._tell_figures(kind, found, members, config=config, metrics={"map_at_r": 0.7})
    assert caplog.messages == [
        "version 3: validation map_at_r 0.5000",
        f"version 5: validation map_at_r {own:.4f}",
        "version 7: validation map_at_r not measured",
        "their mean: validation map_at_r 0.7000",
        *(["version 5 by itself is better in it"] if own > 0.7 else []),
    ]
