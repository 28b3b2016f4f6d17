import json

import numpy as np

from simsearch.data import confusion as confusion_lib
from tests.data import sets

MATRIX = np.random.default_rng(0).poisson(0.3, (7, 7))


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_counts_survive_json():
    kept, restored = confusion_lib.Confusion(), confusion_lib.Confusion()
    assert kept.to_json() is None
    restored.restore(None)
    assert restored.counts is None
    for matrix in (MATRIX, np.zeros((3, 3), int)):
        kept.counts = sets.counts_of(matrix)
        restored.restore(json.loads(json.dumps(kept.to_json())))
        assert_equal(restored.counts, kept.counts)


def test_counts_are_those_of_a_matrix():
    i, j = np.repeat(np.argwhere(MATRIX), MATRIX[MATRIX > 0], axis=0).T
    order = np.random.default_rng(1).permutation(len(i))
    found = confusion_lib.count(i[order], j[order], num_classes=7)
    assert_equal(found, sets.counts_of(MATRIX))
    np.testing.assert_array_equal(found.matrix(), MATRIX)
    some = np.array([1, 2, 5])
    np.testing.assert_array_equal(found.among(some).matrix(), MATRIX[np.ix_(some, some)])
    shares = MATRIX / np.maximum(MATRIX.sum(1, keepdims=True), 1)
    np.testing.assert_array_equal(found.shares().matrix(), shares)
    assert_equal(confusion_lib.count([], [], num_classes=2), sets.counts_of(np.zeros((2, 2), int)))
