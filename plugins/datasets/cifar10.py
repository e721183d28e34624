"""CIFAR-10: 60,000 colour photographs of 10 kinds of things, in the files of its Python version.

Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.api import Dataset, ImageData, RunnerError, hookimpl

if TYPE_CHECKING:
    import numpy as np

FOLDER = "cifar-10-batches-py"
TRAIN = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
}
"""The files of the training part with their published MD5 sums."""
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class _Arrays(pickle.Unpickler):
    """A pickle may name any function at all; these files need what makes a NumPy array, and get no more."""

    def find_class(self, module: str, name: str) -> Any:
        import numpy as np

        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            # Whatever its module is called in this version of NumPy, an array names it itself.
            return np.empty(0).__reduce__()[0]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in this file")


def read(file: Path, md5: str) -> tuple[np.ndarray, list[int]]:
    """Pixels (N, 3072) uint8, by channel, row, column, and labels. The file is opened once its checksum matched."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise RunnerError(f"{file}: no such file; unpack cifar-10-python.tar.gz into {file.parent.parent}") from None
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise RunnerError(f"{file}: its MD5 sum is {found}, not the published {md5}; fetch it again")
    batch = _Arrays(io.BytesIO(content), encoding="bytes").load()
    return batch[b"data"], batch[b"labels"]


def load(root: str) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    folder = Path(root).expanduser() / FOLDER
    pixels, labels = zip(*(read(folder / name, md5) for name, md5 in TRAIN.items()), strict=True)
    return np.concatenate(pixels).reshape(-1, 3, 32, 32), np.concatenate(labels)


def cifar10(*, root: str = "data") -> ImageData:
    """The 50,000 training images; `root` is the folder that holds cifar-10-batches-py, as torchvision lays it out."""
    return ImageData(
        shape=(3, 32, 32),
        class_names=CLASSES,
        size=50_000,
        load=partial(load, root),
        licence="unknown",
        citation="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
    )


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="cifar10", build=cifar10)
