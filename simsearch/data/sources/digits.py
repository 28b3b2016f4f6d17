"""The handwritten digits that come with scikit-learn: 1,797 images of 8 x 8 pixels, no download."""

from __future__ import annotations

import numpy as np

from simsearch.data import splits
from simsearch.data.sources import arrays

_BRIGHTEST = 16
_TEST_FRACTION = 0.2


def load(*, valid_fraction: float, split_seed: int) -> dict[str, splits.Split]:
    """Returns the digits, a seeded fifth of each class held out for test.

    Args:
        valid_fraction: Share of each class for validation.
        split_seed: Chooses the held-out images.

    References:
        E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
        Repository, 1998, https://doi.org/10.24432/C50P49.
    """
    from sklearn import datasets  # One second to import, and only this source needs it.

    digits = datasets.load_digits()
    grey = np.rint(digits.images * (255 / _BRIGHTEST)).astype(np.uint8)
    return arrays.from_arrays(
        grey,
        digits.target,
        valid_fraction=valid_fraction,
        test_fraction=_TEST_FRACTION,
        split_seed=split_seed,
        name="digits",
    )
