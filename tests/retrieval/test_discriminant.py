import dataclasses

import numpy as np
import pytest
import scipy.linalg

from simsearch import runs, wiring
from simsearch.config import files as config_files
from simsearch.retrieval import discriminant, embed
from simsearch.retrieval.metrics import ranking

CLASSES, SIZE = 6, 12


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def images(rng, directions, counts):
    """Images of classes whose directions overlap: (embeddings, labels)."""
    labels = np.repeat(np.arange(len(counts)), counts)
    noise = 0.12 * rng.standard_normal((len(labels), directions.shape[1]))
    return unit(directions[labels] + noise).astype(np.float32), labels


@pytest.fixture(scope="module")
def directions():
    rng = np.random.default_rng(0)
    return unit(rng.standard_normal((CLASSES, SIZE)) + 1.5)


def least_squares(x, labels, num_classes):
    """The oracle: one target per class, each image weighed by its class's size, image by image."""
    counts = np.bincount(labels, minlength=num_classes)
    gram, moment = np.zeros((x.shape[1], x.shape[1])), np.zeros((x.shape[1], num_classes))
    for row, label in zip(x.astype(np.float64), labels, strict=True):
        gram += np.outer(row, row) / counts[label]
        target = np.eye(num_classes)[label] - 1 / num_classes
        moment += np.outer(row, target) / counts[label]
    ridge = discriminant._RIDGE * np.trace(gram) / len(x)
    return np.linalg.inv(gram + ridge * np.eye(len(gram))) @ moment, gram


def with_share(solution, gram, trained):
    """The oracle: the solution turned by scipy towards the trained layer, and a share of that."""
    columns = np.zeros((len(solution), trained.shape[1]))
    columns[:, : solution.shape[1]] = solution
    turned = columns @ scipy.linalg.orthogonal_procrustes(columns, trained)[0]
    turned, kept = (m / np.sqrt(np.trace(m.T @ gram @ m)) for m in (turned, trained))
    return turned + discriminant._SHARE**0.5 * kept


def trained_layer(num_dimensions, num_features=SIZE):
    layer = np.random.default_rng(6).standard_normal((num_features, num_dimensions))
    return layer.astype(np.float32)


@pytest.mark.parametrize(
    ("counts", "num_dimensions"),
    [
        ([30, 3, 12, 8, 5, 20], 6),
        ([30, 3, 12, 8, 5, 20], 16),  # more than features
        ([2, 1, 1, 2, 1, 2], 8),  # fewer images than features
    ],
)
def test_cosines_are_those_after_the_least_squares_solution(
    directions, counts, num_dimensions, monkeypatch
):
    monkeypatch.setattr(discriminant, "_BLOCK", 7)
    x, labels = images(np.random.default_rng(1), directions, counts)
    trained = trained_layer(num_dimensions)
    found = discriminant.fit(x, labels, trained=trained, num_classes=CLASSES, step=7)
    assert found.projection.dtype == found.class_vectors.dtype == np.float32 and found.step == 7
    expected = with_share(*least_squares(x, labels, CLASSES), trained)
    np.testing.assert_allclose(found.projection, expected, atol=1e-4)
    mapped = unit(x @ found.projection)
    for label in range(CLASSES):
        mean = mapped[labels == label].mean(0)
        np.testing.assert_allclose(
            found.class_vectors[label], mean / np.linalg.norm(mean), atol=1e-5
        )


def test_of_more_classes_than_dimensions_those_are_kept_in_which_they_differ_most(monkeypatch):
    monkeypatch.setattr(discriminant, "_SHARE", 0.0)
    rng = np.random.default_rng(3)
    x = unit(rng.standard_normal((200, 9)) * np.geomspace(1, 0.01, 9)).astype(np.float32)
    labels = rng.integers(0, 29, 200)
    found = discriminant.fit(x, labels, trained=trained_layer(4, 9), num_classes=30, step=0)
    left, stretch, _ = np.linalg.svd(least_squares(x, labels, 29)[0])
    expected = unit(x @ (left[:, :4] * stretch[:4]))
    mapped = unit(x @ found.projection)
    np.testing.assert_allclose(mapped @ mapped.T, expected @ expected.T, atol=1e-4)
    lengths = np.linalg.norm(found.class_vectors, axis=1)
    np.testing.assert_allclose(lengths, [1] * 29 + [0], atol=1e-6)


def test_images_of_one_of_two_classes_are_still_told_apart():
    rng = np.random.default_rng(9)
    directions = unit(rng.standard_normal((2, SIZE)))
    x, labels = images(rng, directions, [20, 20])
    found = discriminant.fit(x, labels, trained=trained_layer(8), num_classes=2, step=0)
    first = unit(x @ found.projection)[labels == 0]
    cosines = (first @ first.T)[np.triu_indices(20, 1)]
    # On the single line between two classes there are only two places.
    assert len(np.unique(cosines.round(6))) > 150 and cosines.std() > 0.001


def test_where_nothing_tells_the_classes_apart_the_trained_layer_stays():
    x, trained = np.zeros((12, SIZE), np.float32), trained_layer(4)
    found = discriminant.fit(x, np.arange(12) % 3, trained=trained, num_classes=3, step=0)
    np.testing.assert_array_equal(found.projection, trained)
    assert not found.class_vectors.any()


def test_the_classes_lie_further_apart_and_unseen_images_are_found_better(directions):
    rng = np.random.default_rng(2)
    x, labels = images(rng, directions, [40] * CLASSES)
    found = discriminant.fit(x, labels, trained=trained_layer(SIZE), num_classes=CLASSES, step=0)
    apart = ~np.eye(CLASSES, dtype=bool)
    means = unit(np.stack([x[labels == label].mean(0) for label in range(CLASSES)]))
    before, after = ((v @ v.T)[apart] for v in (means, found.class_vectors))
    # Of vectors that sum up to zero, the cosines are -1 / (C - 1) on average at least.
    assert before.mean() > 0.6 and after.mean() < -0.15, (before, after)
    assert (after < before - 0.3).all() and np.abs(after).mean() < before.mean() / 2
    new, new_labels = images(rng, directions, [40] * CLASSES)
    plain, mapped = (
        ranking.leave_one_out(np.float32(z), new_labels).means()["map_at_r"]
        for z in (new, unit(new @ found.projection))
    )
    assert mapped > plain + 0.02, (plain, mapped)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_in_the_head_it_maps_what_the_last_layer_saw(head):
    config = config_files.load_config(
        "demo",
        {"data.image_size": 16, "data.resize_size": 16, "model.head": head, "eval.batch_size": 4},
    )
    variables = wiring.network.initial_variables(config).variables
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    of_features, trained = discriminant.features_of(variables)
    wide = dataclasses.replace(config.model, embedding_size=len(trained))
    features = embed.Embedder(dataclasses.replace(config, model=wide), of_features).embed(pixels)
    plain = embed.Embedder(config, variables)
    # The last layer begins without bias.
    np.testing.assert_allclose(plain.embed(pixels), unit(features @ trained), atol=2e-5)
    projection = rng.standard_normal(trained.shape).astype(np.float32)
    found = discriminant.Discriminant(projection, np.zeros((3, 64), np.float32), 1)
    mapped = embed.Embedder(config, discriminant.into_head(variables, found))
    np.testing.assert_allclose(mapped.embed(pixels), unit(features @ projection), atol=2e-5)
    assert mapped.fingerprint != plain.fingerprint


def test_it_is_read_back_for_the_checkpoint_that_it_was_fitted_to(tmp_path):
    version = runs.create(tmp_path, config_files.load_config("demo"))
    assert discriminant.load(version, step=3) is None
    rng = np.random.default_rng(5)
    found = discriminant.Discriminant(
        rng.standard_normal((4, 4)).astype(np.float32), np.eye(4, dtype=np.float32)[:2], 3
    )
    discriminant.save(version, found)
    again = discriminant.load(version, step=3)
    np.testing.assert_array_equal(again.projection, found.projection)
    np.testing.assert_array_equal(again.class_vectors, found.class_vectors)
    assert discriminant.load(version, step=4) is None
    assert sorted(path.name for path in version.path.iterdir()) == [
        "config.json",
        "discriminant.npz",
        "facts.json",
    ]
