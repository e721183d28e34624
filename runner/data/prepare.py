"""The data of a run: loaded once, checked, and written to files, in the cache for later runs too."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from runner.components.catalog import Catalog
from runner.components.plugin_code import aside
from runner.components.records import ComponentRef, ImageData
from runner.data.parts import Arrays, PreparedPart, find_stored, open_part, store, stored_fingerprint, write_part
from runner.errors import DataError, PluginError, RunnerError, StorageError
from runner.files.cache import cache_folder
from runner.files.content_hash import content_id


@contextmanager
def prepare_dataset(
    catalog: Catalog, ref: ComponentRef, test: bool = False, facts: Mapping[str, Any] | None = None
) -> Iterator[PreparedPart]:
    """The training part, or the held-out test part, of the data set `ref` as files, which exist during the context.

    Raises InvalidValues for wrong parameters, and RunnerError if the data set cannot be loaded or is not as described,
    or its facts are no longer `facts`, those that were planned.
    """

    def build() -> ImageData:
        return catalog.build("dataset", catalog.bind("dataset", ref))  # type: ignore[no-any-return]

    data = build()
    # The size that is planned is that of the subset.
    size = min(data.size, ref.parameters.get("subset") or data.size)
    if facts is not None and data.facts | {"size": size} != facts:
        raise DataError("dataset: its files changed after they were planned; run the same command again")
    with prepare_part(data, catalog.find("dataset", ref.name).origin, test, build) as part:
        part.described = None if test else data
        yield part


@contextmanager
def prepare_part(
    data: ImageData, origin: str, test: bool = False, build: Callable[[], ImageData] | None = None
) -> Iterator[PreparedPart]:
    """The training part, or the held-out test part, of `data` as files, which exist during the context.

    `origin` identifies the component that describes the data. Data without a version are loaded every time, as the
    cache cannot know whether they have changed. `build` describes the data again, to notice files that change while
    they are read. Raises RunnerError as `prepare_dataset`.
    """
    load, size = (data.load_test, data.test_size) if test else (data.load, data.size)
    assert load is not None, "planning refuses a test without data"
    read_again = partial(load_checked, load, size, data, build)
    cached = _cached_folder(data, origin, test)
    if data.version and (part := find_stored(cached)):
        part.remake = lambda: store(cached, *read_again())
        yield part
        return
    arrays = read_again()
    if data.version and (part := store(cached, *arrays)):
        yield part
        return
    with tempfile.TemporaryDirectory(prefix="archrunner-") as folder:
        try:
            write_part(Path(folder), *arrays)
            part = open_part(Path(folder))
        except OSError as error:
            raise StorageError(folder, error) from None
        yield part


def cached_fingerprints(catalog: Catalog, ref: ComponentRef, test: bool) -> dict[str, str]:
    """The fingerprints of the parts in use, by their names in a plan, if the cache has them all; reads no images."""
    data = catalog.build("dataset", catalog.bind("dataset", ref))
    origin = catalog.find("dataset", ref.name).origin
    found = {"fingerprint": stored_fingerprint(_cached_folder(data, origin, test=False))}
    if test:
        found["test_fingerprint"] = stored_fingerprint(_cached_folder(data, origin, test=True))
    return found if data.version and all(found.values()) else {}


def _cached_folder(data: ImageData, origin: str, test: bool) -> Path:
    """Where the cache has, or would have, the training or the test part of `data`."""
    # The last item is the form of the files: a copy of an earlier form is not looked for.
    size, part = (data.test_size, "test") if test else (data.size, "train")
    return cache_folder() / "prepared" / content_id([origin, data.version, data.shape, size, part, "with digests"])


def _load(load: Callable[[], Arrays]) -> Arrays:
    """What the data set's own code returns; raises PluginError for any exception in it."""
    try:
        with aside():
            loaded = load()
    except (RunnerError, OSError):  # these name the file already
        raise
    except MemoryError as error:
        raise PluginError(f"dataset: its images do not fit into memory: {error}") from error
    except (Exception, SystemExit) as error:  # a plugin's code may raise anything
        raise PluginError(f"dataset: loading it raised {type(error).__name__}: {error}") from error
    if not isinstance(loaded, (tuple, list)) or len(loaded) != 2:
        found = "nothing" if loaded is None else type(loaded).__name__
        raise PluginError(f"dataset: loading it returned {found}; return images, labels")
    images, labels = loaded
    return images, labels


def load_checked(
    load: Callable[[], Arrays], size: int, data: ImageData, build: Callable[[], ImageData] | None = None
) -> Arrays:
    """Images (size, C, H, W) uint8 and labels (size,) int64; raises RunnerError if they are not as `data` describes."""
    images, labels = _arrays(*_load(load))
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
    if build:
        _refuse_changed(data, build())
    return images, labels.astype(np.int64)


def _arrays(*loaded: Any) -> Arrays:
    """The images and labels that a data set's own code returned, as arrays; raises RunnerError if they are none."""
    try:
        images, labels = map(np.asarray, loaded)
    except ValueError:  # images of different sizes
        raise RunnerError("dataset: its images have different shapes; expected one array (N, C, H, W)") from None
    return images, labels


def _refuse_changed(before: ImageData, after: ImageData) -> None:
    """Raise DataError if two descriptions of a data set differ; a version that is unknown differs from no other."""
    known = {data.version for data in (before, after)} - {""}
    if before.facts != after.facts or len(known) > 1:
        raise DataError("dataset: its files changed while they were read; run the same command again")
