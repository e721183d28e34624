"""The pickled batches of CIFAR-10 and CIFAR-100, from their folder or from the archive they are published in.

Source: Krizhevsky, "The CIFAR-10 dataset", whose Python version holds dictionaries of `data`, (N, 3072) uint8 by
channel, row and column, and of lists of labels.
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
class BatchSet:
    """Batches in `folder` (name -> MD5 sum), which `archive` holds packed; `labels` is the key of their labels."""

    name: str
    folder: str
    archive: files.Published
    train: Mapping[str, str]
    test: Mapping[str, str]
    labels: str
    class_names: tuple[str, ...]
    citation: str
    size: int = 50_000
    test_size: int = 10_000

    def data(self, root: str | None) -> ImageData:
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
        import numpy as np

        contents = self._contents(root, md5)
        pixels, labels = zip(*(self._batch(content, name) for name, content in contents.items()), strict=True)
        images = np.concatenate(pixels).reshape(-1, 3, 32, 32)
        if len(images) != size:
            raise RunnerError(f"{self.name}: {', '.join(md5)} hold {len(images)} images; expected {size}")
        return images, np.concatenate(labels)

    def _contents(self, root: str | None, md5: Mapping[str, str]) -> dict[str, bytes]:
        """The files' contents, each of which has its checksum."""
        place = files.folder(root)
        found = {name: files.find(place, [f"{self.folder}/{name}"]) for name in md5}
        lacking = [f"{self.folder}/{name}" for name, file in found.items() if file is None]
        if not lacking:
            return {name: files.checked(files.read(file), md5[name], file) for name, file in found.items() if file}
        archive = files.find(place, [self.archive.name]) if root is not None else fetch(self.name, self.archive)
        if archive is None:
            raise files.missing(self.name, [lacking[0], self.archive.name], place, self.archive)
        return self._unpacked(files.checked(files.read(archive), self.archive.md5, archive), archive, md5)

    def _unpacked(self, content: bytes, archive: Path, md5: Mapping[str, str]) -> dict[str, bytes]:
        """The files out of the archive, in memory: nothing is written, so no path in it can do harm."""
        wanted = {f"{self.folder}/{name}": name for name in md5}
        contents = {}
        try:
            with tarfile.open(fileobj=io.BytesIO(content), mode="r|gz") as packed:
                for member in packed:
                    stream = packed.extractfile(member) if member.name in wanted and member.isfile() else None
                    if stream:
                        contents[wanted[member.name]] = stream.read()
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise RunnerError(f"{archive}: not a whole archive: {error}") from None
        for name in md5:
            if name not in contents:
                raise RunnerError(f"{archive} holds no {self.folder}/{name}; fetch it again")
            files.checked(contents[name], md5[name], f"{archive}: {name}")
        return {name: contents[name] for name in md5}

    def _batch(self, content: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (N, 3072) uint8 and labels (N,) of one batch."""
        import numpy as np

        try:
            batch = _Arrays(io.BytesIO(content), encoding="bytes").load()
            pixels, labels = np.asarray(batch[b"data"]), np.asarray(batch[self.labels.encode()])
        except Exception as error:  # a pickle can raise anything
            raise RunnerError(f"{self.name}: {name} is no batch of images: {type(error).__name__}: {error}") from None
        if (
            pixels.dtype != np.uint8
            or pixels.shape != (len(labels), 3072)
            or not np.issubdtype(labels.dtype, np.integer)
        ):
            found = f"{pixels.dtype} {pixels.shape} and {labels.dtype} {labels.shape}"
            raise RunnerError(f"{self.name}: {name} holds {found}; expected uint8 (N, 3072) and whole numbers (N,)")
        return pixels, labels


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
