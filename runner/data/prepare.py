"""The data of a run: read once, checked, and laid where all workers map it; the next run finds it there.

In the cache, a folder a part: images.npy, labels.npy, and facts.json with the sizes of both and their fingerprint.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from filelock import FileLock

from runner.components.catalog import Catalog
from runner.components.records import ComponentRef, ImageData
from runner.errors import PluginError, RunnerError, StorageError
from runner.files.cache import cache_folder
from runner.files.content_hash import array_id, content_id

log = logging.getLogger("runner.data")
UNUSED = 30 * 24 * 3600
"""Seconds after which a part that no run asked for is taken out of the cache."""


@dataclass(frozen=True, eq=False)
class PreparedPart:
    """Labelled images in `folder`; labels (N,) int64; `fingerprint` is of images and labels."""

    folder: str
    labels: np.ndarray
    fingerprint: str


@contextmanager
def prepared_dataset(catalog: Catalog, ref: ComponentRef, test: bool = False) -> Iterator[PreparedPart]:
    """The training part of the data set that an experiment names, or its held-out test part, as files.

    They stay at least as long as the context does.
    """
    data: ImageData = catalog.build("dataset", catalog.bind("dataset", ref))
    with prepared(data, catalog.find("dataset", ref.name).origin, test) as part:
        yield part


@contextmanager
def prepared(data: ImageData, origin: str, test: bool = False) -> Iterator[PreparedPart]:
    """The training part of the data, or the held-out test part, as files that stay as long as the context does.

    `origin` says whose data they are. Where their version is unknown, they are read every time.
    """
    load, size = (data.load_test, data.test_size) if test else (data.load, data.size)
    assert load is not None, "check.py refuses a test that there is no data for"
    content = [origin, data.version, data.shape, size, "test" if test else "train"]
    place = cache_folder() / "prepared" / content_id(content)
    if data.version and (part := _mapped(place)):
        yield part
        return
    arrays = _checked(load, size, data)
    if data.version and (part := _kept(place, *arrays)):
        yield part
        return
    with tempfile.TemporaryDirectory(prefix="archrunner-") as folder:
        try:
            part = _write(Path(folder), *arrays)
        except OSError as error:
            raise StorageError(folder, error) from None
        yield part


def read(folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, C, H, W) uint8 and labels (N,): mapped, so that all processes of a machine share one copy."""
    # "c": whoever writes into them writes into a copy of his own. Torch wants arrays that may be written.
    return np.load(Path(folder) / "images.npy", mmap_mode="c"), np.load(Path(folder) / "labels.npy")


def _mapped(place: Path) -> PreparedPart | None:
    """The part that lies at `place`, None where it is not there or not whole."""
    try:
        facts = json.loads((place / "facts.json").read_bytes())
        whole = all((place / name).stat().st_size == size for name, size in facts["bytes"].items())
        if not whole:
            return None
        os.utime(place)
        return PreparedPart(str(place), read(str(place))[1], facts["fingerprint"])
    except (OSError, ValueError, KeyError):
        return None


def _kept(place: Path, images: np.ndarray, labels: np.ndarray) -> PreparedPart | None:
    """Lay the arrays into the cache; None where that can't be done, which costs the next run its time, no more."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # they may be copies of somebody's own data
        with FileLock(place.parent / ".lock"):
            _forget(place.parent)
            if part := _mapped(place):
                return part  # another run was faster
            with tempfile.TemporaryDirectory(prefix="part-", dir=place.parent) as folder:
                whole = Path(folder) / "whole"
                whole.mkdir()
                _write(whole, images, labels)
                shutil.rmtree(place, ignore_errors=True)  # what was not whole
                whole.rename(place)
            return _mapped(place)
    except OSError as error:
        log.warning("%s: can't keep the data here: %s", place, error.strerror)
        return None


def _write(folder: Path, images: np.ndarray, labels: np.ndarray) -> PreparedPart:
    for name, array in (("images.npy", images), ("labels.npy", labels)):
        with (folder / name).open("wb") as file:
            # Not into the file itself: NumPy would write past Python, and not say why it can't.
            np.save(SimpleNamespace(write=file.write), array)
            file.flush()
            os.fsync(file.fileno())
    sizes = {name: (folder / name).stat().st_size for name in ("images.npy", "labels.npy")}
    part = PreparedPart(str(folder), labels, array_id(images, labels))
    facts = {"fingerprint": part.fingerprint, "bytes": sizes}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    return part


def _forget(parts: Path) -> None:
    """Take out what has not been asked for in a long time, and what a killed run left half written."""
    for place in parts.glob("*/"):
        if time.time() - place.stat().st_mtime > UNUSED:
            shutil.rmtree(place, ignore_errors=True)


def _loaded(load: Callable[[], tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """What the data set's own code gives; raises PluginError where it breaks down."""
    try:
        return load()
    except (RunnerError, OSError):  # these say which file it is
        raise
    except MemoryError as error:
        raise PluginError(f"dataset: its images do not fit into memory: {error}") from error
    except Exception as error:  # of a plugin's code, any
        raise PluginError(f"dataset: loading it raised {type(error).__name__}: {error}") from error


def _checked(
    load: Callable[[], tuple[np.ndarray, np.ndarray]], size: int, data: ImageData
) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, C, H, W) uint8 and labels (N,) int64; raises RunnerError where they are not what was announced."""
    images, labels = (np.asarray(array) for array in _loaded(load))
    if images.dtype != np.uint8:
        raise RunnerError(f"dataset: images are {images.dtype}; expected uint8, 0 to 255")
    if images.shape != (size, *data.shape):
        raise RunnerError(f"dataset: images have shape {images.shape}; announced was {(size, *data.shape)}")
    if labels.shape != (size,) or not np.issubdtype(labels.dtype, np.integer):
        raise RunnerError(f"dataset: labels are {labels.dtype} {labels.shape}; expected {size} whole numbers")
    if labels.min() < 0 or labels.max() >= data.classes:
        raise RunnerError(
            f"dataset: labels run from {labels.min()} to {labels.max()}; allowed: 0 to {data.classes - 1}"
        )
    return images, labels.astype(np.int64)
