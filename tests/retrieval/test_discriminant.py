import numpy as np
import pytest

from simsearch import config_files, runs, wiring
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
        moment[:, label] += row / counts[label]
    return np.linalg.inv(gram + 0.01 * np.trace(gram) / len(gram) * np.eye(len(gram))) @ moment


def test_cosines_are_those_after_the_least_squares_solution(directions):
    x, labels = images(np.random.default_rng(1), directions, [30, 3, 12, 8, 5, 20])
    found = discriminant.fit(x, labels, num_classes=CLASSES, step=7)
    assert found.matrix.dtype == found.class_vectors.dtype == np.float32 and found.step == 7
    np.testing.assert_allclose(found.matrix, found.matrix.T, atol=1e-6)
    solved = unit(x @ least_squares(x, labels, CLASSES))
    mapped = unit(x @ found.matrix)
    np.testing.assert_allclose(mapped @ mapped.T, solved @ solved.T, atol=1e-4)
    for label in range(CLASSES):
        mean = mapped[labels == label].mean(0)
        np.testing.assert_allclose(
            found.class_vectors[label], mean / np.linalg.norm(mean), atol=1e-5
        )


def test_the_classes_lie_further_apart_and_unseen_images_are_found_better(directions):
    rng = np.random.default_rng(2)
    x, labels = images(rng, directions, [40] * CLASSES)
    found = discriminant.fit(x, labels, num_classes=CLASSES, step=0)
    apart = ~np.eye(CLASSES, dtype=bool)
    means = unit(np.stack([x[labels == label].mean(0) for label in range(CLASSES)]))
    before, after = (np.abs((v @ v.T)[apart]).mean() for v in (means, found.class_vectors))
    assert after < before / 3, (before, after)
    new, new_labels = images(rng, directions, [40] * CLASSES)
    plain, mapped = (
        ranking.leave_one_out(np.float32(z), new_labels).means()["map_at_r"]
        for z in (new, unit(new @ found.matrix))
    )
    assert mapped > plain + 0.02, (plain, mapped)


def test_more_classes_than_dimensions_and_a_class_without_images():
    rng = np.random.default_rng(3)
    x = unit(rng.standard_normal((60, 4))).astype(np.float32)
    labels = rng.integers(0, 9, 60)
    found = discriminant.fit(x, labels, num_classes=10, step=0)
    assert np.isfinite(found.matrix).all() and np.linalg.matrix_rank(found.matrix) == 4
    lengths = np.linalg.norm(found.class_vectors, axis=1)
    np.testing.assert_allclose(lengths, [1] * 9 + [0], atol=1e-6)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_in_the_head_it_gives_the_mapped_embeddings(head):
    config = config_files.load_config(
        "demo",
        {"data.image_size": 16, "data.resize_size": 16, "model.head": head, "eval.batch_size": 4},
    )
    variables = wiring.initial_variables(config).variables
    rng = np.random.default_rng(4)
    matrix = rng.standard_normal((64, 64)).astype(np.float32)
    found = discriminant.Discriminant(matrix + matrix.T, np.zeros((3, 64), np.float32), 1)
    pixels = rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    plain = embed.Embedder(config, variables)
    mapped = embed.Embedder(config, discriminant.into_head(variables, found))
    np.testing.assert_allclose(
        mapped.embed(pixels), unit(plain.embed(pixels) @ found.matrix), atol=2e-5
    )
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
    np.testing.assert_array_equal(again.matrix, found.matrix)
    np.testing.assert_array_equal(again.class_vectors, found.class_vectors)
    assert discriminant.load(version, step=4) is None
    assert sorted(path.name for path in version.path.iterdir()) == [
        "config.json",
        "discriminant.npz",
        "facts.json",
    ]
