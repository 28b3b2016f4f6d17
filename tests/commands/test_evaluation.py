import numpy as np
import pytest

from simsearch.commands import evaluation
from simsearch.retrieval import figures


@pytest.mark.parametrize(
    ("num_left_out", "words"),
    [
        (0, "8 queries"),
        (1, "8 queries (1 image is alone in its class)"),
        (2, "8 queries (2 images are alone in their class)"),
    ],
)
def test_images_that_are_no_queries_are_told(num_left_out, words):
    found = figures.Figures({}, {}, np.eye(2, dtype=int), 8, num_left_out, {})
    assert evaluation._queries(found) == words
