import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsearch import errors, models
from simsearch.models import backbone, catalog, pooling, resnet
from simsearch.models import network as network_lib

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)


@pytest.fixture(autouse=True)
def tiny_backbone(monkeypatch):
    """A residual network that compiles in a second."""
    tiny = functools.partial(resnet.ResNet, (1, 1, 1, 1), bottleneck=False)
    entry = backbone.Backbone(tiny, (resnet.torch_name,), "")
    monkeypatch.setitem(catalog._BY_NAME, "tiny", entry)


def create(**changes):
    options = {"backbone": "tiny", "embedding_size": 8}
    network = models.create_network(**options | changes)
    return network, initial_variables(*(changes.get(name) for name in ("head", "pooling")))


@functools.cache
def initial_variables(head, pooling):
    """Returns the variables, which depend on nothing else: making them is what takes long."""
    options = {"head": head or "linear", "pooling": pooling or "average", "embedding_size": 8}
    network = models.create_network(backbone="tiny", **options)
    return models.initialise(network, seed=0, image_size=32)


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, 8),
        ({"head": "mlp"}, 8),
        ({"head": "none", "pooling": "max"}, 512),
        ({"pooling": "gem", "dtype": jnp.bfloat16}, 8),
    ],
)
def test_embeddings_are_float32_unit_vectors(changes, size):
    network, variables = create(**changes)
    embeddings = jax.jit(lambda v, x: network.apply(v, x, train=False))(variables, IMAGES)
    assert embeddings.shape == (4, size) and embeddings.dtype == jnp.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
    assert ("head" in variables["params"]) == (changes.get("head") != "none")


def test_the_first_numbers_depend_on_the_seed_alone():
    # Stored: another kind of device, or generator, must give the same ones. The tolerance is what
    # devices may round differently.
    _, variables = create()
    head, stem = (
        variables["params"][name][module]["kernel"].ravel()[:3]
        for name, module in (("head", "projection"), ("backbone", "stem_conv"))
    )
    np.testing.assert_allclose(head, [0.0067063035, 0.0056186612, 0.017841479], rtol=1e-5)
    np.testing.assert_allclose(stem, [-0.048197165, 0.024456114, 0.013569374], rtol=1e-5)


def test_what_is_known_is_kept_and_the_rest_is_drawn_as_if_nothing_were():
    network, variables = create(pooling="gem")
    shapes = jax.eval_shape(lambda: variables)
    kept = jax.tree.map(lambda leaf: np.full(leaf.shape, 7, leaf.dtype), variables)
    known = {
        "params": shapes["params"] | {"backbone": kept["params"]["backbone"]},
        "batch_stats": kept["batch_stats"],
    }
    found = models.initialise(network, seed=0, image_size=32, known=known)
    jax.tree.map(np.testing.assert_array_equal, found["batch_stats"], kept["batch_stats"])
    for name, tree in found["params"].items():
        expected = (kept if name == "backbone" else variables)["params"][name]
        # Other programs may round differently.
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), tree, expected)


def test_bfloat16_is_near_float32():
    network, variables = create()
    half, _ = create(dtype=jnp.bfloat16)
    exact, near = (
        jax.jit(functools.partial(n.apply, train=False))(variables, IMAGES) for n in (network, half)
    )
    # bfloat16 keeps 8 bits; the layers add up to a few hundredths of a unit vector.
    assert 0 < np.abs(exact - near).max() < 0.05


# As many digits as the type has: what is rounded before it is near 0 has fewer.
@pytest.mark.parametrize(("dtype", "rtol"), [(jnp.float32, 1e-4), (jnp.bfloat16, 2**-8)])
def test_pixels_are_normalised_with_the_given_statistics(dtype, rtol):
    statistics = {"image_mean": (0.1, 0.2, 0.3), "image_std": (0.5, 0.6, 0.7)}
    network, variables = create(**statistics, dtype=dtype)
    seen = {}

    def spy(next_call, args, kwargs, context):
        if context.module.name == "backbone" and context.method_name == "__call__":
            seen["pixels"] = args[0]
            return jnp.zeros((4, 1, 1, 512))
        return next_call(*args, **kwargs)

    with nn.intercept_methods(spy):
        network.apply(variables, IMAGES, train=False)
    expected = (IMAGES / 255 - np.array([0.1, 0.2, 0.3])) / np.array([0.5, 0.6, 0.7])
    np.testing.assert_allclose(seen["pixels"].astype(float), expected, rtol=rtol, atol=1e-5)


def test_the_norm_has_a_finite_gradient_at_zero():
    x = jnp.asarray([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(network_lib.unit(x), [[0, 0], [0.6, 0.8]], atol=1e-6)
    gradient = jax.grad(lambda x: jnp.sum(network_lib.unit(x) * jnp.array([1.0, 2.0])))(x)
    assert np.all(np.isfinite(gradient))


def gradients(freeze):
    network, variables = create(freeze=freeze)

    def loss(variables):
        embeddings, _ = network.apply(variables, IMAGES, train=True, mutable=["batch_stats"])
        return jnp.sum(embeddings**3)

    return jax.jit(jax.grad(loss))(variables)["params"], variables["params"]


@pytest.mark.parametrize(
    ("freeze", "frozen"),
    [
        ("none", ()),
        ("stem", ("stem",)),
        ("2", ("stem", "stage1", "stage2")),
        ("all", ("stem", "stage1", "stage2", "stage3", "stage4")),
    ],
)
def test_what_is_frozen_has_no_gradient_and_is_not_trained(freeze, frozen):
    found, params = gradients(freeze)
    trainable = models.trainable(params, freeze=freeze)
    for name, part in found["backbone"].items():
        is_frozen = name.startswith(frozen) if frozen else False
        moved = any(np.any(leaf != 0) for leaf in jax.tree.leaves(part))
        assert moved != is_frozen, name
        assert all(flag != is_frozen for flag in jax.tree.leaves(trainable["backbone"][name]))
    assert all(jax.tree.leaves(trainable["head"]))
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(found["head"]))


@pytest.mark.parametrize("changes", [{"freeze_batch_norm": True}, {"freeze": "all"}])
def test_frozen_statistics_stay_and_those_of_the_head_do_not(changes):
    network, variables = create(**changes, head="mlp")
    apply = functools.partial(network.apply, train=True, mutable=["batch_stats"])
    _, changed = jax.jit(apply)(variables, IMAGES)
    found, before = changed["batch_stats"], variables["batch_stats"]
    jax.tree.map(np.testing.assert_array_equal, found["backbone"], before["backbone"])
    moved = jax.tree.map(lambda new, old: np.any(new != old), found["head"], before["head"])
    assert all(jax.tree.leaves(moved))


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(errors.UsageError, match="did you mean resnet50"):
        create(backbone="resnet5")
    with pytest.raises(errors.UsageError, match=r"There are resnet18, .* mobilenet \(mobilenet_v3"):
        create(backbone="vit")


def test_a_short_name_means_one_of_its_family():
    assert {name: catalog.ALIASES[name] for name in ("resnext", "wide_resnet")} == {
        "resnext": "resnext50_32x4d",
        "wide_resnet": "wide_resnet50_2",
    }
    for short, name in models.ALIASES.items():
        assert catalog.find(short) is catalog.find(name)


def test_generalised_mean_lies_between_average_and_maximum():
    x = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (2, 3, 4, 5)), jnp.float32)
    gem = pooling.GeM()
    for exponent, expected in ((1.0, x.mean((1, 2))), (100.0, x.max((1, 2)))):
        found = gem.apply({"params": {"exponent": jnp.float32(exponent)}}, x)
        np.testing.assert_allclose(found, expected, rtol=4e-2)


def test_generalised_mean_is_finite_at_any_exponent_and_is_that_of_the_paper():
    x = np.random.default_rng(0).uniform(-1, 3, (2, 3, 4, 5))
    x[0, :, :, 0] = 0  # A channel that ReLU has closed.

    def total(exponent, x):
        return jnp.sum(pooling.GeM().apply({"params": {"exponent": exponent}}, x))

    for exponent in (0.5, 1.0, 3.0, 6.0, 7.0, 30.0, 100.0):
        value, gradients = jax.value_and_grad(total, argnums=(0, 1))(
            jnp.float32(exponent), jnp.asarray(x, jnp.float32)
        )
        # In float64 the formula itself has room enough.
        powers = np.maximum(x, 1e-6) ** exponent
        expected = np.sum(np.mean(powers, axis=(1, 2)) ** (1 / exponent))
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        step = 1e-4 * exponent
        near = [
            np.sum(np.mean(np.maximum(x, 1e-6) ** p, axis=(1, 2)) ** (1 / p))
            for p in (exponent - step, exponent + step)
        ]
        np.testing.assert_allclose(gradients[0], (near[1] - near[0]) / (2 * step), rtol=1e-2)
        assert np.isfinite(gradients[1]).all() and np.any(gradients[1] != 0)
