import json

import numpy as np

from simsearch.data import confusion as confusion_lib


def test_counts_survive_json():
    kept, restored = confusion_lib.Confusion(), confusion_lib.Confusion()
    assert kept.to_json() is None
    restored.restore(None)
    assert restored.counts is None
    kept.counts = np.random.default_rng(0).poisson(0.3, (7, 7))
    restored.restore(json.loads(json.dumps(kept.to_json())))
    np.testing.assert_array_equal(restored.counts, kept.counts)
    kept.counts = np.zeros((3, 3), int)
    restored.restore(kept.to_json())
    np.testing.assert_array_equal(restored.counts, kept.counts)
