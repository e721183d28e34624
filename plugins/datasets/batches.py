"""The pickled batches of CIFAR-10 and CIFAR-100, from their folder or from the archive they are published in.

Format: Krizhevsky, "The CIFAR-10 dataset", Python version. Each batch is a pickled dictionary of `data`, (N, 3072)
uint8 in the order channel, row, column, and of lists of labels.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.api import ImageData, RunnerError

from . import files
from .fetching import fetch

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class BatchDataset:
    """A data set of pickled batches, in `folder` or packed in `archive`.

    `train` and `test` map the batches' file names to their MD5 sums; `labels` is the key of the labels in a batch.
    """

    name: str
    folder: str
    archive: files.PublishedFile
    train: Mapping[str, str]
    test: Mapping[str, str]
    labels: str
    class_names: tuple[str, ...]
    citation: str
    size: int = 50_000
    test_size: int = 10_000

    def data(self, root: str | None) -> ImageData:
        """The data set in the folder `root`, or if that is None in the cache. Reads nothing yet."""
        return ImageData(
            shape=(3, 32, 32),
            class_names=self.class_names,
            size=self.size,
            load=partial(self.load, root, self.train, self.size),
            licence="unknown",
            citation=self.citation,
            test_size=self.test_size,
            load_test=partial(self.load, root, self.test, self.test_size),
            version=files.digest(self.name, self.labels, *self.train.items(), *self.test.items()),
        )

    def load(self, root: str | None, md5: Mapping[str, str], size: int) -> tuple[np.ndarray, np.ndarray]:
        """The images (N, 3, 32, 32) and labels (N,) of the batches in `md5`; raises RunnerError on any mismatch."""
        import numpy as np

        contents = self._contents(root, md5)
        pixels, labels = zip(*(self._batch(content, name) for name, content in contents.items()), strict=True)
        images = np.concatenate(pixels).reshape(-1, 3, 32, 32)
        if len(images) != size:
            raise RunnerError(f"{self.name}: {', '.join(md5)} hold {len(images)} images; expected {size}")
        return images, np.concatenate(labels)

    def _contents(self, root: str | None, md5: Mapping[str, str]) -> dict[str, bytes]:
        """The contents of the batch files, by name; their checksums are verified."""
        folder = files.data_folder(root)
        paths = {name: files.find(folder, [f"{self.folder}/{name}"]) for name in md5}
        missing = [f"{self.folder}/{name}" for name, path in paths.items() if path is None]
        if not missing:
            return {name: files.verify(files.read(path), md5[name], path) for name, path in paths.items() if path}
        archive = files.find(folder, [self.archive.path]) if root is not None else fetch(self.name, self.archive)
        if archive is None:
            raise files.missing_error(self.name, [missing[0], self.archive.path], folder, self.archive)
        return self._unpack(files.verify(files.read(archive), self.archive.md5, archive), archive, md5)

    def _unpack(self, content: bytes, archive: Path, md5: Mapping[str, str]) -> dict[str, bytes]:
        """The batch files of the archive, unpacked in memory: nothing is written, so a path in it can do no harm."""
        wanted = {f"{self.folder}/{name}": name for name in md5}
        contents = {}
        try:
            with tarfile.open(fileobj=io.BytesIO(content), mode="r|gz") as packed:
                for member in packed:
                    stream = packed.extractfile(member) if member.name in wanted and member.isfile() else None
                    if stream:
                        contents[wanted[member.name]] = stream.read()
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise RunnerError(f"{archive}: not a complete archive: {error}") from None
        for name in md5:
            if name not in contents:
                raise RunnerError(f"{archive} does not contain {self.folder}/{name}; download it again")
            files.verify(contents[name], md5[name], f"{archive}: {name}")
        return {name: contents[name] for name in md5}

    def _batch(self, content: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (N, 3072) uint8 and labels (N,) of one batch."""
        import numpy as np

        try:
            # The files were pickled by Python 2: its strings, the dictionary's keys among them, are bytes here.
            batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
            pixels, labels = np.asarray(batch[b"data"]), np.asarray(batch[self.labels.encode()])
        except Exception as error:  # a pickle can raise anything
            problem = f"{type(error).__name__}: {error}"
            raise RunnerError(f"{self.name}: {name} is not a batch of images: {problem}") from None
        if (
            pixels.dtype != np.uint8
            or pixels.shape != (len(labels), 3072)
            or not np.issubdtype(labels.dtype, np.integer)
        ):
            found = f"{pixels.dtype} {pixels.shape} and {labels.dtype} {labels.shape}"
            raise RunnerError(f"{self.name}: {name} holds {found}; expected uint8 (N, 3072) and whole numbers (N,)")
        return pixels, labels


class _ArrayUnpickler(pickle.Unpickler):
    """Allows only what builds a NumPy array: a pickle can otherwise call any function it names."""

    def find_class(self, module: str, name: str) -> Any:
        import numpy as np

        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            # NumPy 2 moved this function; an array's own __reduce__ returns it from wherever it is now.
            return np.empty(0).__reduce__()[0]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in this file")
