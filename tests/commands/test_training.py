import pytest

from simsearch import config_files, errors
from simsearch.commands import training


@pytest.mark.parametrize("split", ["image", "class"])
def test_the_class_vectors_are_monitored_where_validation_has_their_classes(split, tmp_path):
    config = config_files.load_config(
        "demo",
        {
            "data.split": split,
            "data.cache_dir": str(tmp_path),
            "train.monitor": "classifier_accuracy",
            "train.num_devices": 1,
            "train.batch_size": 48,
        },
    )
    if split == "image":
        assert set(training.prepare(config)) == {"train", "validation", "test"}
        return
    with pytest.raises(errors.UsageError, match="validation images of the classes"):
        training.prepare(config)
