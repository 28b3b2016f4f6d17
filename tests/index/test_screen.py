import numpy as np
import pytest

from simsearch.index import screen
from tests.index import model


class Matrix:
    """Counts the rows that are read one by one."""

    def __init__(self, rows):
        self.rows = rows
        self.num_read = 0

    def __getitem__(self, key):
        if isinstance(key, np.ndarray):
            self.num_read += len(key)
        return self.rows[key]


def check(screened, matrix, allowed, query, k):
    """Compares an answer with a full sort."""
    scores, rows = screened.top_k(matrix, allowed, query, k=k)
    expected = np.sort((matrix.astype(np.float64) @ query)[allowed])[::-1][:k]
    assert len(scores) == len(rows) == len(set(rows.tolist())) == len(expected)
    assert allowed[rows].all() and scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    np.testing.assert_allclose(matrix[rows] @ query, scores, atol=1e-6)
    return rows


def clustered(rng, count, size, *, spread):
    centers = rng.normal(size=(8, size))
    vectors = centers[rng.integers(0, 8, count)] + spread * rng.normal(size=(count, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("size", [2, 19, 128, 1280])
@pytest.mark.parametrize("spread", [1.0, 0.1, 1e-4])
def test_the_nearest_are_those_of_a_full_sort(size, spread):
    # At the least spread thousands of rows round to the same integers.
    rng = np.random.default_rng(size)
    vectors = clustered(rng, 2**14 + 1024, size, spread=spread)
    screened = screen.Screen(len(vectors))
    for share in (1.0, 0.5, 0.001):
        allowed = rng.random(len(vectors)) < share
        for query in (vectors[7], *clustered(rng, 2, size, spread=spread)):
            for k in (1, 10, 100, 1000):
                check(screened, vectors, allowed, query, k)


def test_rows_that_lie_far_from_evenly():
    rng = np.random.default_rng(0)
    vectors = np.zeros((2048, 64), np.float32)
    vectors[np.arange(1000), rng.integers(0, 64, 1000)] = rng.choice([-1, 1], 1000)
    vectors[1000:1500] = 1 / 8
    vectors[1500:2000] = model.unit_vectors(rng, 500, 64)
    allowed = np.arange(2048) < 2000
    screened = screen.Screen(2048)
    for query in (vectors[0], vectors[1000], vectors[1700], -vectors[1000], 0 * vectors[0]):
        for k in (1, 30, 63, 64, 65, 2000, 5000):
            check(screened, vectors, allowed, query, k)


def test_of_equal_rows_the_first_are_found():
    vectors = np.repeat(model.unit_vectors(np.random.default_rng(0), 4, 32), 512, axis=0)
    allowed = np.ones(2048, bool)
    allowed[600] = False
    rows = check(screen.Screen(2048), vectors, allowed, vectors[512], 200)
    assert rows.tolist() == [row for row in range(512, 713) if row != 600]


def test_nothing_may_be_found_or_nothing_is_there():
    zeros, query = np.zeros((1024, 16), np.float32), np.eye(1, 16, dtype=np.float32)[0]
    check(screen.Screen(1024), zeros, np.zeros(1024, bool), query, 5)
    check(screen.Screen(1024), zeros, np.ones(1024, bool), query, 5)


def test_changes_are_seen_and_larger_numbers_than_before():
    rng = np.random.default_rng(1)
    matrix = np.full((2**15, 24), 24**-0.5, np.float32)
    screened, allowed = screen.Screen(len(matrix)), np.ones(len(matrix), bool)
    check(screened, matrix, allowed, matrix[0], 10)
    for _ in range(5):
        rows = rng.choice(len(matrix), 40, replace=False)
        matrix[rows] = model.unit_vectors(rng, 40, 24)
        screened.forget(rows.tolist())
        for row in rows[:3]:
            assert check(screened, matrix, allowed, matrix[row], 10)[0] == row


def test_few_rows_are_read_in_full():
    rng = np.random.default_rng(2)
    vectors = clustered(rng, 2**15, 128, spread=0.5)
    matrix, screened = Matrix(vectors), screen.Screen(2**15)
    for query in vectors[:20]:
        screened.top_k(matrix, np.ones(2**15, bool), query, k=10)
    assert 20 * 10 <= matrix.num_read <= 20 * 2**15 * 0.1
