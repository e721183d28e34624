"""Arrays of a user's own, from a file that numpy.savez wrote."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runner.api import Dataset, ImageData, RunnerError, Shape, hookimpl

from . import files

if TYPE_CHECKING:
    import numpy as np

Order = Literal["auto", "NCHW", "NHWC"]
MOST_PACKED, DENSEST = 200_000_000, 100
"""An array of more bytes than this that was packed more densely than this is no images, but meant to fill memory."""
ARRAYS = ("images", "labels", "test_images", "test_labels", "class_names")


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """The file's arrays by name, read when asked for; pickled objects are refused."""
    import numpy as np

    if not files.is_file(file):
        raise RunnerError(f"{file}: {'not a file' if files.is_folder(file) else 'no such file'}")
    if not zipfile.is_zipfile(file):
        raise RunnerError(f"{file}: not a (whole) .npz file; numpy.savez makes one")
    try:
        with np.load(file, allow_pickle=False) as arrays:
            yield arrays
    except RunnerError:
        raise
    except Exception as error:  # what is in a damaged archive raises all sorts
        raise RunnerError(f"{file}: can't be read: {error or type(error).__name__}") from None


def header(file: Path, arrays: Any, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """An array's shape and type, without its values."""
    from numpy.lib import format

    if name not in arrays.files:
        known = ", ".join(arrays.files) or "nothing"
        raise RunnerError(f"{file}: no array '{name}'; it holds {known}; allowed: {', '.join(ARRAYS)}")
    member = f"{name}.npy" if f"{name}.npy" in arrays.zip.namelist() else name
    with arrays.zip.open(member) as stream:
        old = format.read_magic(stream) == (1, 0)
        shape, _, dtype = (format.read_array_header_1_0 if old else format.read_array_header_2_0)(stream)
        start = stream.tell()
    if dtype.hasobject:
        raise RunnerError(f"{file}: {name} holds pickled objects, which are never opened; expected numbers")
    facts, announced = arrays.zip.getinfo(member), math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or announced != facts.file_size - start:
        words = f"{name} announces {dtype} {shape}, {announced} bytes, and {facts.file_size - start} follow"
        raise RunnerError(f"{file}: {words}; write the file again")
    if facts.file_size > MOST_PACKED and facts.file_size > facts.compress_size * DENSEST:
        words = f"{name} unpacks from {facts.compress_size / 1e6:.1f} MB to {facts.file_size / 1e6:,.0f} MB"
        raise RunnerError(f"{file}: {words}, as no images do; write it with numpy.savez, unpacked")
    return shape, dtype


def values(file: Path, arrays: Any, name: str) -> np.ndarray:
    """An array's values, once its header is known to tell the truth."""
    header(file, arrays, name)
    return arrays[name]  # type: ignore[no-any-return]


def shape_of(file: Path, name: str, found: tuple[int, ...], dtype: np.dtype, order: Order) -> tuple[Shape, Order]:
    """(C, H, W) of the images, and the order of their axes: three axes have no channels, four are told apart by which
    of them is 1 or 3 long."""
    if str(dtype) != "uint8":
        raise RunnerError(f"{file}: {name} is {dtype}; expected uint8, 0 to 255")
    if 0 in found[1:]:
        raise RunnerError(f"{file}: {name} has shape {found}: images without pixels")
    if len(found) == 3:
        return (1, *found[1:]), "NHWC"
    if len(found) != 4:
        raise RunnerError(f"{file}: {name} has shape {found}; expected (N, H, W), (N, H, W, C) or (N, C, H, W)")
    first, last = found[1] in (1, 3), found[3] in (1, 3)
    if order == "auto" and first == last:
        why = "both the second and the last axis" if first else "neither the second nor the last axis"
        raise RunnerError(f"{file}: {name} has shape {found}, where {why} could be channels; set order: NCHW or NHWC")
    if order == "NCHW" or (order == "auto" and first):
        return found[1:], "NCHW"
    return (found[3], found[1], found[2]), "NHWC"


def labelled(file: Path, arrays: Any, name: str, size: int) -> np.ndarray:
    import numpy as np

    labels = values(file, arrays, name) if name in arrays.files else None
    if labels is None or labels.shape != (size,) or not np.issubdtype(labels.dtype, np.integer):
        found = "missing" if labels is None else f"{labels.dtype} {labels.shape}"
        raise RunnerError(f"{file}: {name} is {found}; expected {size} whole numbers, one for each image")
    return labels


def named(file: Path, arrays: Any, labels: np.ndarray) -> tuple[str, ...]:
    """The names of the classes, each of which has an image; where the file names none, their numbers."""
    import numpy as np

    present = np.unique(labels)
    if not len(present):
        raise RunnerError(f"{file}: holds no images")
    listed = values(file, arrays, "class_names") if "class_names" in arrays.files else np.array([])
    names = [str(name) for name in np.atleast_1d(listed)]
    count = len(names) or len(present)
    if len(present) != count or present[0] != 0 or present[-1] != count - 1 or count < 2:
        expected = f"all of 0 to {count - 1}" if count > 1 else "two classes or more"
        raise RunnerError(
            f"{file}: labels are {len(present)} different numbers from {present[0]} to {present[-1]}; "
            f"expected {expected}, numbered from 0 without gaps{' as class_names has it' if names else ''}"
        )
    return tuple(names or map(str, range(count)))


def load(file: Path, order: Order, part: str) -> tuple[np.ndarray, np.ndarray]:
    with opened(file) as arrays:
        images, labels = values(file, arrays, f"{part}images"), values(file, arrays, f"{part}labels")
    if images.ndim == 3:
        images = images[..., None]
    return images if order == "NCHW" else images.transpose(0, 3, 1, 2), labels


def npz(*, file: str, order: Order = "auto") -> ImageData:
    """Arrays `images` (uint8) and `labels`, numbered from 0, and if you like `class_names`, `test_images` and
    `test_labels`; `order` says where the channels stand, which is seen where that axis alone is 1 or 3 long.
    """
    path = files.place(file)
    with opened(path) as arrays:
        found, dtype = header(path, arrays, "images")
        shape, order = shape_of(path, "images", found, dtype, order)
        labels = labelled(path, arrays, "labels", found[0])
        names, test_size = named(path, arrays, labels), 0
        if {"test_images", "test_labels"} & set(arrays.files):
            test, dtype = header(path, arrays, "test_images")
            if test[1:] != found[1:] or dtype != "uint8":
                raise RunnerError(f"{path}: test_images is {dtype} {test}; expected uint8 {('N', *found[1:])}")
            test_size = test[0]
            test_labels = labelled(path, arrays, "test_labels", test_size)
            if test_size and (test_labels.min() < 0 or test_labels.max() >= len(names)):
                raise RunnerError(f"{path}: test_labels are not all from 0 to {len(names) - 1}, as labels are")
    facts = path.stat()
    return ImageData(
        shape=shape,
        class_names=names,
        size=found[0],
        load=partial(load, path, order, ""),
        test_size=test_size,
        load_test=partial(load, path, order, "test_") if test_size else None,
        version=files.digest(path.resolve(), facts.st_size, facts.st_mtime_ns, order),
    )


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="npz", build=npz)
