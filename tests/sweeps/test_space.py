import dataclasses

import numpy as np
import pytest

from simsearch.config import checks as config_checks
from simsearch.config import files as config_files
from simsearch.sweeps import space

FIELDS = config_checks.flat(dataclasses.asdict(config_files.load_config("train")))
KINDS = {name: type(value) for name, value in FIELDS.items()}


def parse(**written):
    problems = []
    found = space.parse(
        {name.replace("__", "."): value for name, value in written.items()},
        kinds=KINDS,
        problems=problems,
    )
    return found, problems


def test_lists_are_choices_and_tuples_intervals_at_any_depth():
    found, problems = parse(
        optimizer__learning_rate=(1e-4, 1, "log"),
        train__batch_size=(8, 64),
        model__head=["linear", "mlp"],
        loss__triplet__margin=[0.1, 1],
    )
    assert not problems
    assert found == {
        "optimizer.learning_rate": space.Interval(1e-4, 1.0, True),
        "train.batch_size": space.Interval(8, 64, False),
        "model.head": space.Choices(("linear", "mlp")),
        "loss.triplet.margin": space.Choices((0.1, 1)),
    }
    assert type(found["optimizer.learning_rate"].high) is float
    assert type(found["train.batch_size"].low) is int


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("train__batch_sise", [1], "did you mean train.batch_size?"),
        ("train__batch_size", 8, "must be a list of choices"),
        ("train__batch_size", [], "must have choices"),
        ("train__batch_size", [8, 8], "each once"),
        ("train__batch_size", (8.0, 16), "integers as its ends"),
        ("train__batch_size", (16, 8), "from a lower to a higher"),
        ("train__batch_size", (8,), "or an interval (low, high)"),
        ("train__batch_size", (8, 16, "linear"), "or an interval (low, high)"),
        ("optimizer__learning_rate", (0, 1, "log"), "above 0"),
        ("model__head", (1, 2), "must be a list of choices, since it is text"),
        ("eval__seed", [0, 1], "cannot be swept"),
        ("data__on_corrupt", ["skip", "fail"], "would not be measured alike"),
        ("model__head", [("linear", "mlp")], "choices of one value each"),
    ],
)
def test_what_is_no_space_is_told(name, value, words):
    found, [problem] = parse(**{name: value})
    assert not found and words in problem
    assert name.replace("__", ".") in problem or "did you mean" in problem


@pytest.mark.parametrize("name", space.FIXED)
def test_what_decides_the_measured_images_cannot_be_swept(name):
    found, [problem] = parse(**{name.replace(".", "__"): ["a", "b"]})
    assert not found and problem == (
        f"{name} cannot be swept: the trials would not be measured alike"
    )


def test_an_empty_space_is_told():
    assert "at least one field" in parse()[1][0]


def test_the_corners_of_choices_are_their_grid():
    found, _ = parse(train__batch_size=[8, 16], model__head=["a", "b", "c"])
    assert space.size(found) == 6
    assert len(set(space.corners(found))) == 6
    found, _ = parse(train__batch_size=(8, 11), optimizer__learning_rate=(0.1, 0.2))
    assert space.size(found) is None
    assert list(space.corners(found)) == [(8, 0.1), (8, 0.2), (11, 0.1), (11, 0.2)]
    assert [tuple(point.values()) for point in space.inside(found)] == [(9, 0.1), (10, 0.1)]


def test_numbers_of_numpy_are_numbers():
    found, problems = parse(
        optimizer__learning_rate=list(np.logspace(-4, -3, 3)),
        optimizer__weight_decay=(np.float64(1e-4), np.float64(1e-2), "log"),
        train__batch_size=[np.int64(8), 16],
    )
    assert not problems
    assert found["train.batch_size"] == space.Choices((8, 16))
    assert found["optimizer.weight_decay"] == space.Interval(1e-4, 1e-2, True)
    kinds = {type(value) for value in found["optimizer.learning_rate"].values}
    assert kinds == {float}


def test_a_list_without_quotes_is_told_how_to_quote():
    _, (problem,) = parse(model__backbone="[resnet18,resnet34]")
    assert problem.startswith("sweep.space.model.backbone must be") and "need quotes" in problem
    assert problem.endswith("\"['resnet18', 'resnet34']\"")
