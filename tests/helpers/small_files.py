"""Small data sets in the formats of the published ones, and an empty cache for the tests that read them."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runner.plugins.datasets import idx
from runner.plugins.datasets.cifar import CIFAR10, cifar100_set
from runner.plugins.datasets.mnist import MNIST

from runner.components.catalog import load_catalog
from runner.components.records import ComponentRef, ImageData
from runner.files.file_state import SECOND, TICK

NOWHERE = "http://127.0.0.1:9/"
"""An address that refuses every connection."""


def settle() -> None:
    """Wait until a change of a file has another time than the last one."""
    time.sleep(2 * TICK / SECOND)


def build_dataset(name: str, **parameters: object) -> ImageData:
    catalog = load_catalog()
    return catalog.build("dataset", catalog.bind("dataset", ComponentRef(name, parameters)))  # type: ignore[no-any-return]


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture(autouse=True)
def isolated_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no access to the network."""
    monkeypatch.setenv("ARCHRUNNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ARCHRUNNER_MIRROR", NOWHERE)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def small_mnist() -> tuple[idx.IdxDataset, dict[str, bytes], np.ndarray]:
    """A set of 6 training and 4 test images, its four files (by path below the root), and the training images."""
    rng, contents, sums = np.random.default_rng(0), {}, {}
    train = rng.integers(0, 256, (6, 28, 28)).astype(np.uint8)
    arrays = (train, np.arange(6, dtype=np.uint8), train[:4], np.arange(4, dtype=np.uint8))
    for name, array in zip((*idx.TRAIN, *idx.TEST), arrays, strict=True):
        content = idx_bytes(array)
        contents[f"MNIST/raw/{name}.gz"] = gzipped(content)
        sums[name] = (md5(gzipped(content)), md5(content))
    return replace(MNIST, md5=sums, size=6, test_size=4), contents, train


class Python2(pickle._Pickler):
    """A pickler that writes as Python 2 with its NumPy did: short strings for bytes, and NumPy's old names."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, text: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(text)) + text)

    dispatch[bytes] = save_bytes

    def save_global(self, thing: object, name: str | None = None) -> None:
        module, name = thing.__module__, thing.__name__  # type: ignore[attr-defined]
        module = module.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())

    for kind in (type, type(len), type(md5)):
        dispatch[kind] = save_global


def python2_pickle(batch: object) -> bytes:
    stream = io.BytesIO()
    Python2(stream, protocol=2).dump(batch)
    return stream.getvalue()


def archive(contents: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in contents.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(content)
            tar.addfile(facts, io.BytesIO(content))
    return stream.getvalue()


def small_cifar(given: dict[str, object] | None = None):
    """A CIFAR-100 of 3 + 3 images with coarse labels, its files by path, its archive, and the pixels."""
    pixels = np.random.default_rng(1).integers(0, 256, (3, 3072)).astype(np.uint8)
    batch = {b"data": pixels, b"coarse_labels": [0, 19, 3], b"fine_labels": [4, 99, 0]}
    contents = {
        f"cifar-100-python/{n}": python2_pickle(b) for n, b in (given or {"train": batch, "test": batch}).items()
    }
    tar = archive(contents)
    small = replace(
        cifar100_set("coarse"),
        archive=replace(CIFAR10.archive, path="cifar-100-python.tar.gz", md5=md5(tar)),
        train={"train": md5(contents["cifar-100-python/train"])},
        test={"test": md5(contents["cifar-100-python/test"])},
        size=3,
        test_size=3,
    )
    return small, contents, tar, pixels


def write(root: Path, contents: dict[str, bytes]) -> Path:
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root
