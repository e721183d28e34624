"""1,797 real 8x8 digits, from the file that scikit-learn ships."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from runner.api import Dataset, ImageData, hookimpl

from . import files

if TYPE_CHECKING:
    import numpy as np


def load() -> tuple[np.ndarray, np.ndarray]:
    rows = _rows()  # (N, 65): an image's 64 pixels and its digit
    # Pixel values are 0 to 16; they are scaled to the 0 to 255 of all other data sets.
    images = (rows[:, :64].reshape(-1, 1, 8, 8) * (255 / 16)).round().astype("uint8")
    return images, rows[:, 64].astype("int64")


def _rows() -> np.ndarray:
    """Read from the file itself, as importing scikit-learn takes a second; if it is not there, by scikit-learn."""
    import numpy as np

    if file := _file():
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    return np.column_stack(load_digits(return_X_y=True))


def _file() -> Path | None:
    return files.package_file("sklearn", "datasets/data/digits.csv.gz")


def digits() -> ImageData:
    """8x8 grey images of handwritten digits, 174 to 183 of each class."""
    return ImageData(
        shape=(1, 8, 8),
        class_names=tuple("0123456789"),
        size=1797,
        load=load,
        licence="CC BY 4.0 (UCI Machine Learning Repository)",
        citation="Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, doi:10.24432/C50P49",
        version=files.package_version("scikit-learn", _file()),
    )


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="digits", build=digits)
