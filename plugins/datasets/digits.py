"""1,797 real 8x8 digits, as scikit-learn carries them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from runner.api import Dataset, ImageData, hookimpl


def load() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    # Values run from 0 to 16; stretched to the 0 to 255 of every other data set.
    return np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None], digits.target


def digits() -> ImageData:
    """8x8 grey images of handwritten digits, 174 to 183 of each class."""
    return ImageData(
        shape=(1, 8, 8),
        class_names=tuple("0123456789"),
        size=1797,
        load=load,
        licence="CC BY 4.0 (UCI Machine Learning Repository)",
        citation="Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, doi:10.24432/C50P49",
    )


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="digits", build=digits)
