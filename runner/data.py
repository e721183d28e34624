"""The data of a run: read once, checked, and laid where all workers map it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runner.components import ImageData
from runner.errors import RunnerError
from runner.folds import stratified_part
from runner.identity import array_id


@dataclass(frozen=True, eq=False)
class Prepared:
    """labels (N,) int64; `folder` holds images.npy (N, C, H, W) uint8 and labels.npy; `fingerprint` is of both."""

    folder: str
    labels: np.ndarray
    fingerprint: str


@contextmanager
def prepared(data: ImageData, subset: int | None = None, seed: int = 0) -> Iterator[Prepared]:
    """Read the data, or a stratified part of `subset` images, and lay it in a temporary folder, gone afterwards."""
    images, labels = load(data)
    if subset is not None:
        part = stratified_part(labels, subset, seed)
        images, labels = images[part], labels[part]
    with tempfile.TemporaryDirectory(prefix="archrunner-") as folder:
        np.save(Path(folder) / "images.npy", images)
        np.save(Path(folder) / "labels.npy", labels)
        yield Prepared(folder, labels, array_id(images, labels))


def load(data: ImageData) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, C, H, W) uint8 and labels (N,) int64; raises RunnerError where they are not what was announced."""
    images, labels = (np.asarray(array) for array in data.load())
    if images.dtype != np.uint8:
        raise RunnerError(f"dataset: images are {images.dtype}; expected uint8, 0 to 255")
    if images.shape != (data.size, *data.shape):
        raise RunnerError(f"dataset: images have shape {images.shape}; announced was {(data.size, *data.shape)}")
    if labels.shape != (data.size,) or not np.issubdtype(labels.dtype, np.integer):
        raise RunnerError(f"dataset: labels are {labels.dtype} {labels.shape}; expected {data.size} whole numbers")
    if labels.min() < 0 or labels.max() >= data.classes:
        raise RunnerError(
            f"dataset: labels run from {labels.min()} to {labels.max()}; allowed: 0 to {data.classes - 1}"
        )
    return images, labels.astype(np.int64)
