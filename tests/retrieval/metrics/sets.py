"""Embeddings with labels for the oracles of this folder."""

import numpy as np


def make(num=40, classes=5, size=6, noise=1.0, seed=0):
    """Returns L2-normalised embeddings around a centre for each class, and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, num)
    x = noise * rng.normal(size=(num, size)) + 1.5 * rng.normal(size=(classes, size))[labels]
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), labels
