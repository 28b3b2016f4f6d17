import numpy as np
import pytest

from simsearch import errors
from simsearch.config import files as config_files


def test_a_file_is_found_by_name_and_by_path(tmp_path):
    by_name = config_files.load_config("demo")
    assert by_name == config_files.load_config("configs/demo.py")
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from configs import train\n"
        "def get_config():\n"
        "    config = train.get_config()\n"
        "    config.train.seed = 7\n"
        "    return config\n"
    )
    assert config_files.load_config(str(mine)).train.seed == 7


def test_a_derived_default_follows_the_field_it_derives_from(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from configs import train\n"
        "def get_config():\n"
        "    config = train.get_config()\n"
        "    config.eval.batch_size = config.train.get_ref('batch_size') * 2\n"
        "    return config\n"
    )
    doubled = config_files.load_config(str(mine), {"train.batch_size": 32})
    assert doubled.eval.batch_size == 64
    both = config_files.load_config(str(mine), {"train.batch_size": 32, "eval.batch_size": 5})
    assert both.eval.batch_size == 5


def test_a_field_that_a_file_has_set_is_left_to_the_preset_again():
    light = {"augment.preset": "light"}
    assert config_files.load_config("demo", light).augment.horizontal_flip == 0.0
    opened = light | {"augment.horizontal_flip": "None", "augment.policy": "None"}
    config = config_files.load_config("demo", opened)
    assert (config.augment.horizontal_flip, config.augment.policy) == (0.5, "none")
    stored = config_files.override(config, {"augment.preset": "rand", "augment.policy": None})
    assert stored.augment.policy == "rand"
    with pytest.raises(errors.UsageError, match="train.seed=None must be an integer"):
        config_files.load_config("demo", {"train.seed": "None"})


def test_numbers_of_numpy_in_a_file_are_numbers(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import numpy as np\n"
        "from configs import train\n"
        "def get_config():\n"
        "    config = train.get_config()\n"
        "    config.optimizer.learning_rate = np.logspace(-4, -3, 3)[1]\n"
        "    return config\n"
    )
    rate = config_files.load_config(str(mine)).optimizer.learning_rate
    assert type(rate) is float and rate == pytest.approx(10**-3.5)
    changed = config_files.load_config(str(mine), {"optimizer.learning_rate": "0.5"})
    assert changed.optimizer.learning_rate == 0.5


def test_a_group_in_place_of_a_field_is_told_its_fields():
    with pytest.raises(errors.UsageError, match="config.sampling is a group; .*sampling.mode, "):
        config_files.load_config("demo", {"sampling": "3"})


def test_a_field_that_a_file_does_not_set_is_told_as_that(tmp_path):
    mine = tmp_path / "old.py"
    mine.write_text(
        "from configs import train\n"
        "def get_config():\n"
        "    config = train.get_config()\n"
        "    with config.unlocked():\n"
        "        del config.data.early_share\n"
        "    return config\n"
    )
    with pytest.raises(errors.UsageError, match="data.early_share is not set by this file; begin"):
        config_files.load_config(str(mine), {"data.early_share": "0.3"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def get_config(): return 1", "must return a ConfigDict"),
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("x = (", "SyntaxError"),
        ("x = 1", "get_config"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path, text, words):
    path = tmp_path / "wrong.py"
    path.write_text(text)
    with pytest.raises(errors.UsageError, match=words):
        config_files.load_config(str(path))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(errors.UsageError, match="choose from demo"):
        config_files.load_config("nothing")


@pytest.mark.parametrize(
    ("arguments", "overrides", "rest"),
    [
        (["--config.a.b=1"], {"a.b": "1"}, []),
        (["--config.a.b", "1", "--mode=eval"], {"a.b": "1"}, ["--mode=eval"]),
        (["--config.a.b", "--mode=eval"], {"a.b": True}, ["--mode=eval"]),
        (["--noconfig.a.b"], {"a.b": False}, []),
        (["--config", "train", "--config.a.b=x=y"], {"a.b": "x=y"}, ["--config", "train"]),
        (["--config.a.b=1", "--config.a.b=2"], {"a.b": "2"}, []),
        (["--config.a.b="], {"a.b": ""}, []),
        (["--config.a.b", "-1"], {"a.b": "-1"}, []),
        (["--configs", "a.b=1"], {}, ["--configs", "a.b=1"]),
        (["--index=a.b=c", "--query", "a.b"], {}, ["--index=a.b=c", "--query", "a.b"]),
    ],
)
def test_overrides_are_taken_out_of_the_arguments(arguments, overrides, rest):
    assert config_files.split_overrides(arguments) == (overrides, rest)


def test_a_negation_takes_no_value():
    with pytest.raises(errors.UsageError, match="--noconfig.model.mirror takes no value"):
        config_files.split_overrides(["--noconfig.model.mirror=true"])


@pytest.mark.parametrize(
    "argument", ["--config.model.weights", "--noconfig.model.weights", "--config.data.path"]
)
def test_a_text_field_without_a_value_is_refused(argument):
    overrides, _ = config_files.split_overrides([argument, "--mode=train"])
    with pytest.raises(errors.UsageError, match=r"=(True|False) must be text(, such as '\w+')?$"):
        config_files.load_config("train", overrides)


def test_only_the_allowed_fields_of_a_stored_configuration_change():
    stored = config_files.load_config("train")
    changed = config_files.override(stored, {"eval.num_neighbors": "3"}, allowed=("eval.",))
    assert changed.eval.num_neighbors == 3
    with pytest.raises(errors.UsageError, match="these can: config.eval."):
        config_files.override(stored, {"model.backbone": "resnet18"}, allowed=("eval.",))


def test_values_from_python_may_be_numpys_and_paths(tmp_path):
    found = config_files.load_config(
        "demo",
        {
            "optimizer.learning_rate": np.float64(1e-3),
            "model.embedding_size": np.int64(32),
            "data.source": "folder",
            "data.path": tmp_path,
            "data.image_mean": np.array([0.1, 0.2, 0.3]),
            "model.mirror": np.bool_(True),
        },
    )
    assert (found.optimizer.learning_rate, found.model.embedding_size) == (1e-3, 32)
    assert type(found.model.embedding_size) is int and found.model.mirror is True
    assert found.data.path == str(tmp_path)
    assert found.data.image_mean == (0.1, 0.2, 0.3)
