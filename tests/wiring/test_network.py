"""What the configuration says is what is used: read back out of the optimizer and the network."""

import jax
import numpy as np
import optax
import pytest

from simsearch import errors, models, wiring
from simsearch.config import files as config_files
from simsearch.data import corrupt
from simsearch.models import heads, pretrained, resnet
from simsearch.training import loop, run

OVERRIDES = {
    "optimizer.learning_rate": 0.0123,
    "optimizer.weight_decay": 0.0456,
    "optimizer.warmup_epochs": 0.0,
    "model.backbone": "wide_resnet50_2",
    "model.embedding_size": 33,
    "loss.triplet.margin": 0.789,
    "loss.terms.triplet": 0.75,
    "loss.terms.supcon": 0.0,
    "loss.terms.normalised_softmax": 0.0,
}


def test_learning_rate_and_weight_decay_reach_the_optimizer():
    config = config_files.load_config("train", OVERRIDES)
    schedule = run.create_schedule(config, loop.plan(config, 640))
    params = {"backbone": {"stem_conv": {"kernel": np.ones((2, 2), np.float32)}}}
    optimizer = run.create_optimizer(config, schedule)
    _, state = optimizer.update(params, optimizer.init(params), params)
    used = optax.tree_utils.tree_get(state, "hyperparams")
    assert float(used["learning_rate"]) == pytest.approx(0.0123)
    assert float(used["weight_decay"]) == pytest.approx(0.0456)


def test_every_field_of_the_optimizer_reaches_it(monkeypatch):
    fields = {
        "learning_rate": 0.1,
        "weight_decay": 0.2,
        "beta1": 0.3,
        "beta2": 0.4,
        "epsilon": 0.5,
        "clip_norm": 0.6,
        "backbone_multiplier": 0.7,
        "proxy_multiplier": 0.8,
        "final_fraction": 0.9,
        "warmup_epochs": 2.0,
    }
    overrides = {f"optimizer.{name}": value for name, value in fields.items()}
    overrides |= {"train.accumulate_steps": 2, "train.batch_size": 64, "train.num_epochs": 5}
    config = config_files.load_config("train", overrides)
    assert {*fields} == {*vars(config.optimizer)}
    seen = {}
    monkeypatch.setattr(run.optimizer_lib, "create_optimizer", lambda _, **k: seen.update(k))
    monkeypatch.setattr(run.optimizer_lib, "create_schedule", lambda **k: seen.update(k))
    # 640 images are 10 steps, and 5 updates, an epoch.
    run.create_optimizer(config, run.create_schedule(config, loop.plan(config, 640)))
    assert (seen.pop("num_steps"), seen.pop("num_warmup_steps")) == (25, 10)
    assert (seen.pop("peak_learning_rate"), seen.pop("accumulate_steps")) == (0.1, 2)
    del seen["trainable"], fields["learning_rate"], fields["warmup_epochs"]
    assert seen == fields


def test_backbone_and_embedding_size_reach_the_network():
    config = config_files.load_config("train", OVERRIDES)
    network = wiring.network.create(config)
    backbone = network.make_backbone()
    assert isinstance(backbone, resnet.ResNet)
    assert backbone.base_width == 128 and backbone.stage_sizes == (3, 4, 6, 3)
    shapes = wiring.network.abstract_variables(config)
    assert shapes["params"]["head"]["projection"]["kernel"].shape == (2048, 33)
    # Twice the channels of a ResNet-50 inside the bottleneck.
    assert shapes["params"]["backbone"]["stage1_block0"]["conv2"]["kernel"].shape[-1] == 128


def test_every_choice_of_the_model_reaches_the_network():
    config = config_files.load_config(
        "train",
        {
            "model.backbone": "mobilenet_v3_small",
            "model.head": "mlp",
            "model.pooling": "gem",
            "model.dtype": "bfloat16",
            "model.padding": "tensorflow",
            "model.freeze": "2",
            "model.freeze_batch_norm": True,
            "model.num_backbones": 3,
            "data.image_mean": (0.1, 0.2, 0.3),
            "data.image_std": (0.4, 0.5, 0.6),
        },
    )
    network = wiring.network.create(config, axis_name="devices")
    assert (network.pooling, network.dtype, network.num_backbones) == ("gem", "bfloat16", 3)
    assert (network.image_mean, network.image_std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    trunk, head = network.make_backbone(), network.make_head()
    assert (trunk.dtype, trunk.num_frozen) == ("bfloat16", 3)
    assert trunk.freeze_batch_norm and trunk.same_padding and isinstance(head, heads.Mlp)
    assert trunk.axis_name == head.norm().axis_name == "devices"


@pytest.mark.parametrize(
    ("field", "kept"),
    [({}, False), ({"model.freeze_batch_norm": True}, True), ({"model.freeze": "all"}, True)],
)
def test_what_is_frozen_keeps_the_statistics(field, kept):
    assert wiring.network.keeps_batch_norm(config_files.load_config("train", field)) == kept


def test_first_weights_and_class_vectors_follow_the_seed_and_are_of_each_loss():
    terms = {"loss.terms.normalised_softmax": 1.0, "loss.terms.arcface": 1.0}
    terms |= {"model.backbone": "resnet18", "model.embedding_size": 5, "data.image_size": 32}
    config, other = (config_files.load_config("train", terms | {"train.seed": s}) for s in (0, 1))
    vectors = wiring.losses.initial_proxies(config, 4)
    assert {name: array.shape for name, array in vectors.items()} == {
        "arcface": (4, 5),
        "normalised_softmax": (4, 5),
    }
    headless = config_files.load_config("train", terms | {"model.head": "none"})
    assert wiring.losses.initial_proxies(headless, 4)["arcface"].shape == (4, 512)
    again = wiring.losses.initial_proxies(other, 4)["arcface"]
    assert len({np.asarray(array).tobytes() for array in (*vectors.values(), again)}) == 3
    assert wiring.losses.empty_memory(config) is None
    remembering = config_files.load_config("train", terms | {"loss.memory_size": 7})
    assert wiring.losses.empty_memory(remembering).embeddings.shape == (7, 5)


def test_the_seed_and_what_is_known_reach_the_first_weights(monkeypatch):
    seen = {}
    monkeypatch.setattr(models, "initialise", lambda network, **options: seen.update(options))
    fields = {"train.seed": 7, "data.image_size": 40}
    wiring.network.random_variables(config_files.load_config("train", fields), known="known")
    assert seen == {"seed": 7, "image_size": 40, "known": "known"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model.num_backbones": 2}, "join them with --mode=ensemble"),
        ({"model.freeze": "5"}, "model.freeze='5' must be"),
        ({"model.weights": "nowhere.npz"}, "nowhere.npz"),
    ],
)
def test_a_network_that_cannot_be_trained_is_told_before_anything_is_read(fields, words):
    with pytest.raises(errors.UsageError, match=words):
        wiring.network.check(config_files.load_config("train", fields))


@pytest.mark.parametrize("is_folded", [False, True])
def test_first_weights_are_those_of_the_file_and_what_it_is_is_remembered(monkeypatch, is_folded):
    config = config_files.load_config("train", {"model.backbone": "resnet18"})
    weights = pretrained.Weights({}, "a.npz", "1f")
    for name, found in (("lay_over", "known"), ("has_folded_batch_norm", is_folded)):
        monkeypatch.setattr(pretrained, name, lambda *_, found=found: found)
    monkeypatch.setattr(models, "initialise", lambda network, *, known, **_: known)
    found = wiring.network.initial_variables(config, weights)
    assert found == ("known", {"source": "a.npz", "sha256": "1f"}, is_folded)


def test_the_margin_reaches_the_step(monkeypatch):
    seen = {}
    monkeypatch.setattr(run.step_lib, "create_train_step", lambda *_, **k: seen.update(k))
    monkeypatch.setattr(run.parallel, "replicate_step", lambda step, devices: step)
    more = {"train.ema_decay": 0.97, "train.accumulate_steps": 3}
    more |= {"loss.memory_size": 8, "loss.memory_start_step": 11}
    config = config_files.load_config("train", OVERRIDES | more)
    trained_classes = np.arange(3)
    run.create_train_step(config, None, jax.local_devices(), trained_classes=trained_classes)
    (term,) = seen["terms"]
    assert (term.name, term.weight) == ("triplet", 0.75)
    assert term.options["margin"] == 0.789 and term.options["miner"] == "batch_all"
    assert (seen["ema_decay"], seen["accumulate_steps"]) == (0.97, 3)
    assert seen["memory_start_step"] == 11 and seen["trained_classes"] is trained_classes


def test_frozen_parts_are_not_trained():
    config = config_files.load_config("demo", {"model.freeze": "2"})
    params = wiring.network.abstract_variables(config)["params"]
    flags = wiring.network.trainable(config, params)
    assert not any(jax.tree.leaves(flags["backbone"]["stage2_block0"]))
    assert all(jax.tree.leaves(flags["backbone"]["stage3_block0"]))


@pytest.mark.parametrize("train_image_size, expected", [(0, 24), (16, 16)])
def test_training_and_evaluation_may_look_at_different_sizes(shapes, train_image_size, expected):
    overrides = {
        "data.source": "folder",
        "data.path": str(shapes),
        "data.image_size": 24,
        "data.train_image_size": train_image_size,
        "train.batch_size": 8,
    }
    config = config_files.load_config("train", overrides)
    split = wiring.images.load_splits(config)["train"]
    log = corrupt.CorruptLog()
    batches = wiring.images.train_batches(
        config,
        split,
        rows_of_step=wiring.images.sample_rows(config, split.labels, confusion=None),
        start_step=0,
        end_step=1,
        image_size=wiring.images.train_image_sizes(config)[1],
        load=wiring.images.image_loader(config, split),
        corrupt=log,
    )
    batch = next(batches)
    assert batch.images.shape == (8, expected, expected, 3)
    evaluated = next(wiring.images.eval_batches(config, split, corrupt=log))
    assert evaluated.images.shape[1:3] == (24, 24)


def test_training_squashes_where_evaluation_takes_both_views(shapes):
    overrides = {"data.source": "folder", "data.path": str(shapes)}
    loaded = {}
    for mode in ("squash", "both"):
        config = config_files.load_config("train", overrides | {"data.resize_mode": mode})
        split = wiring.images.load_splits(config)["train"]
        loaded[mode] = wiring.images.image_loader(config, split)(0)
        evaluated = next(wiring.images.eval_batches(config, split, corrupt=corrupt.CorruptLog()))
        assert evaluated.images.shape[-1] == (6 if mode == "both" else 3)
    np.testing.assert_array_equal(*loaded.values())


@pytest.mark.parametrize("name", ["train", "early"])
@pytest.mark.parametrize("size", [300, 7])
def test_a_training_size_that_nothing_can_be_cropped_to_is_refused(name, size):
    field = f"data.{name}_image_size"
    with pytest.raises(errors.UsageError, match=f"{field}={size} must be 0"):
        config_files.load_config("train", {field: size, "data.resize_size": 256})


@pytest.mark.parametrize("name", ["image_size", "train_image_size"])
def test_the_first_steps_see_no_more_pixels_than_the_others(name):
    sizes = {f"data.{name}": 128, "data.early_image_size": 160}
    with pytest.raises(errors.UsageError, match="early_image_size=160 must be at most the 128 pix"):
        config_files.load_config("train", sizes)
    assert wiring.images.train_image_sizes(
        config_files.load_config("train", sizes | {"data.early_image_size": 96})
    ) == (96, 128)
