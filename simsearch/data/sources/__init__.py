"""Where images come from: a folder, the digits, the hub, TensorFlow Datasets, or arrays."""

from simsearch.data.sources.arrays import from_arrays
from simsearch.data.sources.loading import load
from simsearch.data.splits import Split

__all__ = ["Split", "from_arrays", "load"]
