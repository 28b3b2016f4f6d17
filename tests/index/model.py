"""A model for tests of the index: colours of the four corners, nothing to compile or to train."""

import hashlib
import time

import jax
import numpy as np

from simsearch.config import files as config_files
from simsearch.data.decoding import images as images_lib
from simsearch.retrieval import calibration

FIELDS = {"data.image_size": 8, "data.resize_size": 8, "eval.batch_size": 8}
CONFIG = config_files.load_config("demo", FIELDS)
SIZE = 12
CALIBRATION = calibration.Calibration(
    method="isotonic",
    weights="",
    num_same=1,
    num_different=1,
    cosines=np.array([0.0, 1.0]),
    probabilities=np.array([0.0, 1.0]),
    false_match_rates=np.array([0.0, 1.0]),
    thresholds=np.array([0.9, -1.0]),
)


def with_fields(fields):
    return config_files.load_config("demo", FIELDS | fields)


class CornerEmbedder:
    """Embeds an image as the mean colour of each quarter; takes an `Embedder`'s place."""

    class_names = ("circle", "square")

    def __init__(self, config=CONFIG, *, fingerprint="f" * 64):
        self.config = config
        self.fingerprint = fingerprint
        self.embedding_size = SIZE
        self.input_shape = (8, 8, 3)
        self.decoded = 0

    def preprocess(self, encoded):
        self.decoded += 1
        return images_lib.load_for_eval(
            encoded, resize_mode="squash", resize_size=8, image_size=8, max_pixels=10**6
        )

    def embed(self, images, *, batch_size=None):
        quarters = images.reshape(-1, 2, 4, 2, 4, 3).mean(axis=(2, 4)).reshape(-1, SIZE)
        vectors = quarters - 127.5
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.maximum(norms, 1e-9)).astype(np.float32)


def unit_vectors(rng, count, size=SIZE):
    vectors = rng.normal(size=(count, size)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def hex_id(name):
    return hashlib.sha256(str(name).encode()).hexdigest()[:32]


def devices():
    return jax.local_devices()


def wait_until(condition, *, seconds=10):
    """Returns when a condition holds; fails where it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
