"""The idx files of MNIST and of data sets with the same layout.

Format: LeCun, Cortes and Burges, "The MNIST database of handwritten digits": two zero bytes, the type (8: uint8), the
number of axes, the length of each axis as a big-endian 32-bit number, then the values.
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
class IdxDataset:
    """A data set of four idx files, in `folder`, packed (.gz) or not.

    `md5` maps their names without .gz to the MD5 sums of the packed and of the unpacked file.
    """

    name: str
    folder: str
    base_urls: tuple[str, ...]
    md5: Mapping[str, tuple[str, str]]
    class_names: tuple[str, ...]
    licence: str
    citation: str
    shape: Shape = (1, 28, 28)
    size: int = 60_000
    test_size: int = 10_000

    def data(self, root: str | None) -> ImageData:
        """The data set in the folder `root`, or if that is None in the cache. Reads nothing yet."""
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
        """Images (size, 1, H, W) and labels (size,) of the two files; raises RunnerError on any mismatch."""
        images, labels = (self._array(root, name, axes) for name, axes in zip(names, (3, 1), strict=True))
        for name, array, expected in ((names[0], images, (size, *self.shape[1:])), (names[1], labels, (size,))):
            if array.shape != expected:
                raise RunnerError(f"{self.name}: {name} holds an array of shape {array.shape}; expected {expected}")
        return images[:, None], labels

    def _array(self, root: str | None, name: str, axes: int) -> np.ndarray:
        packed, unpacked = self.md5[name]
        source = files.PublishedFile(f"{self.folder}/{name}.gz", packed, self.base_urls)
        folder = files.data_folder(root)
        paths = [source.path, f"{self.folder}/{name}"]
        file = files.find(folder, paths)
        # A .gz file in the cache goes through `fetch` too, which replaces it if it is damaged.
        if file is None or (root is None and file.suffix == ".gz"):
            if root is not None:
                raise files.missing_error(self.name, paths, folder, source)
            file = fetch(self.name, source)
        content = files.verify(files.read(file), packed if file.suffix == ".gz" else unpacked, file)
        return parse(unpack(content, file), file, axes)


def unpack(content: bytes, file: Path) -> bytes:
    if file.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise RunnerError(f"{file}: not a complete gzip file: {error}") from None


def parse(content: bytes, file: Path, axes: int) -> np.ndarray:
    """The uint8 array in an idx file; raises RunnerError if it does not have `axes` axes or is not complete."""
    import numpy as np

    start = 4 + 4 * axes
    magic = bytes((0, 0, 8, axes))
    if content[:4] != magic or len(content) < start:
        problem = f"it begins with {content[:4].hex()}" if content else "it is empty"
        kind = "images" if axes == 3 else "labels"
        raise RunnerError(f"{file}: {problem}; idx {kind} begin with {magic.hex()}, then {axes} lengths")
    lengths = [int.from_bytes(content[offset : offset + 4], "big") for offset in range(4, start, 4)]
    if len(content) - start != math.prod(lengths):
        expected = f"{math.prod(lengths)} ({' x '.join(map(str, lengths))})"
        problem = f"{len(content) - start} bytes follow the header, which announces {expected}"
        raise RunnerError(f"{file}: {problem}; download it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(lengths)
