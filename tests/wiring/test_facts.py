from simsearch import models, wiring
from simsearch.config import files as config_files
from tests.data import sets


def test_a_version_remembers_its_images_and_weights():
    splits = {"train": sets.make_split(6, 3), "test": sets.make_split(4, 2)}
    weights = {"source": "a.npz", "sha256": "1f"}
    config = config_files.load_config("train", {"data.split": "class"})
    assert wiring.facts.collect(config, splits, weights) == {
        "class_names": ["class 0", "class 1", "class 2"],
        "split": "class",
        "classes": {"train": ["class 0", "class 1", "class 2"], "test": ["class 0", "class 1"]},
        "num_images": {"train": 6, "test": 4},
        "train_fingerprint": "6 3",
        "weights": weights,
        "random_generator": models.RANDOM_GENERATOR,
    }
    assert wiring.images.describe_splits(config, splits).startswith(
        "6 train, 4 test images of 3 train, 2 test classes, split by class"
    )


def test_where_weights_come_from_is_told():
    assert wiring.facts.describe_weights({"source": "a", "sha256": "1f"}) == "a, SHA-256 1f"
    assert wiring.facts.describe_weights({"source": "none", "sha256": ""}) == "none (random)"
    assert wiring.facts.describe_weights({}) == "none (random)"
