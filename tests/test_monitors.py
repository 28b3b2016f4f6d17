import numpy as np

from simsearch import monitors
from simsearch.retrieval.metrics import ranking


def test_every_figure_that_can_be_monitored_is_validated():
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 2, 2]]
    found = ranking.leave_one_out(vectors, np.array([0, 0, 1, 1, 2, 2])).means()
    assert set(found) | {"classifier_accuracy"} == set(monitors.NAMES)
