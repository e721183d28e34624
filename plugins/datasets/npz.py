"""Your own images as arrays, from a file written by numpy.savez.

The file is not trusted: all that NumPy would take its word for is checked first.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runner.api import Dataset, ImageData, RunnerError, Shape, files_version, hookimpl

from . import files

if TYPE_CHECKING:
    import numpy as np

Order = Literal["auto", "NCHW", "NHWC"]
UNCHECKED_BYTES, MAX_RATIO = 200_000_000, 100
"""A larger array with a higher compression ratio is refused: images do not compress so well, zip bombs do."""
ARRAYS = ("images", "labels", "test_images", "test_labels", "class_names")


@contextmanager
def open_npz(file: Path) -> Iterator[Any]:
    """The file's arrays by name, each read when it is accessed; pickled objects are refused.

    Raises RunnerError for anything that goes wrong while it is open.
    """
    import numpy as np

    if not files.is_file(file):
        raise RunnerError(f"{file}: {'not a file' if files.is_folder(file) else 'no such file'}")
    if not zipfile.is_zipfile(file):
        raise RunnerError(f"{file}: not a (complete) .npz file; numpy.savez writes one")
    try:
        with np.load(file, allow_pickle=False) as arrays:
            for entry in arrays.zip.infolist():
                # zipfile unpacks whole blocks of the others, whatever size they announce; NumPy writes only these two.
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise RunnerError(f"{file}: {entry.filename} is compressed in another way than numpy.savez does")
            yield arrays
    except RunnerError:
        raise
    except Exception as error:  # a damaged archive can raise exceptions of many classes
        raise RunnerError(f"{file}: cannot be read: {error or type(error).__name__}") from None


def read_header(file: Path, arrays: Any, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """An array's shape and type, without reading its values.

    Raises RunnerError if there is no such array, or if its header does not match the bytes that follow it.
    """
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
        raise RunnerError(f"{file}: {name} holds pickled objects, which are never loaded; expected numbers")
    entry, announced = arrays.zip.getinfo(member), math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or announced != entry.file_size - start:
        problem = f"{name} announces {dtype} {shape}, {announced} bytes, but {entry.file_size - start} follow"
        raise RunnerError(f"{file}: {problem}; write the file again")
    if entry.file_size > UNCHECKED_BYTES and entry.file_size > entry.compress_size * MAX_RATIO:
        sizes = f"{entry.compress_size / 1e6:.1f} MB to {entry.file_size / 1e6:,.0f} MB"
        raise RunnerError(f"{file}: {name} unpacks from {sizes}, more than images do; use numpy.savez, uncompressed")
    return shape, dtype


def read_values(file: Path, arrays: Any, name: str) -> np.ndarray:
    """An array's values. The header is checked first, as NumPy allocates whatever it announces."""
    read_header(file, arrays, name)
    return arrays[name]  # type: ignore[no-any-return]


def image_shape(file: Path, name: str, shape: tuple[int, ...], dtype: np.dtype, order: Order) -> tuple[Shape, Order]:
    """(C, H, W) of images whose array has `shape`, and the order of its axes.

    Three axes are grey images. With four and order "auto", the channels are the axis that is 1 or 3 long. Raises
    RunnerError if that does not decide it, or if the array cannot be images.
    """
    if str(dtype) != "uint8":
        raise RunnerError(f"{file}: {name} is {dtype}; expected uint8, 0 to 255")
    if 0 in shape[1:]:
        raise RunnerError(f"{file}: {name} has shape {shape}: images without pixels")
    if len(shape) == 3:
        return (1, *shape[1:]), "NHWC"
    if len(shape) != 4:
        raise RunnerError(f"{file}: {name} has shape {shape}; expected (N, H, W), (N, H, W, C) or (N, C, H, W)")
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if order == "auto" and first == last:
        axes = "both the second and the last axis" if first else "neither the second nor the last axis"
        raise RunnerError(f"{file}: {name} has shape {shape}: {axes} could be channels; set order: NCHW or NHWC")
    if order == "NCHW" or (order == "auto" and first):
        return shape[1:], "NCHW"
    return (shape[3], shape[1], shape[2]), "NHWC"


def read_labels(file: Path, arrays: Any, name: str, size: int) -> np.ndarray:
    """The labels (size,) in the array `name`; raises RunnerError if they are not whole numbers, one per image."""
    import numpy as np

    labels = read_values(file, arrays, name) if name in arrays.files else None
    if labels is None or labels.shape != (size,) or not np.issubdtype(labels.dtype, np.integer):
        problem = "missing" if labels is None else f"{labels.dtype} {labels.shape}"
        raise RunnerError(f"{file}: {name} is {problem}; expected {size} whole numbers, one per image")
    return labels


def read_class_names(file: Path, arrays: Any, labels: np.ndarray) -> tuple[str, ...]:
    """The names of the classes: those in the file, or else their numbers.

    Raises RunnerError unless `labels` has every number from 0 to classes - 1.
    """
    import numpy as np

    present = np.unique(labels)
    if not len(present):
        raise RunnerError(f"{file}: holds no images")
    in_file = read_values(file, arrays, "class_names") if "class_names" in arrays.files else np.array([])
    names = [str(name) for name in np.atleast_1d(in_file)]
    count = len(names) or len(present)
    if len(present) != count or present[0] != 0 or present[-1] != count - 1 or count < 2:
        expected = f"all of 0 to {count - 1}" if count > 1 else "two classes or more"
        raise RunnerError(
            f"{file}: labels are {len(present)} different numbers from {present[0]} to {present[-1]}; "
            f"expected {expected}, numbered from 0 without gaps{', one per class name' if names else ''}"
        )
    return tuple(names or map(str, range(count)))


def load(file: Path, order: Order, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, C, H, W) uint8 and labels (N,) of the training part, or with the prefix "test_" of the test part."""
    with open_npz(file) as arrays:
        images, labels = read_values(file, arrays, f"{prefix}images"), read_values(file, arrays, f"{prefix}labels")
    if images.ndim == 3:
        images = images[..., None]
    return images if order == "NCHW" else images.transpose(0, 3, 1, 2), labels


def npz(*, file: str, order: Order = "auto") -> ImageData:
    """Your own arrays `images` (uint8) and `labels` (from 0); optional: `class_names`, `test_images`, `test_labels`.

    `order` is the order of the images' axes; "auto" takes as channels the second or last axis, whichever is 1 or 3
    long.
    """
    path = files.expand(file)
    with open_npz(path) as arrays:
        # The file's own checksums, which cost nothing, say what was read here, also if its state does not.
        state, sums = files_version([path]), [(entry.filename, entry.CRC) for entry in arrays.zip.infolist()]
        array_shape, dtype = read_header(path, arrays, "images")
        shape, order = image_shape(path, "images", array_shape, dtype, order)
        labels = read_labels(path, arrays, "labels", array_shape[0])
        names, test_size = read_class_names(path, arrays, labels), 0
        if {"test_images", "test_labels"} & set(arrays.files):
            test_shape, dtype = read_header(path, arrays, "test_images")
            if test_shape[1:] != array_shape[1:] or dtype != "uint8":
                expected = f"uint8 {('N', *array_shape[1:])}"
                raise RunnerError(f"{path}: test_images is {dtype} {test_shape}; expected {expected}")
            test_size = test_shape[0]
            test_labels = read_labels(path, arrays, "test_labels", test_size)
            if test_size and (test_labels.min() < 0 or test_labels.max() >= len(names)):
                raise RunnerError(f"{path}: test_labels are not all from 0 to {len(names) - 1}, as labels are")
    return ImageData(
        shape=shape,
        class_names=names,
        size=array_shape[0],
        load=partial(load, path, order, ""),
        test_size=test_size,
        load_test=partial(load, path, order, "test_") if test_size else None,
        version=state and files.digest(state, sums, order),
    )


@hookimpl
def register_datasets() -> Iterable[Dataset]:
    yield Dataset(name="npz", build=npz)
