"""Random numbers of the sampler: each purpose has a stream of its own for every seed and step."""

import numpy as np

# Streams that must not repeat each other.
TRIPLETS, CLASSES, REPEATS, ROWS, AUGMENT, MIXUP, BALANCED, HARD = range(8)


def rng(*numbers: int) -> np.random.Generator:
    """Returns the generator of a seed, a stream and what it is for, such as a step."""
    return np.random.default_rng(numbers)
