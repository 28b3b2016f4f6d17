import jax
import jax.numpy as jnp
import numpy as np

from simsearch import checkpoints, runs, wiring
from simsearch.config import files as config_files
from simsearch.retrieval import classifier, discriminant

OVERRIDES = {
    "loss.terms.arcface": 0.5,
    "loss.terms.normalised_softmax": 2.0,
    "model.backbone": "resnet18",
    "model.weights": "none",
    "model.embedding_size": 4,
    "data.image_size": 32,
}


def test_the_nearest_class_vector_names_the_class():
    vectors = np.eye(3, dtype=np.float32)
    embeddings = np.float32([[0.9, 0.1, 0], [0, 0.6, 0.8], [0.7, 0, -0.7]])
    labels = np.array([0, 1, 0])
    right = classifier.is_right(embeddings, labels, vectors=vectors, trained_labels=np.arange(3))
    assert right.tolist() == [1.0, 0.0, 1.0]


def test_the_vector_of_a_class_without_train_images_takes_no_part():
    # As the discriminant has it: nearer to what is unlike all trained classes than any of them.
    vectors = np.float32([[1, 0], [0, 0], [0, 1]])
    embeddings = np.float32([[-0.6, -0.8], [-0.8, -0.6], [1, 0]])
    labels = np.array([0, 2, 1])
    right = classifier.is_right(embeddings, labels, vectors=vectors, trained_labels=[0, 0, 2])
    assert right.tolist() == [1.0, 1.0, 0.0]


def test_the_heaviest_loss_of_the_best_checkpoint_is_loaded(tmp_path):
    config = config_files.load_config("train", OVERRIDES)
    version = runs.create(tmp_path, config, facts={"class_names": ["a", "b", "c"]})
    store = checkpoints.Store(version.checkpoint_dir, monitor="map_at_r")
    proxies = jax.eval_shape(lambda: wiring.losses.initial_proxies(config, 3))
    assert {name: leaf.shape for name, leaf in proxies.items()} == {
        "arcface": (3, 4),
        "normalised_softmax": (3, 4),
    }
    for step, score in ((1, 0.9), (2, 0.5)):
        arrays = {name: jnp.full((3, 4), step * 2.0) for name in proxies}
        arrays["arcface"] *= -1
        store.save(
            step,
            variables={"a": jnp.zeros(1)},
            proxies=arrays,
            training={"a": jnp.zeros(1)},
            about={},
            metrics={"map_at_r": score},
        )
    store.close()
    np.testing.assert_allclose(classifier.load(version), np.full((3, 4), 0.5))


def test_without_class_vectors_there_is_no_classifier_but_the_discriminant(tmp_path):
    config = config_files.load_config("train", {"loss.terms.normalised_softmax": 0.0})
    version = runs.create(tmp_path, config, facts={"class_names": ["a", "b"]})
    store = checkpoints.Store(version.checkpoint_dir, monitor="map_at_r")
    variables, metrics = {"a": jnp.zeros(1)}, {"map_at_r": 0.5}
    store.save(3, variables=variables, proxies={}, training=None, about={}, metrics=metrics)
    store.close()
    assert classifier.load(version) is None
    vectors = np.eye(4, dtype=np.float32)[:2]
    for step in (2, 3):
        found = discriminant.Discriminant(np.eye(4, dtype=np.float32), vectors, step)
        discriminant.save(version, found)
        loaded = classifier.load(version)
        # Another checkpoint's is of another network.
        assert loaded is None if step == 2 else np.array_equal(loaded, vectors)
