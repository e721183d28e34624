"""The data of a run: loaded once, checked, and written to files that all workers map into memory.

The files are in the cache, for later runs too: one folder per part with images.npy, labels.npy, and facts.json, which
has the sizes of the two in bytes and the fingerprint of their content.
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
EXPIRY_SECONDS = 30 * 24 * 3600
"""A part that no run has used for this long is removed from the cache."""


@dataclass(frozen=True, eq=False)
class PreparedPart:
    """Labelled images in `folder`; `labels` is (N,) int64; `fingerprint` identifies the images and labels."""

    folder: str
    labels: np.ndarray
    fingerprint: str


@contextmanager
def prepare_dataset(catalog: Catalog, ref: ComponentRef, test: bool = False) -> Iterator[PreparedPart]:
    """The training part, or the held-out test part, of the data set `ref` as files, which exist during the context.

    Raises InvalidValues for wrong parameters, and RunnerError if the data set cannot be loaded or is not as described.
    """
    data: ImageData = catalog.build("dataset", catalog.bind("dataset", ref))
    with prepare_part(data, catalog.find("dataset", ref.name).origin, test) as part:
        yield part


@contextmanager
def prepare_part(data: ImageData, origin: str, test: bool = False) -> Iterator[PreparedPart]:
    """The training part, or the held-out test part, of `data` as files, which exist during the context.

    `origin` identifies the component that describes the data. Data without a version are loaded every time, as the
    cache cannot know whether they have changed. Raises RunnerError as `prepare_dataset`.
    """
    load, size = (data.load_test, data.test_size) if test else (data.load, data.size)
    assert load is not None, "planning refuses a test without data"
    content = [origin, data.version, data.shape, size, "test" if test else "train"]
    cached = cache_folder() / "prepared" / content_id(content)
    if data.version and (part := _open(cached)):
        yield part
        return
    arrays = _load_checked(load, size, data)
    if data.version and (part := _store(cached, *arrays)):
        yield part
        return
    with tempfile.TemporaryDirectory(prefix="archrunner-") as folder:
        try:
            part = _write(Path(folder), *arrays)
        except OSError as error:
            raise StorageError(folder, error) from None
        yield part


def read(folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, C, H, W) uint8 and labels (N,) int64. The images are mapped, so all processes share one copy."""
    # Mode "c" is copy-on-write: torch warns about arrays that are read-only.
    return np.load(Path(folder) / "images.npy", mmap_mode="c"), np.load(Path(folder) / "labels.npy")


def _open(folder: Path) -> PreparedPart | None:
    """The part in `folder`; None if it is missing or incomplete."""
    try:
        facts = json.loads((folder / "facts.json").read_bytes())
        complete = all((folder / name).stat().st_size == size for name, size in facts["bytes"].items())
        if not complete:
            return None
        os.utime(folder)  # the time of its last use, by which _remove_unused goes
        return PreparedPart(str(folder), read(str(folder))[1], facts["fingerprint"])
    except (OSError, ValueError, KeyError):
        return None


def _store(target: Path, images: np.ndarray, labels: np.ndarray) -> PreparedPart | None:
    """Write the arrays into the cache as the folder `target`; None if that fails, so the next run loads them again."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # the data may be private
        with FileLock(target.parent / ".lock"):
            _remove_unused(target.parent)
            if part := _open(target):
                return part  # another run was faster
            # Written elsewhere and renamed, so that a run that is killed leaves no incomplete part at `target`.
            with tempfile.TemporaryDirectory(prefix="part-", dir=target.parent) as folder:
                complete = Path(folder) / "whole"
                complete.mkdir()
                _write(complete, images, labels)
                shutil.rmtree(target, ignore_errors=True)  # damaged, as _open refused it
                complete.rename(target)
            return _open(target)
    except OSError as error:
        log.warning("%s: cannot cache the data here: %s", target, error.strerror)
        return None


def _write(folder: Path, images: np.ndarray, labels: np.ndarray) -> PreparedPart:
    """Write images (N, C, H, W) and labels (N,) into `folder`; raises OSError."""
    for name, array in (("images.npy", images), ("labels.npy", labels)):
        with (folder / name).open("wb") as file:
            # For a real file NumPy writes past Python, and its error would not say why it failed (a full disk, say).
            np.save(SimpleNamespace(write=file.write), array)
            file.flush()
            os.fsync(file.fileno())
    sizes = {name: (folder / name).stat().st_size for name in ("images.npy", "labels.npy")}
    part = PreparedPart(str(folder), labels, array_id(images, labels))
    facts = {"fingerprint": part.fingerprint, "bytes": sizes}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    return part


def _remove_unused(parts: Path) -> None:
    """Remove the parts that no run has used for a long time, and what killed runs left unfinished."""
    for folder in parts.glob("*/"):
        if time.time() - folder.stat().st_mtime > EXPIRY_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _load(load: Callable[[], tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """What the data set's own code returns; raises PluginError for any exception in it."""
    try:
        return load()
    except (RunnerError, OSError):  # these name the file already
        raise
    except MemoryError as error:
        raise PluginError(f"dataset: its images do not fit into memory: {error}") from error
    except Exception as error:  # a plugin's code may raise anything
        raise PluginError(f"dataset: loading it raised {type(error).__name__}: {error}") from error


def _load_checked(
    load: Callable[[], tuple[np.ndarray, np.ndarray]], size: int, data: ImageData
) -> tuple[np.ndarray, np.ndarray]:
    """Images (size, C, H, W) uint8 and labels (size,) int64; raises RunnerError if they are not as `data` describes."""
    images, labels = (np.asarray(array) for array in _load(load))
    if images.dtype != np.uint8:
        raise RunnerError(f"dataset: images are {images.dtype}; expected uint8, 0 to 255")
    if images.shape != (size, *data.shape):
        raise RunnerError(f"dataset: images have shape {images.shape}; expected {(size, *data.shape)}, as announced")
    if labels.shape != (size,) or not np.issubdtype(labels.dtype, np.integer):
        raise RunnerError(f"dataset: labels are {labels.dtype} {labels.shape}; expected {size} whole numbers")
    if labels.min() < 0 or labels.max() >= data.classes:
        raise RunnerError(
            f"dataset: labels range from {labels.min()} to {labels.max()}; allowed: 0 to {data.classes - 1}"
        )
    return images, labels.astype(np.int64)
