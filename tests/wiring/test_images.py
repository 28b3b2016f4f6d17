"""What the configuration says of the images is what those that make them are asked for."""

import numpy as np
import pytest

from simsearch import wiring
from simsearch.config import files as config_files
from simsearch.data import (
    balanced,
    class_splits,
    confusion,
    corrupt,
    duplicates,
    eval_batches,
    pipeline,
    sampling,
    sources,
)
from tests.data import sets


@pytest.fixture
def asked(monkeypatch):
    """Returns the function that has a function of a module keep what it is asked for."""

    def keep(module, name):
        seen = {}
        monkeypatch.setattr(module, name, lambda *_, **options: seen.update(options))
        return seen

    return keep


def test_every_field_of_the_images_reaches_their_source(asked, monkeypatch, tmp_path):
    config = config_files.load_config(
        "train",
        {
            "data.source": "folder",
            "data.path": "somewhere",
            "data.cache_dir": str(tmp_path),
            "data.split": "class",
            "data.valid_fraction": 0.11,
            "data.test_fraction": 0.12,
            "data.valid_class_fraction": 0.13,
            "data.test_class_fraction": 0.14,
            "data.valid_classes": "a, b",
            "data.test_classes": "c",
            "data.split_seed": 5,
            "data.image_column": "photo",
            "data.label_column": "sort",
        },
    )
    seen = []
    found = {"train": sets.make_split()}
    monkeypatch.setattr(sources, "load", lambda *given, **o: seen.append((given, o)) or found)
    by_class = asked(class_splits, "by_class")
    wiring.images.source_splits(config)
    assert seen == [
        (
            ("folder",),
            {
                "path": "somewhere",
                "valid_fraction": 0.11,
                "test_fraction": 0.12,
                "split_seed": 5,
                "image_column": "photo",
                "label_column": "sort",
                "cache_dir": str(tmp_path / "datasets"),
            },
        )
    ]
    assert by_class == {
        "valid_class_fraction": 0.13,
        "test_class_fraction": 0.14,
        "valid_classes": ["a", "b"],
        "test_classes": ["c"],
        "split_seed": 5,
    }


@pytest.mark.parametrize("drops", [True, False])
@pytest.mark.parametrize("for_training", [True, False])
def test_copies_are_dropped_where_that_is_asked_for(asked, monkeypatch, drops, for_training):
    monkeypatch.setattr(wiring.images, "source_splits", lambda config: {})
    dropping = asked(duplicates, "drop_from_train")
    fields = {"data.drop_duplicates": drops, "data.cache_dir": "kept"}
    wiring.images.load_splits(config_files.load_config("train", fields), for_training=for_training)
    expected = {"cache_dir": "kept/duplicates", "must_be_final": for_training}
    assert dropping == (expected if drops else {})


def test_every_field_of_the_images_reaches_the_batches(asked, tmp_path):
    strengths = {
        "crop_scale_min": 0.21,
        "crop_ratio_max": 1.22,
        "horizontal_flip": 0.23,
        "rotation_degrees": 24.0,
        "brightness": 0.25,
        "contrast": 0.26,
        "saturation": 0.27,
        "hue": 0.28,
        "policy": "rand",
        "policy_num_ops": 3,
        "policy_magnitude": 13,
        "policy_shear": 0.31,
        "policy_translate": 0.32,
        "policy_degrees": 33.0,
        "policy_enhance": 0.34,
        "policy_posterize_bits": 5,
        "erase_probability": 0.36,
        "erase_area_min": 0.037,
        "erase_area_max": 0.38,
        "erase_ratio_max": 3.9,
        "mixup_alpha": 0.4,
    }
    fields = {
        "data.cache_dir": str(tmp_path),
        "data.image_size": 24,
        "data.resize_size": 29,
        "data.resize_mode": "squash",
        "data.interpolation": "bicubic",
        "data.max_pixels": 1234,
        "data.cache": "disk",
        "data.on_corrupt": "fail",
        "data.num_threads": 3,
        "data.prefetch_batches": 7,
        "eval.batch_size": 17,
        "sampling.seed": 6,
    }
    fields |= {f"augment.{name}": value for name, value in strengths.items()}
    config = config_files.load_config("train", fields)
    assert {*strengths, "preset"} == {*vars(config.augment)}
    trained, loaded = asked(pipeline, "train_batches"), asked(pipeline, "loader")
    evaluated = asked(eval_batches, "eval_batches")
    way = {"resize_mode": "squash", "resize_size": 29, "max_pixels": 1234}
    way |= {"interpolation": "bicubic"}
    split, log = sets.make_split(), corrupt.CorruptLog()
    wiring.images.image_loader(config, split)
    assert loaded == way | {"cache": "disk", "cache_dir": str(tmp_path / "images")}
    wiring.images.eval_batches(config, split, corrupt=log)
    assert evaluated == way | {
        "batch_size": 17,
        "image_size": 24,
        "on_corrupt": "fail",
        "corrupt": log,
        "num_threads": 3,
    }
    periods = {"rows_of_step": len, "start_step": 4, "end_step": 9, "image_size": 20, "load": len}
    wiring.images.train_batches(config, split, **periods, corrupt=log)
    changes = trained.pop("augmentation")
    for name, value in strengths.items():
        owner = changes
        if name.startswith("policy"):
            owner, name = changes.policy, name.removeprefix("policy").removeprefix("_") or "name"
        elif name.startswith("erase_"):
            owner, name = changes.erasing, name.removeprefix("erase_")
        assert value == (trained[name] if name == "mixup_alpha" else getattr(owner, name)), name
    assert trained == {
        "sample_rows": len,
        "seed": 6,
        "start_step": 4,
        "num_steps": 5,
        "image_size": 20,
        "load": len,
        "on_corrupt": "fail",
        "corrupt": log,
        "mixup_alpha": 0.4,
        "prefetch": 7,
    }


@pytest.mark.parametrize(
    ("mode", "module", "more"),
    [
        ("triplets", sampling, ()),
        ("class_balanced", balanced, ()),
        ("classes_by_samples", sampling, ("samples_per_class",)),
        ("hard_classes", balanced, ("samples_per_class", "hard_fraction", "confusion")),
    ],
)
def test_every_field_of_the_sampling_reaches_the_sampler_of_its_mode(asked, mode, module, more):
    fields = {"sampling.mode": mode, "sampling.seed": 6, "train.batch_size": 15}
    fields |= {"sampling.samples_per_class": 3, "sampling.hard_fraction": 0.25}
    config = config_files.load_config("train", fields)
    seen, counts = asked(module, mode), confusion.Confusion()
    wiring.images.sample_rows(config, np.zeros(4, np.int32), confusion=counts)
    given = {"samples_per_class": 3, "hard_fraction": 0.25, "confusion": counts}
    assert seen == {"seed": 6, "batch_size": 15} | {name: given[name] for name in more}


@pytest.mark.parametrize(("sampling_seed", "expected"), [(-1, 8), (0, 0), (6, 6)])
def test_batches_follow_their_own_seed_and_without_one_that_of_the_training(
    sampling_seed, expected
):
    seeds = {"train.seed": 8, "sampling.seed": sampling_seed}
    assert wiring.images.sampling_seed(config_files.load_config("train", seeds)) == expected


def test_the_first_images_are_the_same_whatever_the_order_of_the_batches(monkeypatch):
    monkeypatch.setattr(wiring.images, "image_loader", lambda *_: len)
    made = []
    monkeypatch.setattr(pipeline, "train_batches", lambda *_, **o: made.append(o) or [])
    sizes = {"data.image_size": 128, "data.early_image_size": 96}
    for seed in (-1, 6):
        seeds = {"train.seed": 8, "sampling.seed": seed}
        config = config_files.load_config("train", sizes | seeds)
        wiring.images.first_images(config, sets.make_split(), corrupt=corrupt.CorruptLog())
    one, other = made
    assert one["seed"] == other["seed"] == 8
    assert one["image_size"] == 128, "what is evaluated sees as many pixels as the later steps"
    np.testing.assert_array_equal(one["sample_rows"](3), other["sample_rows"](3))
