"""The idx files of MNIST and of the data sets laid out like it.

Format: LeCun, Cortes and Burges, "The MNIST database of handwritten digits": two zero bytes, the type (8: uint8), the
number of axes, the length of each as a big-endian 32-bit number, then the values.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runner.api import ImageData, RunnerError, Shape

from . import files
from .fetching import fetch

if TYPE_CHECKING:
    import numpy as np

TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class IdxSet:
    """Four idx files. `md5` holds for each, by its name without .gz, the sums of the packed and the unpacked file."""

    name: str
    folder: str
    addresses: tuple[str, ...]
    md5: Mapping[str, tuple[str, str]]
    class_names: tuple[str, ...]
    licence: str
    citation: str
    shape: Shape = (1, 28, 28)
    size: int = 60_000
    test_size: int = 10_000

    def data(self, root: str | None) -> ImageData:
        return ImageData(
            shape=self.shape,
            class_names=self.class_names,
            size=self.size,
            load=partial(self.load, root, TRAIN, self.size),
            licence=self.licence,
            citation=self.citation,
            test_size=self.test_size,
            load_test=partial(self.load, root, TEST, self.test_size),
            version=files.digest(self.name, *sorted(self.md5.items())),
        )

    def load(self, root: str | None, names: tuple[str, str], size: int) -> tuple[np.ndarray, np.ndarray]:
        images, labels = (self._array(root, name, axes) for name, axes in zip(names, (3, 1), strict=True))
        for name, array, wanted in ((names[0], images, (size, *self.shape[1:])), (names[1], labels, (size,))):
            if array.shape != wanted:
                raise RunnerError(f"{self.name}: {name} holds an array of {array.shape}; expected {wanted}")
        return images[:, None], labels

    def _array(self, root: str | None, name: str, axes: int) -> np.ndarray:
        packed, unpacked = self.md5[name]
        source = files.Published(f"{self.folder}/{name}.gz", packed, self.addresses)
        place = files.folder(root)
        names = [source.name, f"{self.folder}/{name}"]
        found = files.find(place, names)
        if found is None or (root is None and found.suffix == ".gz"):
            if root is not None:
                raise files.missing(self.name, names, place, source)
            found = fetch(self.name, source)
        content = files.checked(files.read(found), packed if found.suffix == ".gz" else unpacked, found)
        return parse(unpack(content, found), found, axes)


def unpack(content: bytes, file: Path) -> bytes:
    if file.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise RunnerError(f"{file}: not a whole gzip file: {error}") from None


def parse(content: bytes, file: Path, axes: int) -> np.ndarray:
    """The array (uint8) of an idx file that has so many axes; raises RunnerError where it has not, or not whole."""
    import numpy as np

    start = 4 + 4 * axes
    magic = bytes((0, 0, 8, axes))
    if content[:4] != magic or len(content) < start:
        found = f"it begins with {content[:4].hex()}" if content else "it is empty"
        what = "images" if axes == 3 else "labels"
        raise RunnerError(f"{file}: {found}; idx {what} begin with {magic.hex()}, then {axes} lengths")
    lengths = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if len(content) - start != math.prod(lengths):
        words = f"{len(content) - start} bytes follow where it announces {math.prod(lengths)}"
        raise RunnerError(f"{file}: {words} ({' x '.join(map(str, lengths))}); fetch it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(lengths)
