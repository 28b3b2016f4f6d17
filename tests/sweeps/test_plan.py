import pytest

from simsearch import config, errors
from simsearch.config import files as config_files
from simsearch.sweeps import plan

GRID = {
    "sweep.sampler": "grid",
    "sweep.num_trials": "0",
    "sweep.space.optimizer.learning_rate": "[1e-4, 1e-3]",
    "sweep.space.optimizer.weight_decay": None,
}


def test_a_trial_differs_from_training_in_the_swept_fields_alone():
    found = plan.load_sweep("sweep", {"train.seed": "5"})
    trial = found.configure({"optimizer.learning_rate": 2e-4, "sampling.samples_per_class": 2})
    assert [line.split(":")[0] for line in config.differences(found.base, trial)] == [
        "sampling.samples_per_class",
        "optimizer.learning_rate",
    ]
    assert trial.train.seed == found.base.train.seed == 5


def test_derived_defaults_follow_a_swept_field(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from configs import sweep\n"
        "def get_config():\n"
        "    config = sweep.get_config()\n"
        "    config.data.resize_size = config.data.get_ref('image_size') * 2\n"
        "    return config\n"
    )
    trial = plan.load_sweep(str(path)).configure({"data.image_size": 112})
    assert trial.data.resize_size == 224


def test_the_space_is_overridden_and_taken_out_of():
    found = plan.load_sweep("sweep", GRID | {"sweep.space.model.embedding_size": [8, 16]})
    assert list(found.space) == [
        "optimizer.learning_rate",
        "sampling.samples_per_class",
        "model.embedding_size",
    ]
    assert found.num_trials == 2 * 3 * 2
    assert plan.load_sweep("sweep", GRID | {"sweep.num_trials": 4}).num_trials == 4
    assert plan.load_sweep("sweep", GRID | {"sweep.num_trials": 40}).num_trials == 6


@pytest.mark.parametrize("name", ["optimizer.wieght_decay", "optimizer", "nonsense"])
def test_what_is_taken_out_of_the_space_must_be_a_field(name):
    with pytest.raises(errors.UsageError, match=f"{name}"):
        plan.load_sweep("sweep", {f"sweep.space.{name}": None})


def test_integers_inside_an_interval_are_looked_at_too():
    overrides = {"sweep.sampler": "random", "sweep.space.sampling.samples_per_class": None}
    with pytest.raises(errors.UsageError, match="train.batch_size=65 must be a multiple of"):
        plan.load_sweep("sweep", overrides | {"sweep.space.train.batch_size": "(64, 128)"})
    plan.load_sweep("sweep", overrides | {"sweep.space.model.embedding_size": "(64, 128)"})


def test_its_flags_name_it_again():
    found = plan.load_sweep("sweep", {"train.num_epochs": "2", "sweep.sampler": "random"})
    assert found.flags == {
        "config": "sweep",
        "config.sweep.sampler": "random",
        "config.train.num_epochs": "2",
    }


def test_everything_wrong_is_told_at_once():
    overrides = {
        "sweep.sampler": "gird",
        "sweep.num_trials": "-1",
        "sweep.num_tirals": "3",
        "sweep.space.model.hed": "['linear']",
        "sweep.space.model.head": "['linear', 'linaer']",
        "sweep.space.optimizer.learning_rate": "(-1, 2)",
        "sweep.space.train.batch_size": "(8, 16, 'lgo')",
    }
    with pytest.raises(errors.UsageError) as caught:
        plan.load_sweep("sweep", overrides)
    message = str(caught.value)
    for words in (
        "sweep.sampler='gird' must be one of grid, random, tpe",
        "sweep.num_trials=-1 must be >= 0",
        "did you mean sweep.num_trials?",
        "did you mean model.head?",
        "model.head='linaer' must be one of",
        "optimizer.learning_rate=-1.0 must be > 0",
        "sweep.space.train.batch_size must be a list of choices",
    ):
        assert words in message, words
    assert "\n" not in message


def test_contradictions_are_told_beside_what_is_wrong_by_itself():
    overrides = {
        "sweep.study": "a/b",
        "sweep.sampler": "bayes",
        "train.batch_size": "80",
        "sweep.space.optimizer.learning_rate": "(1e-3, 1e-4)",
        "sweep.space.sampling.samples_per_class": "[3, 8]",
    }
    with pytest.raises(errors.UsageError) as caught:
        plan.load_sweep("sweep", overrides)
    for words in (
        "sweep.study='a/b' must be letters",
        "sweep.sampler='bayes' must be one of",
        "learning_rate must go from a lower to a higher value",
        "train.batch_size=80 must be a multiple of sampling.samples_per_class=3",
    ):
        assert words in str(caught.value), words
    # What it would be a multiple of is not known until the space is right.
    overrides["sweep.space.train.batch_size"] = "(90, 60)"
    with pytest.raises(errors.UsageError, match="train.batch_size must go from") as caught:
        plan.load_sweep("sweep", overrides)
    assert "must be a multiple of" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            {"sweep.sampler": "grid"},
            r"rate=\(0.0001, 0.003, 'log'\) must be a list of choices with sweep.sampler=grid",
        ),
        (
            {"sweep.sampler": "grid", "sweep.space.optimizer.weight_decay": (0.0, 1.0)},
            r"decay=\(0.0, 1.0\) must be a list of choices with sweep.sampler=grid",
        ),
        ({"sweep.num_trials": 0}, "needs a number >= 1"),
        ({"sweep.study": "a/b"}, "sweep.study='a/b' must be letters"),
        ({"sweep.space.train.batch_size": [20, 21]}, "must be a multiple of"),
        ({"model.num_backbones": 2}, "num_backbones=2 is made of trained"),
        (
            {"sweep.space.model.num_backbones": [1, 2]},
            "num_backbones=2 is made of trained versions",
        ),
        (
            {
                "train.monitor": "classifier_accuracy",
                "sweep.space.loss.terms.normalised_softmax": [0.0, 1.0],
            },
            "needs a loss with class vectors",
        ),
        ({"sweep.space.model.backbone": ["resnet51"]}, "did you mean resnet50?"),
        ({"train.num_epocs": 3}, "did you mean train.num_epochs?"),
    ],
)
def test_contradictions_are_told_before_work(overrides, words):
    with pytest.raises(errors.UsageError, match=words.replace("?", "[?]")):
        plan.load_sweep("sweep", overrides)


def test_many_combinations_that_contradict_are_told_once():
    with pytest.raises(errors.UsageError) as caught:
        plan.load_sweep("sweep", {"sweep.space.train.batch_size": [20, 21, 22, 23, 25]})
    assert str(caught.value).count("must be a multiple") == 3
    assert "more problems of combinations like these" in str(caught.value)


def test_a_sweep_is_no_training_and_a_training_no_sweep():
    with pytest.raises(errors.UsageError, match="run it with --mode=sweep"):
        config_files.load_config("sweep")
    with pytest.raises(errors.UsageError, match="--config demo has no group sweep"):
        plan.load_sweep("demo")


def test_the_group_in_place_of_a_field_is_told_its_fields():
    with pytest.raises(errors.UsageError, match="config.sweep is a group; .*: sweep.study, "):
        plan.load_sweep("sweep", {"sweep": "3"})
